"""`recompensa data validate`: whether a run would read these rows, with every problem's file and line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from grpo.data.records import DataRecord, read_records
from grpo.data_tools.options import add_json, add_sources, make_tool_parser
from rewards.row_forms.bounds import DEEPEST
from rewards.row_forms.columns import unify_form
from rewards.row_forms.conversations import ROLES
from rewards.rows import find_row_problems
from rewards.screen.command_line import BAD_INPUT, DONE, print_json, print_problem

EXAMPLES = """examples:
  python -m grpo.data validate train.jsonl held_out.jsonl
  python -m grpo.data validate 'shards/*.parquet' --json
exit codes: 0 every row can be trained on · 2 some cannot
"""
SHOWN = 20
_LARGEST = 1e18
"""A number beyond this may be a whole one that the fast reader made a float of, or one that no float holds."""
_PLAIN_TURN = frozenset({"role", "content"})


def make_parser() -> Any:
    parser = make_tool_parser("validate", "Read rows as strictly as a run does and list what is wrong.", EXAMPLES)
    add_sources(parser)
    parser.add_argument("--all", action="store_true", help=f"every problem, not only the first {SHOWN}")
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    bad = 0
    shown: list[str] = []
    counted = _Counted()
    for problems in find_problems(options.sources, counted):
        bad += 1
        if options.all or len(shown) < SHOWN:
            shown += problems
    rows = counted.rows
    if options.json:
        print_json({"rows": rows, "bad": bad, "problems": shown})
    else:
        for line in shown:
            print_problem(line)
        more = (
            f" (the first {len(shown)} problems are shown; --all shows all)" if bad > SHOWN and not options.all else ""
        )
        print(f"{rows:,} rows, {bad:,} cannot be trained on{more}" if bad else f"all {rows:,} rows can be trained on")
    return BAD_INPUT if bad or not rows else DONE


class _Counted:
    rows = 0


def find_problems(sources: list[str], counted: Any) -> Iterator[list[str]]:
    """The problems of each row that has any; `counted.rows` grows by every row. Ids are remembered as 64 bits each."""
    seen: set[int] = set()
    for record in read_records(sources):
        counted.rows += 1
        problems = _problems_of(record)
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
    raw = record.raw
    if raw is not None and _is_plain(record.values, raw):
        return []
    # The fast reader makes floats of whole numbers that are too large; a run's does not.
    values = record.values if raw is None else json.loads(raw)
    return find_row_problems(values, raw or record.line(), record.where, str(record.number))


def _is_plain(values: dict[str, Any], raw: bytes) -> bool:
    """Whether a row is one of the usual kind, in which the strict reader would find nothing; False sends it there."""
    if raw.count(b"{") + raw.count(b"[") > DEEPEST or _has_large_number(values):
        return False
    row = values if "messages" in values or "reference" in values else unify_form(values)
    if "tools" in row or "functions" in row or "database" in row or "conversations" in row:
        return False
    task = row.get("task", "default")
    if not isinstance(task, str) or task in ("", "all", "mean_reward"):
        return False
    turns = row.get("messages")
    if turns is not None:
        if "prompt" in row or "reference" in row or not (isinstance(row.get("id", "1"), str) and row.get("id", "1")):
            return False
        if not isinstance(turns, list) or len(turns) < 2:
            return False
        last = turns[-1]
        if not isinstance(last, dict) or last.get("role") != "assistant" or not last.get("content"):
            return False
    else:
        turns, reference = row.get("prompt"), row.get("reference", 0)
        if not isinstance(turns, list) or not turns or not isinstance(row.get("id"), str) or not row["id"]:
            return False
        if "task" not in row or not (reference is None or isinstance(reference, str)):
            return False
        if not isinstance(turns[-1], dict) or turns[-1].get("role") == "assistant":
            return False
    for turn in turns:
        if type(turn) is not dict or turn.keys() != _PLAIN_TURN:
            return False
        if type(turn["content"]) is not str or turn["role"] not in ROLES:
            return False
    return True


def _has_large_number(value: Any) -> bool:
    """Whether a value holds a number beyond _LARGEST; as deep as DEEPEST allows."""
    if isinstance(value, int | float):
        return not -_LARGEST < value < _LARGEST
    if isinstance(value, dict):
        return any(type(item) is not str and _has_large_number(item) for item in value.values())
    return isinstance(value, list) and any(type(item) is not str and _has_large_number(item) for item in value)
