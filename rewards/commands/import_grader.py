"""Make rewards of a grader file of OpenAI's or Azure's, and try them on its rows."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.screen.command_line import show_commands

EXAMPLES = """\
examples:
  python -m rewards import-grader grader.json --output rewards.yaml
  python -m rewards import-grader grader.json --rows items.jsonl --output rewards.yaml
  python -m rewards import-grader judge.json --base-url http://127.0.0.1:8000/v1 --model Qwen/Qwen3-8B

string_check, text_similarity (fuzzy_match, bleu, rouge), score_model, python and multi are evaluated as they are; what cannot be is
named. The rows are those of the fine-tuning file: the fields of an item, at the top of a row.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("grader", metavar="FILE", help="the grader's JSON")
    parser.add_argument("--rows", metavar="FILE", help="rows to check it on: does each have what its templates name?")
    parser.add_argument(
        "--base-url", metavar="URL", help="of the server that score_model's judges answer at (OpenAI's)"
    )
    parser.add_argument("--model", metavar="NAME", help="the judges' model there (the one that the grader names)")
    parser.add_argument("--output", default="rewards.yaml", metavar="FILE", help="the rewards (rewards.yaml)")


def run(options: argparse.Namespace) -> int:
    import yaml

    from rewards.graders.openai_grader import read_grader
    from rewards.graders.reading import find_problems, list_read

    path, output = Path(options.grader).resolve(), Path(options.output)
    try:
        grader: Any = read_grader(str(path))
    except ValueError as error:
        raise UserError(f"{options.grader}: {error}") from None
    problems = [f"{options.grader}: {line}" for line in find_problems(grader)]
    if output.exists():
        problems.append(f"--output: {output}: is there already; name another file")
    if not problems and options.rows:
        problems = _check_rows(options.rows, list_read(grader))
    if problems:
        raise UserError(problems)
    options_of = {"grader": str(path), "base_url": options.base_url, "model": options.model}
    named = {name: value for name, value in options_of.items() if value}
    section = {"functions": [{"name": "openai_grader", "options": named}], "timeout_seconds": 60.0}
    try:
        output.write_text(yaml.safe_dump({"rewards": section}, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output: {output}: cannot be written ({error.strerror})") from None
    read = ", ".join(sorted(list_read(grader))) or "nothing of the row"
    print(f"wrote {output}: {grader['type']} as openai_grader; it reads {read}")
    print(show_commands(f"use it: python -m rewards serve --config {output}"))
    return 0


def _check_rows(rows: str, wanted: set[str]) -> list[str]:
    from rewards.rows import read_objects, shorten

    problems = []
    for _, place, row in read_objects(rows):
        if isinstance(row, str):
            problems.append(row)
            continue
        item = row["item"] if isinstance(row.get("item"), dict) else row
        problems += [
            f"{place}: has no {json.dumps(name)}, which the grader reads" for name in sorted(wanted - item.keys())
        ]
    return shorten(problems, rows)
