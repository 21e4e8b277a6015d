"""The one reader of rows: JSON Lines as examples, strict for what a run or an audit rests on, lenient for single scores.

Nothing that a file can hold ends in a traceback or a hang: each problem is a line with file and line number.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from rewards.errors import UserError
from rewards.row_forms.bounds import DEEPEST, find_unwritable, is_deeper
from rewards.row_forms.coding import find_wide_coding, name_coding
from rewards.row_forms.columns import unify_form
from rewards.row_forms.conversations import FORMS, Turn, cut_conversation, kind_of, read_turns, tell_tools
from rewards.types import Completion, Example

SHOWN_PROBLEMS = 20
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes that one row may have: what is longer is not a row that a policy could be shown."""

_OWN_KEYS = frozenset({"id", "task", "prompt", "reference", "completion", "truncated", *FORMS})
_RECORD_KEYS = frozenset({"reward", "scores", "repairs", "stage", "step", "group", "advantage", "columns"})
ROW_KEYS = ("id", "task", "prompt", "reference")
_STRICT_KEYS = frozenset({*ROW_KEYS, *FORMS})
_KEPT_TASKS = {"all": "holds the mean over all tasks", "mean_reward": "is the name of the mean over all tasks"}
_BOM = b"\xef\xbb\xbf"
_OTHER_FILES = {
    b"\x1f\x8b": "compressed; unpack it first: gunzip -k {path}",
    b"PK\x03\x04": "a zip archive or a spreadsheet; save its rows as JSON Lines or CSV",
    b"PAR1": "a Parquet file; make rows of it: python -m grpo.init {path}",
    b"\x28\xb5\x2f\xfd": "compressed; unpack it first: unzstd {path}",
}


class Parsed(NamedTuple):
    """One line that is not blank: `row` is None where `problems` say what is wrong with it, `raw` what stands there."""

    number: int
    example: Example | None
    problems: list[str]
    raw: bytes


def read_rows(path: Path | str, *, unnamed: str = "", needed: Sequence[str] = ROW_KEYS) -> list[Example]:
    """All rows of a file, in its order.

    A row has `id`, `task`, `prompt` and `reference`, or a conversation under `messages` or `conversations`, whose answer is
    the reference; such a row without an id is called `unnamed` and its line number, without a task `default`. Of the four
    keys those that are not `needed` may be left out, as where rows only bring references to answers. A relative
    `database` comes back absolute, resolved against the file's folder. Raises `UserError` with every problem found (the
    first 20, then their number), each with file and line.
    """
    examples: list[Example] = []
    problems: list[str] = []
    for parsed in parse_file(path, unnamed=unnamed, needed=needed):
        problems += parsed.problems
        if parsed.example is not None:
            examples.append(parsed.example)
    if problems:
        raise UserError(shorten(problems, path, " problems"))
    return examples


def iterate_rows(path: Path | str, *, unnamed: str = "") -> Iterator[Example]:
    """The rows one at a time, without holding the file in memory; raises `UserError` at the first bad line."""
    for parsed in parse_file(path, unnamed=unnamed):
        if parsed.problems:
            raise UserError(parsed.problems)
        if parsed.example is not None:
            yield parsed.example


def parse_file(path: Path | str, *, unnamed: str = "", needed: Sequence[str] = ROW_KEYS) -> Iterator[Parsed]:
    """Every line of a file that is not blank, with what is wrong with it; raises nothing. `-` is standard input."""
    path = Path(path) if path != "-" else "-"
    folder = Path() if path == "-" else Path(path).parent
    first_line_of: dict[str, int] = {}
    databases: dict[str, str] = {}  # as written -> absolute: thousands of rows name the same few
    empty = True
    for number, raw, row, problem in _read_lines(path):
        empty = False
        if row is None:
            yield Parsed(number, None, [problem], raw)
            continue
        where = f"{path}:{number}"
        example, problems = make_strict_example(row, where, f"{unnamed}{number}", needed)
        problems += find_unwritable(row, raw, where)
        named_by_line = "id" not in row and any(form in unify_form(row) for form in FORMS)
        row_id = f"{unnamed}{number}" if named_by_line else unify_form(row).get("id")
        if isinstance(row_id, str) and row_id:
            first = first_line_of.setdefault(row_id, number)
            if first != number:
                problems.append(f"{where}: id {row_id!r} is already used in line {first}; ids must be unique")
        named = example.columns.get("database") if example is not None else None
        if example is not None and named is not None:
            if named not in databases:
                databases[named] = _place_database(folder, named)
                if not Path(databases[named]).is_file():
                    problems.append(
                        f"{where}: database: no such file: {databases[named]}; "
                        "a relative path starts at the folder of the rows"
                    )
            example = replace(example, columns={**example.columns, "database": databases[named]})
        yield Parsed(number, None if problems else example, problems, raw)
    if empty:
        said = f"{path}: the file is empty; it must hold at least one row, one JSON object a line"
        yield Parsed(0, None, [said], b"")


def make_strict_example(
    row: dict[str, Any], where: str, own_id: str, needed: Sequence[str] = ROW_KEYS
) -> tuple[Example | None, list[str]]:
    """One row as a run reads it, or None with everything that is wrong with it; `own_id` is for a conversation without one."""
    problems: list[str] = []
    row = unify_form(row)
    form = next((name for name in FORMS if name in row), None)
    prompt: list[Turn] = []
    reference = row.get("reference")
    if form is not None:
        both = [key for key in ("prompt", "reference", *FORMS) if key in row and key != form]
        if both:
            problems.append(f"{where}: has {form} and also {' and '.join(both)}; keep one of the two forms")
        cut = cut_conversation(row, form, where, problems)
        prompt, reference = cut or ([], None)
        row = {"id": own_id, "task": "default", **row}
    else:
        missing = [key for key in needed if key not in row]
        if missing:
            problems.append(
                f"{where}: missing {', '.join(missing)}; a row has {_list_words(needed)}, or else messages "
                "(other columns: python -m grpo.init makes rows of them)"
            )
        if "prompt" in row:
            prompt = _read_prompt(row, where, problems)
        if reference is not None and not isinstance(reference, str):
            advice = "; write the JSON as a string" if isinstance(reference, dict | list) else ""
            problems.append(f"{where}: reference: a string (or null) is allowed, not {kind_of(reference)}{advice}")
    for key in ("id", "task"):
        if key in row and (not isinstance(row[key], str) or not row[key]):
            problems.append(f"{where}: {key}: a string that is not empty is allowed, not {kind_of(row[key])}")
    if isinstance(row.get("task"), str) and row["task"] in _KEPT_TASKS:
        problems.append(f"{where}: task: {row['task']!r} {_KEPT_TASKS[row['task']]}; choose another name")
    if isinstance(reference, str) and is_deeper(reference, DEEPEST):
        problems.append(f"{where}: reference: JSON of more than {DEEPEST} levels; flatten it")
    columns = {key: value for key, value in row.items() if key not in _STRICT_KEYS}
    if "database" in columns and not (isinstance(columns["database"], str) and columns["database"]):
        problems.append(f"{where}: database: a path is allowed, not {kind_of(columns['database'])}")
    if problems:
        return None, problems
    return Example(row["id"], row.get("task", "default"), prompt, reference, columns), []


def _list_words(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def find_row_problems(row: dict[str, Any], raw: bytes, where: str, own_id: str) -> list[str]:
    """What is wrong with one row, as a run would say it."""
    _, problems = make_strict_example(row, where, own_id)
    return problems + find_unwritable(row, raw, where)


def read_examples(path: str) -> list[Example]:
    """Sample rows, read as leniently as `read_completions`; `-` is standard input."""
    folder = None if path == "-" else Path(path).resolve().parent
    return _collect(path, lambda row, where, number: make_example(row, where, number, folder))


def read_completions(path: str) -> list[tuple[Example, Completion]]:
    """Rows that have a `completion`, a run's stored completions among them; raises UserError with every bad line.

    Read leniently: a prompt may be a bare text, and id, task and reference may be missing. `-` is standard input.
    """
    folder = None if path == "-" else Path(path).resolve().parent

    def make(row: dict[str, Any], where: str, number: int) -> tuple[Example, Completion]:
        if not isinstance(row.get("completion"), str):
            raise UserError(f"{where}: no text under 'completion'; each row needs the text to be scored")
        return make_example(row, where, number, folder), Completion.from_row(row)

    return _collect(path, make)


def make_example(row: dict[str, Any], where: str, number: int, folder: Path | None) -> Example:
    """One row as an example, read leniently; a relative `database` is resolved against `folder`. Raises UserError.

    The columns of a stored completion are those that its row had: under `columns`, and at the top where it has others.
    """
    form = next((name for name in FORMS if name in row), None)
    prompt, reference = row.get("prompt", []), row.get("reference")
    problems: list[str] = []
    if form is not None:
        prompt, reference = cut_conversation(row, form, where, problems) or ([], None)
    elif isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    elif not isinstance(prompt, list) or not all(
        isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in prompt
    ):
        problems.append(f'{where}: \'prompt\' is not a list of messages; write [{{"role": "user", "content": "..."}}]')
    if reference is not None and not isinstance(reference, str):
        problems.append(f"{where}: 'reference' is not text; write a JSON answer as a string")
    if problems:
        raise UserError(problems)
    own = _OWN_KEYS | _RECORD_KEYS if "scores" in row and "completion" in row else _OWN_KEYS
    columns = {key: value for key, value in row.items() if key not in own}
    if "completion" in row and isinstance(row.get("columns"), dict):
        columns |= row["columns"]
    database = columns.get("database")
    if folder is not None and isinstance(database, str) and database and not os.path.isabs(database):
        columns = {**columns, "database": _place_database(folder, database)}
    return Example(str(row.get("id", number)), str(row.get("task", "default")), prompt, reference, columns)


def read_objects(path: str) -> Iterator[tuple[int, str, dict[str, Any] | str]]:
    """Number, place and object of each line that is not blank, whatever it holds; `-` is standard input.

    The third is a text saying what is wrong where a line holds no object.
    """
    for number, _, row, problem in _read_lines(path):
        yield number, f"{path}:{number}", problem if row is None else row


def shorten(problems: list[str], where: Path | str, what: str = "") -> list[str]:
    """The first problems, and how many more there are."""
    rest = len(problems) - SHOWN_PROBLEMS
    return problems[:SHOWN_PROBLEMS] + ([f"{where}: and {rest} more{what}"] if rest > 0 else [])


def _collect(path: str, make: Callable[[dict[str, Any], str, int], Any]) -> list[Any]:
    made, problems = [], []
    for number, where, row in read_objects(path):
        try:
            if isinstance(row, str):
                raise UserError(row)
            made.append(make(row, where, number))
        except UserError as error:
            problems.extend(error.problems)
    if not made and not problems:
        problems.append(f"{path}: no rows; give one JSON object a line")
    if problems:
        raise UserError(shorten(problems, path))
    return made


def _read_prompt(row: dict[str, Any], where: str, problems: list[str]) -> list[dict[str, str]]:
    prompt = row["prompt"]
    if isinstance(prompt, str):
        problems.append(f'{where}: prompt: a bare text; write [{{"role": "user", "content": "..."}}]')
        return []
    found: list[str] = []
    turns = read_turns(prompt, f"{where}: prompt", found)
    if not found and turns[-1]["role"] == "assistant":
        found.append(f"{where}: prompt: ends with an assistant turn; the answer belongs into reference")
    if not found:
        turns = tell_tools(turns, row, where, found)
    problems += found
    return turns


def _read_lines(path: Path | str) -> Iterator[tuple[int, bytes, dict[str, Any] | None, str]]:
    """Number, bytes, object (or None) and problem of each line that is not blank; a file that cannot be read is line 0."""
    try:
        file = _open(path)
    except FileNotFoundError:
        yield 0, b"", None, f"{path}: no such file; give the path of a JSON Lines file"
        return
    except OSError as error:
        yield 0, b"", None, f"{path}: cannot be read ({error.strerror}); give the path of a JSON Lines file"
        return
    except UserError as error:
        yield 0, b"", None, str(error)
        return
    with file:
        number = 0
        try:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                where = f"{path}:{number}"
                if number == 1 or raw.startswith(b"\0"):  # the rest of an empty first line
                    other = next((said for mark, said in _OTHER_FILES.items() if raw.startswith(mark)), None)
                    if coding := find_wide_coding(raw):
                        other = f"{name_coding(coding)}; save the file as UTF-8"
                    if other is not None:
                        yield number, raw, None, f"{where}: {other.format(path=path)}"
                        return
                    raw = raw.removeprefix(_BOM)
                if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                    size = len(raw) + _skip_line(file)
                    limit = f"{LONGEST_LINE // 2**20} MiB"
                    yield (
                        number,
                        b"",
                        None,
                        f"{where}: a line of {size // 2**20} MiB; one row may have {limit}; shorten it",
                    )
                    continue
                if not raw.strip():
                    continue
                row, problem = _parse_json(raw, where)
                if row is None and number == 1 and raw.strip() in (b"[", b"{"):
                    yield (
                        number,
                        raw,
                        None,
                        (
                            f"{where}: one JSON document over many lines; each line must be a row: "
                            f"python -m grpo.init {path} makes rows of it"
                        ),
                    )
                    return
                yield number, raw, row, problem
        except OSError as error:
            yield number + 1, b"", None, f"{path}:{number + 1}: cannot be read on ({error.strerror})"


def _open(path: Path | str) -> IO[bytes]:
    """The file, never one whose reading might not end; raises OSError and UserError."""
    if path == "-":
        return open(0, "rb", closefd=False)
    try:
        mode = os.stat(path).st_mode
    except ValueError:  # a NUL in its name
        raise UserError(f"{str(path)!r}: no such file; no name of a file holds such a character") from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file (a pipe or a device); write its rows into a file and give that")
    return open(path, "rb")


def _place_database(folder: Path, named: str) -> str:
    try:
        return str((folder / named).resolve())
    except (ValueError, OSError, RuntimeError):  # a NUL, a circle of links: whoever looks for it finds no file
        return str(folder / named)


def _skip_line(file: IO[bytes]) -> int:
    size = 0
    while (more := file.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
        size += len(more)
    return size + len(more)


def _parse_json(raw: bytes, where: str) -> tuple[dict[str, Any] | None, str]:
    try:
        row = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, f"{where}: not UTF-8 (byte {error.start} of the line); save the file as UTF-8"
    except RecursionError:
        return None, f"{where}: nested too deep; at most {DEEPEST} levels are read"
    except ValueError as error:
        if not raw.endswith(b"\n"):
            said = "half-written last line (not JSON, no line end); write the file again or delete the line"
            return None, f"{where}: {said}"
        reason = getattr(error, "msg", None) or str(error)
        column = getattr(error, "colno", 1)
        if raw.rstrip().endswith(b"},"):
            return (
                None,
                f"{where}: a comma ends the line, as in a JSON array; JSON Lines has one object per line, without commas between them",
            )
        return None, f"{where}: not JSON ({reason}, column {column}); one JSON object a line is allowed"
    if not isinstance(row, dict):
        return None, f"{where}: a JSON {kind_of(row).removeprefix('an ')}; each line must be a JSON object"
    return row, ""


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)
