"""Rows written to disk; they are read by the one reader, rewards/rows.py."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewards.rows import iterate_rows, read_rows
from rewards.types import Example
from rewards.writing.files import replacing

__all__ = ["iterate_rows", "read_rows", "write_rows"]


def write_rows(path: Path, examples: Iterable[Example]) -> int:
    """Write the examples as JSON Lines and return how many; the file appears whole or not at all.

    A `database` column inside the file's folder is written relative to it, so that the folder can be moved.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.resolve()
    count = 0
    with replacing(path, settle=True) as file:
        for example in examples:
            file.write((json.dumps(_as_row(example, folder), ensure_ascii=False) + "\n").encode())
            count += 1
    return count


def _as_row(example: Example, folder: Path) -> dict[str, Any]:
    row = {
        "id": example.id,
        "task": example.task,
        "prompt": [dict(message) for message in example.prompt],
        "reference": example.reference,
        **example.columns,
    }
    database = row.get("database")
    if isinstance(database, str) and Path(database).is_absolute() and Path(database).is_relative_to(folder):
        row["database"] = Path(database).relative_to(folder).as_posix()
    return row
