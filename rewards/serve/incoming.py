"""What a request holds, whatever its dialect: a row and what the policy wrote; most trainers send the row as the label."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from rewards.errors import UserError
from rewards.serve.pool import Item
from rewards.types import Example
from rewards.writing.writable import to_json

_OWN = frozenset({"id", "task", "prompt", "reference", "columns"})
_ROW_KEYS = frozenset({"id", "task", "reference", "prompt"})
_PATHS = ("database", "schema")


def read_label(label: Any) -> dict[str, Any]:
    """The row in a label: an object, or its JSON text, as `rewards rows` writes it; any other text is the reference."""
    if isinstance(label, str) and label.lstrip()[:1] == "{":
        try:
            read = orjson.loads(label)
        except ValueError:
            read = None
        # The reference itself may be JSON: only an object with keys of a row is one.
        if isinstance(read, dict) and "reference" in read and _ROW_KEYS & read.keys() - {"reference"}:
            return read
    if isinstance(label, Mapping):
        return dict(label)
    if label is None:
        return {}
    return {"reference": label if isinstance(label, str) else to_json(label).decode()}


def make_example(row: Mapping[str, Any], prompt: Any, task: str, where: str) -> Example:
    """The example of a row; its own prompt, where it has one, stands before that of the request. Raises UserError."""
    said = row.get("prompt") or prompt or []
    messages = [{"role": "user", "content": said}] if isinstance(said, str) else list(said)
    reference = row.get("reference")
    if reference is not None and not isinstance(reference, str):
        reference = to_json(reference).decode()
    inner = row.get("columns")
    columns = {key: value for key, value in row.items() if key not in _OWN}
    columns.update(inner if isinstance(inner, Mapping) else {})
    name = row.get("id")
    if name is None:
        seen = to_json([messages, reference])
        name = hashlib.sha1(seen, usedforsecurity=False).hexdigest()[:12]
    if not all(isinstance(turn, Mapping) and isinstance(turn.get("content"), str) for turn in messages):
        raise UserError(f'{where}: the prompt is neither text nor a list of messages {{"role": ..., "content": ...}}')
    turns = [{"role": str(turn.get("role", "user")), "content": turn["content"]} for turn in messages]
    return Example(str(name), str(row.get("task") or task), turns, reference, columns)


def keep_inside(items: Sequence[Item], folders: Sequence[Path]) -> list[Item]:
    """The items with paths in their columns absolute; UserError for one that leads out of the folders with data.

    Who sends a row chooses what the server opens: a database or schema is read only where its owner has put such files.
    """
    kept = []
    for example, text, truncated in items:
        columns = dict(example.columns)
        for key in _PATHS:
            named = columns.get(key)
            if isinstance(named, str) and named and (key == "database" or named.lstrip()[:1] not in "{["):
                columns[key] = _find_inside(key, named, folders)
        if columns != example.columns:
            example = Example(example.id, example.task, example.prompt, example.reference, columns)
        kept.append((example, text, truncated))
    return kept


def _find_inside(key: str, named: str, folders: Sequence[Path]) -> str:
    try:
        for folder in folders:
            whole = (folder / named).resolve()
            if whole.is_relative_to(folder) and whole.is_file():
                return str(whole)
    except (OSError, ValueError):
        pass
    allowed = ", ".join(map(str, folders))
    raise UserError(f"{key}: no such file in a folder with data ({allowed}); start the server with --data FOLDER")


def text_of(content: Any) -> str:
    """The text of a message's content: itself, or that of its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return ""
