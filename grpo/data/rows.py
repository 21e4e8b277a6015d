"""Rows on disk: JSON Lines read into examples, with every problem of a file reported at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.types import Example

ROLES = ("system", "user", "assistant", "tool")
SHOWN_PROBLEMS = 20
_OWN_KEYS = ("id", "task", "prompt", "reference", "messages")


def read_rows(path: Path) -> list[Example]:
    """All rows of a file, in its order.

    A relative `database` column comes back absolute, resolved against the file's folder. Raises `UserError` with every
    problem found (the first 20, then their number), each with file and line.
    """
    path = Path(path)
    examples: list[Example] = []
    problems: list[str] = []
    for example, found in _parse_file(path):
        problems += found
        if example is not None:
            examples.append(example)
    if problems:
        rest = len(problems) - SHOWN_PROBLEMS
        raise UserError(problems[:SHOWN_PROBLEMS] + ([f"{path}: and {rest} more problems"] if rest > 0 else []))
    return examples


def iterate_rows(path: Path) -> Iterator[Example]:
    """The rows one at a time, without holding the file in memory; raises `UserError` at the first bad line."""
    for example, problems in _parse_file(Path(path)):
        if problems:
            raise UserError(problems)
        if example is not None:
            yield example


def write_rows(path: Path, examples: Iterable[Example]) -> int:
    """Write the examples as JSON Lines and return how many; the file appears whole or not at all.

    A `database` column inside the file's folder is written relative to it, so that the folder can be moved.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.parent.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            for example in examples:
                file.write(json.dumps(_as_row(example, folder), ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
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


def _parse_file(path: Path) -> Iterator[tuple[Example | None, list[str]]]:
    """One pair a line that is not blank: the example or None, and the problems of that line."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None, [f"{path}: no such file; give the path of a JSON Lines file"]
        return
    except OSError as error:
        yield None, [f"{path}: cannot be read ({error.strerror}); give the path of a JSON Lines file"]
        return
    first_line_of: dict[str, int] = {}
    databases: dict[str, str] = {}  # as written -> absolute: thousands of rows name the same few
    empty = True
    with file:
        for number, raw in enumerate(file, start=1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if not raw.strip():
                continue
            empty = False
            where = f"{path}:{number}"
            row, problem = _parse_json(raw, where)
            if row is None:
                yield None, [problem]
                continue
            example, problems = _make_example(row, where, number)
            row_id = row.get("id", str(number) if "messages" in row else None)
            if isinstance(row_id, str) and row_id:
                first = first_line_of.setdefault(row_id, number)
                if first != number:
                    problems.append(f"{where}: id {row_id!r} is already used in line {first}; ids must be unique")
            named = example.columns.get("database") if example is not None else None
            if named is not None:
                if named not in databases:
                    databases[named] = str((path.parent / named).resolve())
                    if not Path(databases[named]).is_file():
                        problems.append(
                            f"{where}: database: no such file: {databases[named]}; "
                            "a relative path starts at the folder of the rows"
                        )
                example.columns["database"] = databases[named]
            yield (None if problems else example), problems
    if empty:
        yield None, [f"{path}: the file is empty; it must hold at least one row, one JSON object a line"]


def _parse_json(raw: bytes, where: str) -> tuple[dict[str, Any] | None, str]:
    try:
        row = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, f"{where}: not UTF-8 (byte {error.start} of the line); save the file as UTF-8"
    except (ValueError, RecursionError) as error:
        if not raw.endswith(b"\n"):
            return (
                None,
                f"{where}: half-written last line (no JSON, no line end); write the file again or delete the line",
            )
        reason = getattr(error, "msg", None) or str(error)
        return (
            None,
            f"{where}: not JSON ({reason}, column {getattr(error, 'colno', 1)}); one JSON object a line is allowed",
        )
    if not isinstance(row, dict):
        return None, f"{where}: a JSON {_kind(row)}; each line must be a JSON object"
    return row, ""


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _make_example(row: dict[str, Any], where: str, number: int) -> tuple[Example | None, list[str]]:
    problems: list[str] = []
    if "messages" in row:
        row = _from_messages(row, where, number, problems)
    else:
        missing = [key for key in ("id", "task", "prompt", "reference") if key not in row]
        if missing:
            problems.append(
                f"{where}: missing {', '.join(missing)}; a row has id, task, prompt and reference, or else messages"
            )
    for key in ("id", "task"):
        if key in row and (not isinstance(row[key], str) or not row[key]):
            problems.append(f"{where}: {key}: a text that is not empty is allowed, not {_kind(row[key])}")
    if "prompt" in row:
        problems += _prompt_problems(row["prompt"], f"{where}: prompt")
    reference = row.get("reference")
    if reference is not None and not isinstance(reference, str):
        advice = "; write the JSON as a string" if isinstance(reference, dict | list) else ""
        problems.append(f"{where}: reference: a text (or null) is allowed, not {_kind(reference)}{advice}")
    columns = {key: value for key, value in row.items() if key not in _OWN_KEYS}
    if "database" in columns and not (isinstance(columns["database"], str) and columns["database"]):
        problems.append(f"{where}: database: a path is allowed, not {_kind(columns['database'])}")
    if problems:
        return None, problems
    return Example(row["id"], row["task"], row["prompt"], reference, columns), []


def _from_messages(row: dict[str, Any], where: str, number: int, problems: list[str]) -> dict[str, Any]:
    """The row with `prompt` and `reference` in place of `messages`; what is wrong goes into `problems`."""
    both = [key for key in ("prompt", "reference") if key in row]
    if both:
        problems.append(f"{where}: has messages and also {' and '.join(both)}; keep one of the two forms")
    plain = {key: value for key, value in row.items() if key not in ("messages", "prompt", "reference")}
    plain.setdefault("id", str(number))
    plain.setdefault("task", "default")
    messages = row["messages"]
    found = _turn_problems(messages, f"{where}: messages")
    if not found and (messages[-1]["role"] != "assistant" or len(messages) < 2):
        found = [f"{where}: messages: the last turn must be the assistant's, with a prompt before it"]
    problems += found
    if found:
        return plain
    return {**plain, "prompt": messages[:-1], "reference": messages[-1]["content"]}


def _prompt_problems(prompt: Any, where: str) -> list[str]:
    if isinstance(prompt, str):
        return [f'{where}: a bare text; write [{{"role": "user", "content": "..."}}]']
    problems = _turn_problems(prompt, where)
    if not problems and prompt[-1]["role"] == "assistant":
        problems.append(f"{where}: ends with an assistant turn; the answer belongs into reference")
    return problems


def _turn_problems(turns: Any, where: str) -> list[str]:
    if not isinstance(turns, list) or not turns:
        return [f"{where}: a list of at least one message is allowed, not {_kind(turns)}"]
    problems = []
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            problems.append(f"{where}[{index}]: an object with role and content is allowed, not {_kind(turn)}")
            continue
        if turn.get("role") not in ROLES:
            problems.append(f"{where}[{index}].role: {turn.get('role')!r} is not one of {', '.join(ROLES)}")
        if not isinstance(turn.get("content"), str):
            problems.append(f"{where}[{index}].content: a text is allowed, not {_kind(turn.get('content'))}")
    return problems


def _kind(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    if value == "" or value == [] or value == {}:
        return "an empty " + {str: "text", list: "list", dict: "object"}[type(value)]
    names = {bool: "true/false", int: "number", float: "number", str: "text", list: "list", dict: "object"}
    return names[type(value)]
