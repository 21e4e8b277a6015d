"""Score the completions of a file with one reward function, a JSON object an answer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from rewards.commands.selection import add_in_process
from rewards.errors import UserError
from rewards.screen.command_line import refuse_idle
from rewards.statistics.estimates import estimate_mean

EXAMPLES = """\
examples:
  python -m rewards score --reward json_valid --input rows.jsonl
  python -m rewards score --reward field_f1:ignore_fields=[id,href],digits=6 --input rows.jsonl --output scores.jsonl
  python -m rewards score --reward extraction --input runs/v4_1/eval/final.jsonl
  cat rows.jsonl | python -m rewards score --plugin ./my_rewards.py --reward my_reward --input -

rows.jsonl has one object a line: id, task, prompt, completion, reference, and the columns that the reward reads.
A reward with tasks of its own scores the rows of these tasks, or all rows where the file has none of them.
Each answer has id, value, status, reason, parts, repairs, version. Exit code 1: some scores are errors.
"""
_CHUNK = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reward", required=True, action="append", metavar="NAME[:k=v,...]", help="a reward function and its options"
    )
    parser.add_argument("--input", required=True, metavar="FILE", help="rows as JSON Lines; - is standard input")
    parser.add_argument(
        "--output", metavar="FILE", help="where to write the scores as JSON Lines (default: standard output)"
    )
    parser.add_argument(
        "--timeout-seconds", type=float, default=2.0, metavar="S", help="time limit of a plugin for one completion (2)"
    )
    add_in_process(parser)


def run(options: argparse.Namespace) -> int:
    from rewards.commands.selection import give_task, make_host, show_traces
    from rewards.host.records import repair_kinds
    from rewards.rows import read_completions, shorten

    if options.in_process:
        refuse_idle(options, "not with --in-process, where time limits do not work; leave it out", timeout_seconds=2.0)
    if len(options.reward) > 1:
        raise UserError([f"--reward: given {len(options.reward)} times; an answer holds one score: run once for each"])
    rows = read_completions(options.input)
    tasks = {example.task for example, _ in rows}
    host = make_host(
        options.reward,
        options.plugin,
        timeout_seconds=options.timeout_seconds,
        tasks=tasks,
        in_process=options.in_process,
    )
    rows = [(give_task(host, example), completion) for example, completion in rows]
    function = host.functions[0].function
    unfit = [
        f"{options.input}: row '{example.id}': {line}"
        for example, _ in rows
        if host.functions_for(example.task)
        for line in host.problems(host.functions[0], example)
    ]
    if unfit:
        raise UserError(shorten(unfit, options.input))
    values: list[float] = []
    faulty = []
    with host, open_output(options.output) as output:
        for start in range(0, len(rows), _CHUNK):
            for scored in host.score(rows[start : start + _CHUNK]):
                outcome = scored.outcomes[0]
                answer = {
                    "id": scored.example.id,
                    "value": outcome.value,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "parts": dict(outcome.parts),
                    "repairs": repair_kinds(scored.completion),
                    "version": outcome.version,
                }
                output.write(json.dumps(answer, ensure_ascii=True) + "\n")
                faulty += [scored] if outcome.status == "error" else []
                values += [] if outcome.value is None else [outcome.value]
    figures = host.figures(host.functions[0], [pair for pair in rows if host.functions_for(pair[0].task)])
    mean = _say_mean(values)
    show_traces(faulty)
    said = f"{function.name}: {len(rows)} completions, mean {mean} over {len(values)} values, {len(faulty)} errors"
    said += "".join(f", {name} {value:.4f}" for name, value in figures.items())
    print(said, file=sys.stderr)
    return 1 if faulty else 0


def _say_mean(values: Sequence[float]) -> str:
    found = estimate_mean(values)
    if found.mean is None or found.low is None:
        return "none" if found.mean is None else f"{found.mean:.4f}"
    return f"{found.mean:.4f} ({found.low:.4f} to {found.high:.4f})"


@contextmanager
def open_output(path: str | None) -> Iterator[IO[str]]:
    """The file that `--output` names, or standard output; raises UserError when it cannot be written."""
    if path is None:
        yield sys.stdout
        return
    try:
        output = open(path, "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
    with output:
        yield output
