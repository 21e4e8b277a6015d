"""Records of any number of files, folders, patterns and Hub data sets, one at a time and never all in memory."""

from __future__ import annotations

import csv
import glob
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from grpo.data.class_labels import find_label_names, list_label_names, name_labels
from rewards.errors import UserError
from rewards.row_forms.coding import find_wide_coding, name_coding
from rewards.row_forms.conversations import kind_of
from rewards.rows import LONGEST_LINE

SUFFIXES = (".jsonl", ".ndjson", ".jl", ".json", ".csv", ".tsv", ".parquet")
_LINES = (".jsonl", ".ndjson", ".jl")
_HUB = re.compile(
    r"hub:(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?(?:\[(?P<subset>[^\]]+)\])?(?:#(?P<split>[\w.-]+))?"
)
HUB_FORM = "hub:owner/name@revision[subset]#split"


@dataclass(slots=True)
class DataRecord:
    """One row as it was found, or what is wrong with it: `values` is None then. `raw` are its bytes where a line was read."""

    source: str
    number: int
    values: dict[str, Any] | None
    problem: str = ""
    raw: bytes | None = None

    @property
    def where(self) -> str:
        """The file and the line, or the row."""
        return f"{self.source}:{self.number}"

    def line(self) -> bytes:
        """The row as a line of JSON Lines."""
        if self.raw is not None:
            return self.raw if self.raw.endswith(b"\n") else self.raw + b"\n"
        return orjson.dumps(self.values) + b"\n"


def find_sources(names: Iterable[str]) -> list[str]:
    """The files that paths, folders and patterns name, sorted within each, and Hub data sets as they are; `UserError` for none."""
    found: list[str] = []
    problems: list[str] = []
    for name in names:
        if name.startswith("hub:"):
            if not _HUB.fullmatch(name):
                problems.append(f"{name}: not {HUB_FORM}; revision, subset and split may be left out")
            found.append(name)
            continue
        path = Path(name).expanduser()
        if path.is_dir():
            inside = sorted(str(each) for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
            if not inside:
                problems.append(f"{name}: no file of {', '.join(SUFFIXES)} in this folder")
            found += inside
        elif path.is_file():
            found.append(str(path))
        else:
            inside = sorted(each for each in glob.glob(str(path), recursive=True) if Path(each).is_file())
            if not inside:
                problems.append(f"{name}: no such file; give files, folders, patterns in quotes, or {HUB_FORM}")
            found += inside
    if problems:
        raise UserError(problems)
    return found


def read_records(names: Iterable[str]) -> Iterator[DataRecord]:
    """The records of all sources in order; raises `UserError` where a source cannot be read at all."""
    for source in find_sources(names):
        if source.startswith("hub:"):
            yield from _read_hub(source)
            continue
        suffix = Path(source).suffix.lower()
        if suffix in _LINES:
            yield from _read_lines(source)
        elif suffix in (".csv", ".tsv"):
            yield from _read_csv(source, "\t" if suffix == ".tsv" else None)
        elif suffix == ".parquet":
            yield from _read_parquet(source)
        else:
            yield from _read_whole(source)


def _read_lines(source: str) -> Iterator[DataRecord]:
    number = 0
    with _open(source) as file:
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if number == 1 or raw.startswith(b"\0"):  # the rest of an empty first line
                if coding := find_wide_coding(raw):
                    yield DataRecord(source, number, None, f"{name_coding(coding)}; save the file as UTF-8")
                    return
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                while (more := file.readline(LONGEST_LINE)) and not more.endswith(b"\n"):
                    pass
                yield DataRecord(source, number, None, f"a line of more than {LONGEST_LINE // 2**20} MiB; shorten it")
                continue
            if raw.isspace():
                continue
            try:
                values = orjson.loads(raw)
            except orjson.JSONDecodeError as error:
                yield DataRecord(source, number, None, f"not JSON ({error.msg}, column {error.colno})", raw)
                continue
            if not isinstance(values, dict):
                yield DataRecord(
                    source, number, None, f"a JSON {kind_of(values)}; each line must be a JSON object", raw
                )
                continue
            yield DataRecord(source, number, values, "", raw)


def _read_csv(source: str, delimiter: str | None) -> Iterator[DataRecord]:
    """Cells as texts, empty ones as None."""
    csv.field_size_limit(LONGEST_LINE)
    with io.TextIOWrapper(_open(source), encoding="utf-8-sig", newline="") as file:
        try:
            if coding := find_wide_coding(file.buffer.read(4)):
                raise UserError(f"{source}: {name_coding(coding)}; save the file as UTF-8")
            file.buffer.seek(0)
            first = file.readline()
            if delimiter is None:
                delimiter = max(",;\t|", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = [cell.strip() for cell in next(reader, [])]
            if len(set(header)) < len(header) or "" in header:
                raise UserError(f"{source}:1: columns without a name, or two of one name; name each in the first line")
            for cells in reader:
                if not any(cells):
                    continue
                number = reader.line_num
                if len(cells) != len(header):
                    yield DataRecord(source, number, None, f"{len(cells)} cells, and the header has {len(header)}")
                    continue
                yield DataRecord(source, number, {key: cell or None for key, cell in zip(header, cells, strict=True)})
        except UnicodeDecodeError as error:
            raise UserError(f"{source}: not UTF-8 (byte {error.start}); save the file as UTF-8") from None
        except csv.Error as error:
            raise UserError(f"{source}: not CSV ({error})") from None


def _read_parquet(source: str) -> Iterator[DataRecord]:
    try:
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{source}: reading Parquet needs pyarrow; pip install -e '.[train]'") from None
    from grpo.data.sources import clean_value

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            labels = find_label_names(file.schema_arrow.metadata)
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    yield DataRecord(source, number, name_labels(clean_value(row), labels))
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{source}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def _read_whole(source: str) -> Iterator[DataRecord]:
    """A JSON document: an array of rows, or an object whose list they are."""
    from grpo.data.sources import read_source

    found = read_source(source)
    if found.problems:
        raise UserError(found.problems[:20])
    for number, record in enumerate(found.records, 1):
        yield DataRecord(source, number, dict(record.values))


def _read_hub(source: str) -> Iterator[DataRecord]:
    from grpo.data.sources import clean_value, explain_hub

    parts = _HUB.fullmatch(source)
    assert parts is not None  # find_sources looked
    name, split = parts["name"], parts["split"] or "train"
    try:
        import datasets
    except ImportError:
        raise UserError(f"{source}: reading a Hub data set needs datasets; pip install -e '.[train]'") from None
    try:
        rows = datasets.load_dataset(name, parts["subset"], split=split, revision=parts["revision"], streaming=True)
        labels = list_label_names(rows.features.to_dict() if rows.features else {})
        for number, row in enumerate(rows, 1):
            yield DataRecord(source, number, name_labels(clean_value(row), labels))
    except Exception as error:  # whatever the libraries and the network raise is one line for the user
        raise UserError(explain_hub(name, split, parts["subset"], error)) from None


def _open(source: str) -> Any:
    try:
        return open(source, "rb", buffering=1024 * 1024)
    except OSError as error:
        raise UserError(f"{source}: cannot be read ({error.strerror})") from None
