"""The command `python -m grpo.chat`: ask a trained policy in the terminal, and see what the run's rewards make of it."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import RecompensaError, UserError
from rewards.screen.command_line import DONE, CommandParser, run_command
from rewards.screen.harmless_text import make_visible

if TYPE_CHECKING:
    from grpo.chat.readings import RowDesk
    from grpo.chat.speakers import Speaker
    from rewards.types import Example

EXAMPLES = """\
MODEL is a run, an export, a model's or adapter's folder, a GGUF file, or a model on the Hub. Every line is a question of
its own, asked as the task's rows are; the answer is greedy. What was read of it stands below, each repair, and the reward
where the reference is known: a question of a held-out row, /row, or /reference.

  /task NAME    ask as rows of this task          /row ID      ask a held-out row (/row alone: the next one)
  /reference T  the right answer to the next      /paste       several lines, until a line with a dot alone
  /help         these lines                       /quit        or Ctrl-D

examples:
  python -m grpo.chat runs/v4_1 --task extraction
  python -m grpo.chat exports/v4_1 --run runs/v4_1
  python -m grpo.chat exports/v4_1/v4_1-q8_0.gguf
  echo "Chegou em dois dias, nota 10!" | python -m grpo.chat runs/v4_1 --task extraction --json
"""


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m grpo.chat`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.chat",
        "Talk to a trained policy, and see what was read of each answer and what it earns.",
        EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="a run, an export, a model's folder, a GGUF file or a Hub name")
    parser.add_argument("--task", help="ask as rows of this task (default: the run's only one, else the first)")
    parser.add_argument(
        "--run", metavar="RUN", help="the run whose tasks and rewards are used (default: MODEL, if it is one)"
    )
    parser.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of an answer (default: the run's)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="what a policy answers on"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object an answer")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.chat.readings import open_desk
    from grpo.chat.speakers import open_speaker
    from grpo.evaluate.policy_source import is_run

    if options.max_tokens is not None and options.max_tokens < 1:
        raise UserError(f"--max-tokens {options.max_tokens}: give 1 or more")
    own = Path(options.model).expanduser()
    desk = open_desk(options.run or (options.model if own.is_dir() and is_run(own) else None))
    task = choose_task(desk, options.task)
    with redirect_stdout(sys.stderr):  # what libraries print is not an answer
        speaker = open_speaker(options.model, device=options.device)
    try:
        if desk.host is None:
            return _converse(options, desk, speaker, task)
        with desk.host:
            return _converse(options, desk, speaker, task)
    finally:
        speaker.close()


def choose_task(desk: RowDesk, wanted: str | None) -> str | None:
    """The task questions are asked as; UserError for one that the run does not have."""
    from rewards.screen.nearest import nearest

    if wanted is not None and wanted not in desk.tasks:
        has = f"; it has {', '.join(desk.tasks)}" if desk.tasks else "; without a run there are no tasks: give --run"
        raise UserError(f"--task {wanted}: no such task{nearest(wanted, desk.tasks)}{has}")
    return wanted or (desk.tasks[0] if desk.tasks else None)


def _converse(options: argparse.Namespace, desk: RowDesk, speaker: Speaker, task: str | None) -> int:
    terminal = sys.stdin.isatty() and not options.json
    if terminal:
        print(f"{speaker.name}" + (f"; asked as {task}" if task else "") + "; /help, /quit")
    reference, place = None, 0
    while (line := _read(f"{task or 'you'}> " if terminal else None)) is not None:
        command, _, rest = line.strip().partition(" ")
        try:
            if command in ("/quit", "/exit"):
                break
            if not line.strip():
                continue
            if command == "/help":
                print(EXAMPLES.partition("\nexamples")[0])
                continue
            if command == "/task":
                task = choose_task(desk, rest.strip())
                continue
            if command == "/reference":
                reference = rest.strip() or None
                continue
            if command == "/row":
                example, place = _pick_row(desk, task, rest.strip(), place)
                if terminal:
                    print(make_visible(example.prompt[-1]["content"], 4_000))
            elif command == "/paste":
                example = desk.make_example(_read_block(), task, reference)
            elif command.startswith("/") and command[1:].isalpha():
                raise UserError(f"{command}: no such command; /help lists them")
            else:
                example = desk.make_example(line.strip(), task, reference)
            reference = None
            _answer(options, desk, speaker, example)
        except UserError as fault:
            print("\n".join(fault.problems), file=sys.stderr, flush=True)
        except RecompensaError as fault:
            if not terminal:
                raise
            print(fault, file=sys.stderr, flush=True)
    return DONE


def _answer(options: argparse.Namespace, desk: RowDesk, speaker: Speaker, example: Example) -> None:
    from grpo.chat.readings import describe, read_answer
    from rewards.screen.command_line import print_json

    with redirect_stdout(sys.stderr):
        completion = speaker.answer(example.prompt, options.max_tokens or desk.limit)
    said: dict[str, Any] = read_answer(desk, example, completion)
    if options.json:
        print_json(said, indent=None)
    else:
        print(make_visible(describe(said), 100_000))
    sys.stdout.flush()


def _pick_row(desk: RowDesk, task: str | None, identity: str, place: int) -> tuple[Example, int]:
    if identity:
        return desk.find(identity), place
    rows = [row for row in desk.rows if row.task == task]
    if not rows:
        raise UserError("/row: there are no rows without a run; give --run")
    return rows[place % len(rows)], place + 1


def _read(prompt: str | None) -> str | None:
    """The next line; None at the end."""
    if prompt is not None:
        with suppress(ImportError):  # a Python without it has no history of lines
            import readline  # noqa: F401
        try:
            return input(prompt)
        except EOFError:
            print()
            return None
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


def _read_block() -> str:
    """Lines until one that is a dot alone, or the end."""
    lines = []
    while (line := _read("  ..." if sys.stdin.isatty() else None)) is not None and line != ".":
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
