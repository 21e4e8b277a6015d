"""Stored completions as the rows of a table that a tracker can show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from rewards.writing.writable import replace_halves

# Longer texts make a table that no browser opens; all of them are whole in the run directory.
_LONGEST = 8000
_FIXED = ("step", "id", "task", "reward", "prompt", "completion", "reference", "truncated", "repairs")


def read_records(path: Path) -> list[Mapping[str, Any]]:
    """The stored completions of a file; lines that are not objects are left out."""
    records: list[Mapping[str, Any]] = []
    for line in path.read_bytes().splitlines():
        try:
            record = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def make_table(records: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows: the fixed columns, group and advantage in training, then `score/<function>` for each function."""
    trained = any("advantage" in record for record in records)
    functions = sorted({name for record in records for name in _scores(record)})
    extra = ("group", "advantage") if trained else ()
    rows = [
        [*(_cell(record, key) for key in (*_FIXED, *extra)), *(_score(record, name) for name in functions)]
        for record in records
    ]
    return [*_FIXED, *extra, *(f"score/{name}" for name in functions)], rows


def _cell(record: Mapping[str, Any], key: str) -> Any:
    value = record.get(key)
    if key == "prompt" and isinstance(value, list):
        value = "\n\n".join(str(turn.get("content", "")) for turn in value if isinstance(turn, Mapping))
    if key == "repairs":
        value = ", ".join(map(str, value or ()))
    if isinstance(value, str):
        return replace_halves(value[:_LONGEST])
    return (
        value if value is None or isinstance(value, bool | int | float) else json.dumps(value, default=str)[:_LONGEST]
    )


def _scores(record: Mapping[str, Any]) -> Mapping[str, Any]:
    scores = record.get("scores")
    return scores if isinstance(scores, Mapping) else {}


def _score(record: Mapping[str, Any], name: str) -> float | None:
    score = _scores(record).get(name)
    value = score.get("value") if isinstance(score, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
