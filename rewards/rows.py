"""Rows of JSON Lines for the commands: examples, and completions to be scored, with every problem of a file at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.types import Completion, Example

SHOWN_PROBLEMS = 20
_OWN_KEYS = frozenset({"id", "task", "prompt", "reference", "completion", "truncated", "messages"})


def read_examples(path: str) -> list[Example]:
    """The examples of a file, `-` for standard input; raises UserError with every bad line."""
    return _read(path, lambda row, where, number: make_example(row, where, number, _folder_of(path)))


def read_completions(path: str) -> list[tuple[Example, Completion]]:
    """Rows that have a `completion`, a run's stored completions among them; raises UserError with every bad line."""

    def make(row: dict[str, Any], where: str, number: int) -> tuple[Example, Completion]:
        if not isinstance(row.get("completion"), str):
            raise UserError(f"{where}: no text under 'completion'; each row needs the text to be scored")
        completion = Completion(row["completion"], bool(row.get("truncated", False)))
        return make_example(row, where, number, _folder_of(path)), completion

    return _read(path, make)


def make_example(row: dict[str, Any], where: str, number: int, folder: Path | None) -> Example:
    """One row as an example; a relative `database` is resolved against `folder`. Raises UserError.

    A prompt may be a bare text, `messages` stand for prompt and reference. The columns of a stored completion are those
    that its row had.
    """
    row = _split_messages(row, where) if "messages" in row else row
    prompt, reference = row.get("prompt", []), row.get("reference")
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list) or not all(
        isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in prompt
    ):
        raise UserError(f'{where}: \'prompt\' is no list of messages; write [{{"role": "user", "content": "..."}}]')
    if reference is not None and not isinstance(reference, str):
        raise UserError(f"{where}: 'reference' is no text; write a JSON answer as a string")
    if "scores" in row and "completion" in row:
        columns = row.get("columns") or {}
    else:
        columns = {key: value for key, value in row.items() if key not in _OWN_KEYS}
    database = columns.get("database")
    if folder is not None and isinstance(database, str) and database and not os.path.isabs(database):
        columns = {**columns, "database": str((folder / database).resolve())}
    return Example(str(row.get("id", number)), str(row.get("task", "default")), prompt, reference, columns)


def read_objects(path: str) -> Iterator[tuple[int, str, dict[str, Any] | str]]:
    """Number, place and object of each line that is not blank; the third is a text saying what is wrong, where it is.

    Raises OSError and UnicodeDecodeError.
    """
    with open(0 if path == "-" else path, encoding="utf-8-sig", closefd=path != "-") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, where, f"{where}: not JSON ({error})"
                continue
            yield number, where, row if isinstance(row, dict) else f"{where}: no JSON object; each line must be one"


def shorten(problems: list[str], where: str) -> list[str]:
    """The first problems, and how many more there are."""
    rest = len(problems) - SHOWN_PROBLEMS
    return problems[:SHOWN_PROBLEMS] + ([f"{where}: and {rest} more"] if rest > 0 else [])


def _read(path: str, make: Callable[[dict[str, Any], str, int], Any]) -> list[Any]:
    made, problems = [], []
    try:
        for number, where, row in read_objects(path):
            if isinstance(row, str):
                problems.append(row)
                continue
            try:
                made.append(make(row, where, number))
            except UserError as error:
                problems.extend(error.problems)
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}); give the path of a JSON Lines file")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8")
    if not made and not problems:
        problems.append(f"{path}: no rows; give one JSON object a line")
    if problems:
        raise UserError(shorten(problems, path))
    return made


def _folder_of(path: str) -> Path | None:
    return None if path == "-" else Path(path).resolve().parent


def _split_messages(row: dict[str, Any], where: str) -> dict[str, Any]:
    messages = row["messages"]
    if not isinstance(messages, list) or len(messages) < 2 or not isinstance(messages[-1], dict):
        raise UserError(f"{where}: 'messages' needs at least a prompt and the assistant's answer")
    return {**row, "prompt": messages[:-1], "reference": messages[-1].get("content")}
