"""Rows of a run out of whatever its data section names: files, folders, patterns, CSV, Parquet, a Hub data set."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from grpo.data.records import DataRecord, read_records
from rewards.errors import UserError
from rewards.row_forms.columns import unify_form
from rewards.row_forms.conversations import FORMS
from rewards.rows import find_row_problems, make_strict_example, read_rows, shorten
from rewards.types import Example

_LINES = (".jsonl", ".ndjson", ".jl")
_SPECIAL = (".json", ".csv", ".tsv", ".parquet")


def read_any_rows(source: Path | str, *, unnamed: str = "", task_column: str | None = None) -> list[Example]:
    """All rows of a path, a folder, a pattern or a Hub data set (`hub:owner/name@revision[subset]#split`), in order.

    Rows without an id are called `unnamed` and their number. With `task_column` the value of that column is the task.
    Raises `UserError` with every problem found (the first 20, then their number).
    """
    name = str(source)
    path = Path(name)
    if name.startswith("hub:") or path.is_dir() or path.suffix.lower() in _SPECIAL or glob.has_magic(name):
        examples = _read_records(name, unnamed)
    else:
        examples = read_rows(path, unnamed=unnamed)
    return examples if task_column is None else _name_tasks(examples, task_column, name)


def _read_records(name: str, unnamed: str) -> list[Example]:
    examples: list[Example] = []
    problems: list[str] = []
    first: dict[str, str] = {}
    for number, record in enumerate(read_records([name]), 1):
        if record.values is None:
            problems.append(f"{record.where}: {record.problem}")
            continue
        row, own_id = drop_nothing(record.values), f"{unnamed}{number}"
        found = find_row_problems(row, record.line(), record.where, own_id)
        example, _ = make_strict_example(row, record.where, own_id) if not found else (None, [])
        if example is None:
            problems += found
            continue
        if example.id in first:
            problems.append(
                f"{record.where}: id {example.id!r} is already used in {first[example.id]}; ids must be unique"
            )
        first.setdefault(example.id, record.where)
        examples.append(_resolve_database(example, record))
    if not examples and not problems:
        problems.append(f"{name}: no rows")
    if problems:
        raise UserError(shorten(problems, name, " problems"))
    return examples


def drop_nothing(values: dict[str, Any]) -> dict[str, Any]:
    """Tables give every row every column: those that are empty are left out, and numbers may be ids."""
    row = {key: value for key, value in values.items() if value is not None or key == "reference"}
    row = unify_form(row)
    if isinstance(row.get("id"), int):
        row = {**row, "id": str(row["id"])}
    if any(form in row for form in FORMS):
        row.pop("reference", None)
    return row


def _resolve_database(example: Example, record: DataRecord) -> Example:
    named = example.columns.get("database")
    if not isinstance(named, str) or record.source.startswith("hub:"):
        return example
    whole = str((Path(record.source).parent / named).resolve())
    if not Path(whole).is_file():
        raise UserError(
            f"{record.where}: database: no such file: {whole}; a relative path starts at the folder of the rows"
        )
    return replace(example, columns={**example.columns, "database": whole})


def _name_tasks(examples: Sequence[Example], column: str, name: str) -> list[Example]:
    bad = [example.id for example in examples if not isinstance(example.columns.get(column), str)]
    if bad:
        shown = ", ".join(map(repr, bad[:3]))
        raise UserError(
            f"data.task_column: {len(bad)} rows of {name} have no text under {column!r}: {shown}; name another"
        )
    return [replace(example, task=str(example.columns[column])) for example in examples]
