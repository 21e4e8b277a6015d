"""Records out of whatever a user has: JSON Lines, a JSON array, CSV, Parquet, compressed or in folders, or a data set of the Hub."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grpo.data.class_labels import find_label_names, list_label_names, name_labels
from grpo.data.set_folders import find_files, load_saved
from grpo.data.unpacking import SUFFIXES, name_packing, unpack
from rewards.errors import UserError
from rewards.row_forms.coding import find_wide_coding, name_coding
from rewards.row_forms.conversations import kind_of

_WHITE = " \t\r\n"
LARGEST_FILE = 2 * 1024**3
"""Bytes that a file may have: it is read whole."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_JSON_LINES = (".jsonl", ".ndjson", ".jl")
_INSTALL = "pip install -e '.[train]'"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One row as it was found: `where` names its place, `values` its columns."""

    where: str
    values: Mapping[str, Any]


@dataclass
class FoundRecords:
    """The records of a source, `problems` with those that are none, and `notes` on how it was read."""

    name: str
    form: str
    records: list[SourceRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_source(name: str, *, split: str = "train", subset: str | None = None) -> FoundRecords:
    """All records of a file, a folder, or a Hub data set called `owner/name`; `split` is a folder's too, `subset` the Hub's.

    A line that is not a record is a problem with its place. Raises `UserError` where nothing can be read at all.
    """
    path = Path(name).expanduser()
    if not path.exists():
        if _may_be_on_the_hub(name):
            return _read_hub(name, split, subset)
        raise UserError(
            f"{name}: no such file; give a JSON Lines, JSON, CSV or Parquet file, a folder of them, or a Hub data set as owner/name"
        )
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return _read_folder(path, name, split)
    if not stat.S_ISREG(mode):
        raise UserError(f"{name}: not a regular file (a pipe or a device); write its rows into a file and give that")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(
            f"{name}: {path.stat().st_size / 2**30:.1f} GiB, and files are read whole up to 2; give a part of it"
        )
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from None
    if start.startswith(b"PK\x03\x04"):
        raise UserError(f"{name}: a zip archive or a spreadsheet; save its rows as CSV (UTF-8) and give that")
    if start.startswith(b"PAR1"):
        return _read_parquet(path, name)
    packing = name_packing(start)
    raw = unpack(path, packing, name, LARGEST_FILE) if packing else path.read_bytes()
    if not raw.strip():
        raise UserError(f"{name}: the file is empty")
    plain = path.with_suffix("") if packing and path.suffix.lower() in SUFFIXES else path
    text, notes = _decode(raw, plain, name)
    found = _read_text(text, plain, name)
    if packing:
        found.form = f"{found.form} ({packing})"
    found.notes[:0] = notes
    return found


def _read_folder(path: Path, name: str, split: str) -> FoundRecords:
    saved = load_saved(path, name, split)
    if saved is not None:
        rows, form = saved
        found = FoundRecords(name, form)
        labels = list_label_names(rows.features.to_dict() if rows.features else {})
        for index, row in enumerate(rows):
            found.records.append(SourceRecord(f"{name}: row {index + 1}", name_labels(clean_value(row), labels)))
        return found
    files = find_files(path, name, split)
    parts = [read_source(str(file)) for file in files]
    shards = f"{len(files)} files of {parts[0].form}" if len(files) > 1 else f"{parts[0].form}, {files[0].name}"
    return FoundRecords(
        name,
        shards,
        [record for part in parts for record in part.records],
        [problem for part in parts for problem in part.problems],
        list(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _read_text(text: str, path: Path, name: str) -> FoundRecords:
    suffix, first = path.suffix.lower(), text.lstrip(_WHITE)[:1]
    if suffix in (".csv", ".tsv", ".tab") or (first not in ("{", "[") and suffix not in (".json", *_JSON_LINES)):
        return _read_csv(text, name)
    if first == "[" and suffix not in _JSON_LINES:
        return _read_array(text, name, text.index("["))
    document = None if suffix in _JSON_LINES else _find_inner_list(text)
    return document(name) if document else _read_lines(text, name)


def _decode(raw: bytes, path: Path, name: str) -> tuple[str, list[str]]:
    if coding := find_wide_coding(raw):
        known = name_coding(coding)
        try:
            text = raw.decode(coding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise UserError(f"{name}: begins like {known} but is not; save the file as UTF-8") from None
        if not text.strip():
            raise UserError(f"{name}: the file is empty")
        return text, [f"the file is {known}; its rows are written as UTF-8"]
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        if path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt"):
            # What spreadsheets on Windows write where nobody asked for UTF-8.
            note = f"line {line} is not UTF-8: the file is read as Windows-1252; check that accents came out right"
            return raw.decode("cp1252", "replace"), [note]
        raise UserError(f"{name}:{line}: not UTF-8; save the file as UTF-8") from None


def _read_lines(text: str, name: str) -> FoundRecords:
    found = FoundRecords(name, "JSON Lines")
    # Other marks that str.splitlines knows as line ends stand inside of JSON's texts.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{name}:{number}"
            _add(found, where, *_parse(line, where))
    return found


def _read_array(text: str, name: str, start: int, form: str = "a JSON array") -> FoundRecords:
    """The elements of the array that begins at `start`, each with the line it begins in."""
    found, place, line, counted = FoundRecords(name, form), start + 1, 1, 0
    while True:
        while place < len(text) and text[place] in _WHITE + ",":
            place += 1
        line, counted = line + text.count("\n", counted, place), place
        where = f"{name}:{line}"
        if place >= len(text):
            found.problems.append(f"{where}: the array ends without its bracket; is the file whole?")
            return found
        if text[place] == "]":
            return found
        try:
            value, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            # After a fault nothing tells where the next element begins.
            found.problems.append(
                f"{where}: not JSON ({getattr(error, 'msg', None) or error}); nothing after it was read"
            )
            return found
        _add(found, where, value, "")


def _find_inner_list(text: str) -> Any:
    """How to read one object whose only list of objects holds the rows, such as {"data": [...]}; None where it is no such."""
    if text.lstrip(_WHITE)[:1] != "{":
        return None
    try:
        document, end = _DECODER.raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return None
    if text[end:].strip() or not isinstance(document, dict):
        return None
    if len(document) > 1 and all(isinstance(value, dict) for value in document.values()):
        return _read_numbered(document)
    lists = [key for key, value in document.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) != 1 or lists[0] in ("messages", "conversations", "prompt", "completion", "tools"):
        return None

    def read(name: str) -> FoundRecords:
        found = FoundRecords(name, f"the list under {lists[0]!r} of a JSON object")
        for index, value in enumerate(document[lists[0]]):
            _add(found, f"{name}: {lists[0]}[{index}]", value, "")
        return found

    return read


def _read_numbered(document: dict[str, Any]) -> Any:
    """How to read one object whose every value is a row, such as {"1": {...}, "2": {...}}; the keys are the ids."""

    def read(name: str) -> FoundRecords:
        found = FoundRecords(name, "a JSON object of rows by id")
        for key, value in document.items():
            _add(found, f"{name}: {key}", value if "id" in value else {"id": key, **value}, "")
        return found

    return read


def _parse(line: str, where: str) -> tuple[Any, str]:
    try:
        return _DECODER.decode(line), ""
    except (ValueError, RecursionError) as error:
        reason, column = getattr(error, "msg", None) or str(error), getattr(error, "colno", 1)
        if line.rstrip().endswith("},"):
            return (
                None,
                f"{where}: a comma ends the line, as in a JSON array; JSON Lines has one object per line, without commas between them",
            )
        return None, f"{where}: not JSON ({reason}, column {column}); one JSON object a line is allowed"


def _add(found: FoundRecords, where: str, value: Any, problem: str) -> None:
    if problem:
        found.problems.append(problem)
    elif not isinstance(value, dict):
        kind = kind_of(value).removeprefix("an empty ")
        found.problems.append(f"{where}: a JSON {kind}; each row must be a JSON object")
    else:
        found.records.append(SourceRecord(where, value))


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_reject_constant)


def _read_csv(text: str, name: str) -> FoundRecords:
    """Cells as texts, empty ones as None; a row with more or fewer cells than the header is a problem."""
    first = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=first.count)
    found = FoundRecords(name, f"CSV with {_DELIMITERS[delimiter]}")
    if first.count(delimiter) == 0:
        raise UserError(
            f"{name}:1: no table: {first.strip()[:60]!r} has one column; a row needs a question and an answer"
        )
    csv.field_size_limit(16 * 1024 * 1024)
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise UserError(f"{name}:{line}: a NUL character; this is not text, or it is damaged")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begins = 1
    try:
        header = [cell.strip() for cell in next(reader)]
        twice = sorted({cell for cell in header if header.count(cell) > 1})
        if twice or "" in header:
            said = f"two columns are called {twice[0]!r}" if twice and twice[0] else "a column has no name"
            raise UserError(f"{name}:1: {said}; name each column in the first line")
        begins = reader.line_num + 1
        for cells in reader:
            where, begins = f"{name}:{begins}", reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                found.problems.append(
                    f"{where}: {len(cells)} cells, and the header has {len(header)}; quote texts with {delimiter!r}"
                )
                continue
            found.records.append(
                SourceRecord(
                    where, {key: cell if cell.strip() else None for key, cell in zip(header, cells, strict=True)}
                )
            )
    except csv.Error as error:
        found.problems.append(f"{name}:{begins}: not CSV ({error})")
    return found


def _read_parquet(path: Path, name: str) -> FoundRecords:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{name}: reading Parquet needs pyarrow; install it: {_INSTALL}") from None
    found = FoundRecords(name, "Parquet")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            labels = find_label_names(file.schema_arrow.metadata)
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    values = name_labels(clean_value(row), labels)
                    found.records.append(SourceRecord(f"{name}: row {len(found.records) + 1}", values))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{name}: cannot be read as Parquet ({_first_line(error)})") from None
    return found


def _may_be_on_the_hub(name: str) -> bool:
    parts = name.split("/")
    plain = all(part and part.strip(".") and all(char.isalnum() or char in "-_." for char in part) for part in parts)
    return (
        len(parts) == 2
        and plain
        and not name.lower().endswith((".json", ".csv", ".tsv", ".parquet", ".txt", *_JSON_LINES, *SUFFIXES))
    )


def _read_hub(name: str, split: str, subset: str | None) -> FoundRecords:
    try:
        import datasets
    except ImportError:
        raise UserError(f"{name}: no such file; reading a Hub data set needs datasets: {_INSTALL}") from None
    datasets.disable_progress_bars()
    try:
        rows = datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # whatever the libraries and the network raise is one line for the user
        raise UserError(explain_hub(name, split, subset, error)) from None
    found = FoundRecords(name, f"the Hub data set{f' {subset},' if subset else ''} split {split}")
    labels = list_label_names(rows.features.to_dict() if rows.features else {})
    for index, row in enumerate(rows):
        found.records.append(SourceRecord(f"{name}: row {index + 1}", name_labels(clean_value(row), labels)))
    return found


def explain_hub(name: str, split: str, subset: str | None, error: Exception) -> str:
    """One line with what is wrong and what to do."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 20:
        causes.append(cause)
        kinds |= {kind.__name__ for kind in type(causes[-1]).__mro__}
    said = " ".join(_first_line(cause) for cause in causes)
    neither = f"{name}: no such file here, and as a Hub data set"
    if "GatedRepoError" in kinds or "gated" in said.lower():
        return f"{neither} it is gated; accept its terms at huggingface.co/datasets/{name}, then set HF_TOKEN"
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") or os.environ.get("HF_DATASETS_OFFLINE", "0") not in (
        "",
        "0",
    ):
        return f"{neither} it is not in the cache, and the Hub is switched off (HF_HUB_OFFLINE, HF_DATASETS_OFFLINE)"
    if kinds & {
        "ConnectionError",
        "ConnectError",
        "OfflineModeIsEnabled",
        "ProxyError",
        "Timeout",
        "TimeoutException",
        "LocalEntryNotFoundError",
        "MaxRetryError",
    }:
        return f"{neither} it cannot be fetched: the Hub does not answer; give a file, or try again with a network"
    if "Config name is missing" in said or "BuilderConfig" in said:
        return f"{neither} it has several subsets; name one with --subset ({said[:200]})"
    if "Unknown split" in said or "Bad split" in said:
        return f"{neither} it has no split {split!r}; name one with --split ({said[:200]})"
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError", "FileNotFoundError"}:
        return f"{neither} it is not found; check the name and, for a private one, HF_TOKEN"
    return f"{neither}{f' {subset}' if subset else ''} it cannot be read ({type(error).__name__}: {said[:200]})"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def clean_value(value: Any) -> Any:
    """A value of Arrow as JSON can hold it; None for what no text stands for."""
    if isinstance(value, Mapping):
        return {str(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean_value(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return None


def iterate_columns(found: FoundRecords) -> Iterator[str]:
    """The columns of the records, in the order in which they are first seen."""
    seen: dict[str, None] = {}
    for record in found.records:
        seen.update(dict.fromkeys(record.values))
    yield from seen
