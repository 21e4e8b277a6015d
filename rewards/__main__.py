"""The command line of the rewards: `python -m rewards list` and `python -m rewards score`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from rewards.errors import RecompensaError, UserError
from rewards.types import Completion, Example

_EXAMPLES = """\
examples:
  python -m rewards list
  python -m rewards list --json
  python -m rewards score --reward json_valid --input rows.jsonl
  python -m rewards score --reward field_f1:ignore_fields=[id,href],digits=6 --input rows.jsonl --output scores.jsonl
  python -m rewards --plugin ./my_rewards.py score --reward my_reward --input rows.jsonl

rows.jsonl has one object a line: id, task, prompt, completion, reference, and the columns that the reward reads.
"""
_OWN_KEYS = ("id", "task", "prompt", "reference", "completion", "truncated")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 1 some scores failed, 2 bad input."""
    options = _make_parser().parse_args(arguments)
    try:
        return options.command(options)
    except UserError as error:
        for line in error.problems:
            print(line, file=sys.stderr)
        return 2
    except RecompensaError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rewards",
        description="List the reward functions, and score completions with them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="MODULE|PATH", help="one more plugin: a module or a .py file"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="the reward functions, their plugins and options")
    listing.add_argument("--json", action="store_true", help="one JSON array instead of tables")
    listing.set_defaults(command=_list)
    scoring = commands.add_parser(
        "score",
        help="score the completions of a file",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scoring.add_argument("--reward", required=True, metavar="NAME[:k=v,...]", help="a reward function and its options")
    scoring.add_argument("--input", required=True, metavar="FILE", help="rows as JSON Lines; - is standard input")
    scoring.add_argument(
        "--output", metavar="FILE", help="where the scores go as JSON Lines; standard output without it"
    )
    scoring.add_argument("--timeout-seconds", type=float, default=2.0, help="time limit of a plugin for one completion")
    scoring.set_defaults(command=_score)
    return parser


def _list(options: argparse.Namespace) -> int:
    from rewards.plugins import load_rewards

    registry = load_rewards(options.plugin)
    if options.json:
        print(json.dumps([entry.summary() for entry in registry], ensure_ascii=False, indent=2))
        return 0
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    # A pipe gets whole lines, whatever the width of a terminal that is not there.
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for entry in registry:
        source = " ".join(filter(None, (entry.distribution, entry.distribution_version)))
        head = Text.assemble(
            (entry.name, "bold cyan"), f" version {entry.version}", (f"  {source}: {entry.plugin}", "dim"),
            f"  tasks: {', '.join(entry.tasks) or 'all'}",
        )  # fmt: skip
        console.print(head)
        summary = entry.summary()
        console.print(Text(f"  {summary['description']}"))
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for option, described in summary["options"].items():
            default = "required" if described["required"] else _shorten(described["default"])
            table.add_row(Text(option, "green"), Text(default), Text(described["description"], "dim"))
        console.print(Padding(table, (0, 0, 1, 4)))
    return 0


def _shorten(value: Any) -> str:
    """A default as it would be written in YAML, cut after 40 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _score(options: argparse.Namespace) -> int:
    from rewards.config import FunctionSpec, RewardsSection, build_host
    from rewards.plugins import load_rewards
    from rewards.scoring import repair_kinds

    name, given = parse_reward(options.reward)
    registry = load_rewards(options.plugin)
    # A row without a task is scored too: the function was asked for by name.
    spec = FunctionSpec(name=name, options=given, tasks=[])
    if not options.timeout_seconds > 0:
        raise UserError(f"--timeout-seconds: {options.timeout_seconds:g}; give seconds above 0")
    section = RewardsSection(
        functions=[spec],
        timeout_seconds=options.timeout_seconds,
        error_budget=1.0,
        plugins=options.plugin,
    )
    try:
        host = build_host(section, registry)
    except UserError as error:
        raise UserError([_name_option(line) for line in error.problems]) from None
    rows = _read_completions(options.input)
    unfit = [
        f"{options.input}: row '{example.id}': {line}"
        for example, _ in rows
        for line in host.functions[0].function.problems(example)
    ]
    if unfit:
        raise UserError(unfit[:20] + ([f"and {len(unfit) - 20} more"] if len(unfit) > 20 else []))
    failed, values = 0, []
    with host, _open_output(options.output) as output:
        for example, completion in rows:
            outcome = host.score([(example, completion)])[0].outcomes[0]
            answer = {
                "id": example.id,
                "value": outcome.value,
                "status": outcome.status,
                "reason": outcome.reason,
                "parts": dict(outcome.parts),
                "repairs": repair_kinds(completion),
                "version": outcome.version,
            }
            output.write(json.dumps(answer, ensure_ascii=True) + "\n")
            failed += outcome.status == "error"
            values += [] if outcome.value is None else [outcome.value]
    mean = f"{sum(values) / len(values):.4f}" if values else "none"
    print(f"{name}: {len(rows)} completions, mean {mean} over {len(values)} values, {failed} errors", file=sys.stderr)
    return 1 if failed else 0


def _name_option(line: str) -> str:
    """A problem of the configuration as a problem of the command line."""
    for place in (".options.", ".name: ", ""):
        line = line.replace(f"rewards.functions[0]{place}", "--reward: ")
    return line


def parse_reward(text: str) -> tuple[str, dict[str, Any]]:
    """`name:key=value,...` as a name and options; values are YAML, `[a,b]` a list and `{a: b}` a mapping.

    Raises UserError for an option without a value.
    """
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    if not rest:
        return name.strip(), options
    import yaml

    for piece in _split_options(rest):
        key, equals, value = piece.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--reward: '{piece}' is no option; write NAME:key=value,key=value")
        try:
            options[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(
                f"--reward: {key.strip()}: '{value}' cannot be read ({' '.join(str(error).split())})"
            ) from None
    return name.strip(), options


def _split_options(text: str) -> list[str]:
    """Cut at the commas that no bracket encloses."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece for piece in pieces if piece.strip()]


def _read_completions(path: str) -> list[tuple[Example, Completion]]:
    """Read rows that have a `completion`; raises UserError with every bad line."""
    rows, problems = [], []
    try:
        with open(0 if path == "-" else path, encoding="utf-8", closefd=path != "-") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    _read_row(line, f"{path}:{number}", number, rows, problems)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{path}: cannot be read ({error})")
    if not rows and not problems:
        problems.append(f"{path}: no rows; give one JSON object a line")
    if problems:
        raise UserError(problems[:20] + ([f"{path}: and {len(problems) - 20} more"] if len(problems) > 20 else []))
    return rows


def _read_row(line: str, where: str, number: int, rows: list[tuple[Example, Completion]], problems: list[str]) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.append(f"{where}: not JSON ({error})")
        return
    if not isinstance(row, dict) or not isinstance(row.get("completion"), str):
        problems.append(f"{where}: no text under 'completion'; each row needs the text to be scored")
        return
    reference, prompt = row.get("reference"), row.get("prompt", [])
    if reference is not None and not isinstance(reference, str):
        problems.append(f"{where}: 'reference' is no text; write a JSON answer as a string")
        return
    prompt = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    example = Example(
        id=str(row.get("id", number)),
        task=str(row.get("task", "default")),
        prompt=prompt,
        reference=reference,
        columns={key: value for key, value in row.items() if key not in _OWN_KEYS},
    )
    rows.append((example, Completion(row["completion"], bool(row.get("truncated", False)))))


@contextmanager
def _open_output(path: str | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    try:
        output = open(path, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    with output:
        yield output


if __name__ == "__main__":
    sys.exit(main())
