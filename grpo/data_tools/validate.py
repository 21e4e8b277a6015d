"""`recompensa data validate`: whether a run would read these rows, with every problem's file and line."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from grpo.data.any_rows import drop_nothing
from grpo.data.records import DataRecord, read_records
from grpo.data_tools.options import add_json, add_sources, make_tool_parser
from grpo.data_tools.quick_look import is_plain
from rewards.rows import find_row_problems
from rewards.screen.command_line import BAD_INPUT, DONE, print_json, print_problem, show_commands

EXAMPLES = """examples:
  python -m grpo.data validate train.jsonl held_out.jsonl
  python -m grpo.data validate 'shards/*.parquet' --json
exit codes: 0 every row can be trained on · 2 some cannot
"""
SHOWN, ALIKE = 20, 3
_PLACE = re.compile(r"^.*?:\d+: |\[\d+\]|'[^']*'")
"""What differs between problems of one kind: where they are, and what stands there."""
_REMEMBERED = 10_000
"""Files that rows name whose being there is remembered."""


def make_parser() -> Any:
    parser = make_tool_parser("validate", "Read rows as strictly as a run does and list what is wrong.", EXAMPLES)
    add_sources(parser)
    parser.add_argument("--all", action="store_true", help=f"every problem, not only the first {SHOWN}")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    bad = unshown = 0
    shown: list[str] = []
    kinds: Counter[str] = Counter()
    counted = _Counted()
    for problems in find_problems(options.sources, counted):
        bad += 1
        for line in problems:
            kind = _PLACE.sub("", line)
            alike = kinds[kind] < ALIKE and len(shown) < SHOWN
            if options.all or alike:
                shown.append(line)
            else:
                unshown += 1
            if kind in kinds or len(kinds) < _REMEMBERED:
                kinds[kind] += 1
    rows = counted.rows
    if options.json:
        found: dict[str, Any] = {"rows": rows, "bad": bad, "problems": shown}
        if bad:
            found["kinds"] = [{"problem": kind, "times": times} for kind, times in kinds.most_common(SHOWN)]
        if counted.unwanted:
            found["unwanted_answers"] = counted.unwanted
        print_json(found)
    else:
        for line in shown:
            print_problem(line)
        if unshown:
            print_problem(f"and {unshown:,} more, nearly all like these: {ALIKE} of a kind are shown; --all shows all")
        print(f"{rows:,} rows, {bad:,} cannot be trained on" if bad else f"all {rows:,} rows can be trained on")
        if counted.unwanted:
            print(
                f"note: {counted.unwanted:,} rows have `label` false beside their answer, which marks answers that are not "
                f"wanted (KTO); {show_commands('python -m grpo.data filter ... --where label=true')} leaves them out"
            )
    return BAD_INPUT if bad or not rows else DONE


@dataclass
class _Counted:
    """Rows that were read, and those of them whose answer is marked as a bad example."""

    rows: int = 0
    unwanted: int = 0


def find_problems(sources: list[str], counted: _Counted) -> Iterator[list[str]]:
    """The problems of each row that has any; `counted.rows` grows by every row. Ids are remembered as 64 bits each."""
    seen: set[int] = set()
    databases: dict[tuple[str, str], bool] = {}
    for record in read_records(sources):
        counted.rows += 1
        counted.unwanted += record.values is not None and record.values.get("label") is False
        problems = [*_problems_of(record), *_find_database(record, databases)]
        row_id = record.values.get("id") if record.values is not None else None
        if isinstance(row_id, str) and row_id:
            mark = hash(row_id)
            if mark in seen:
                problems = [*problems, f"{record.where}: id {row_id!r} is already used; ids must be unique"]
            seen.add(mark)
        if problems:
            yield problems


def _problems_of(record: DataRecord) -> list[str]:
    if record.values is None:
        return [f"{record.where}: {record.problem}"]
    values, raw = record.values, record.raw
    if raw is None:  # a row of a table or a document: made of values, not of a line
        values = drop_nothing(values)
        try:
            raw = orjson.dumps(values)
        except TypeError:
            raw = b""
    if raw and is_plain(values, raw):
        return []
    # The fast reader makes floats of whole numbers that are too large; a run's does not.
    values = json.loads(record.raw) if record.raw is not None else values
    return find_row_problems(values, raw, record.where, str(record.number))


def _find_database(record: DataRecord, known: dict[tuple[str, str], bool]) -> list[str]:
    """The line for a `database` that is not there: a relative path starts at the folder of the rows, as in a run."""
    named = record.values.get("database") if record.values is not None else None
    if not isinstance(named, str) or not named or record.source.startswith("hub:"):
        return []
    place = (os.path.dirname(record.source), named)
    if place not in known:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[place] = Path(*place).is_file()
    if known[place]:
        return []
    path = Path(*place).resolve()
    return [f"{record.where}: database: no such file: {path}; a relative path starts at the folder of the rows"]
