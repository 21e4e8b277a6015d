"""The rows of an evaluation: gone through from their file as often as needed, one at a time, never held together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

_SHOWN = 20
# Up to this size a file with a bad row is read as a whole, so that all its bad rows can be shown at once.
_WHOLE_BYTES = 2**26


@dataclass(frozen=True)
class RowSource:
    """Where rows come from: `open` starts over each time; `path` is their file, None where they are held in memory."""

    name: str
    open: Callable[[], Iterator[Example]]
    path: Path | None = None


@dataclass(frozen=True)
class CheckedRows:
    """Checked rows. `unrewarded` says how many are of a task that no reward function is for."""

    source: RowSource
    count: int
    fingerprint: str
    unrewarded: int
    state: tuple[int, int, int] | None
    limit: int | None = None

    def __iter__(self) -> Iterator[Example]:
        return islice(limit_rows(self.source.open(), self.limit), self.count)

    def windows(self, size: int) -> Iterator[list[Example]]:
        """The rows in their order, this many at a time; UserError when the file is no longer the one that was checked."""
        rows = iter(self)
        while window := list(islice(rows, size)):
            if _state_of(self.source.path) != self.state:
                raise UserError(
                    f"--data {self.source.path}: was changed while it was read; resume with --resume when it is as it was, "
                    "or start again with another --out"
                )
            yield window

    def to_json(self) -> dict[str, Any]:
        """Where the rows came from, how many were read, and their fingerprint."""
        return {"source": self.source.name, "examples": self.count, "fingerprint": self.fingerprint}


def limit_rows(examples: Iterator[Example], limit: int | None) -> Iterator[Example]:
    """The first `limit` rows of each split by the column `split`; rows without one are a split of their own; None is all."""
    taken: Counter[str] = Counter()
    for example in examples:
        split = str(example.columns.get("split"))
        taken[split] += 1
        if limit is None or taken[split] <= limit:
            yield example
        if limit is not None and taken.keys() == {"None"} and taken["None"] >= limit:
            return  # nothing of this file has splits: what follows is not read


def survey(source: RowSource, host: RewardHost, limit: int | None) -> CheckedRows:
    """Go through the first `limit` rows of each split once; UserError with what is wrong in them or missing for a reward function.

    The fingerprint is of all that answers and scores follow from, the content of the databases included.
    """
    state = _state_of(source.path)
    digest, databases = hashlib.sha256(), {}
    count = unrewarded = 0
    found: dict[tuple[str, str], list[Any]] = {}  # function and fault -> first id, number of rows
    for example in limit_rows(source.open(), limit):
        count += 1
        turns = [dict(turn) for turn in example.prompt]
        columns = dict(example.columns)
        if "database" in columns:
            path = columns["database"]
            if path not in databases:
                databases[path] = _digest_file(path)
            columns["database"] = databases[path]
        digest.update(orjson.dumps([example.id, example.task, turns, example.reference, columns], default=str))
        functions = host.functions_for(example.task)
        unrewarded += not functions
        for entry in functions:
            for line in host.problems(entry, example):
                key = (entry.function.name, line)
                # A fault that names its row is another line for each: no more of them than anybody reads.
                if key in found or len(found) < 10 * _SHOWN:
                    found.setdefault(key, [example.id, 0])[1] += 1
    if found:
        lines = [
            f"--data: example {first!r}{f' and {times - 1} more' if times > 1 else ''}: reward '{name}': {line}"
            for (name, line), (first, times) in found.items()
        ]
        more = [f"--data: and {len(lines) - _SHOWN} more faults"] if len(lines) > _SHOWN else []
        raise UserError(lines[:_SHOWN] + more)
    return CheckedRows(source, count, digest.hexdigest()[:16], unrewarded, state, limit)


def find_file(path: Path) -> RowSource:
    """The rows of a file, or the examples of stored completions; UserError when it cannot be read more than once."""
    if path.exists() and not path.is_file():
        raise UserError(
            f"--data {path}: not a regular file; its rows are read more than once, so write them into a file first"
        )
    try:
        with path.open("rb") as file:
            start = file.read(2)
            file.seek(0)
            first = b"" if start == b"\x1f\x8b" else next((line for line in file if line.strip()), b"")
    except FileNotFoundError:
        raise UserError(f"--data {path}: no such file; give a JSON Lines file, or the folder of a run") from None
    except OSError as error:
        raise UserError(f"--data {path}: cannot be read ({error.strerror}); give a JSON Lines file") from None
    if start == b"\x1f\x8b":
        raise UserError(f"--data {path}: compressed; unpack it first: gunzip -k {path}")
    stored = _is_stored(first)
    return RowSource(path.name, lambda: read_stored(path) if stored else _read_file(path), path)


def read_stored(path: Path) -> Iterator[Example]:
    """The examples of stored completions, each once however many completions of it there are."""
    from rewards.rows import make_example, read_objects

    folder, seen = path.resolve().parent, set()
    try:
        for number, where, row in read_objects(str(path)):
            if isinstance(row, str):
                raise UserError(row)
            example = make_example(row, where, number, folder)
            key = hashlib.blake2b(f"{example.task}\0{example.id}".encode(), digest_size=16).digest()
            if key not in seen:
                seen.add(key)
                yield example
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 ({error.reason}); save the file as UTF-8") from None


def _read_file(path: Path) -> Iterator[Example]:
    from rewards.rows import iterate_rows, read_rows

    try:
        yield from iterate_rows(path)
    except UserError:
        if path.is_file() and path.stat().st_size <= _WHOLE_BYTES:
            read_rows(path)
        raise


def _is_stored(line: bytes) -> bool:
    """Whether a file's first line is a stored completion: such rows bring the columns in a place of their own."""
    try:
        first = orjson.loads(line)
    except ValueError:
        return False
    return isinstance(first, dict) and {"completion", "scores"} <= first.keys()


def _state_of(path: Path | None) -> tuple[int, int, int] | None:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest_file(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # a reward function that needs it says so
        return None
