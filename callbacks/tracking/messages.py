"""What a run has told its trackers, message by message, so that a resumed run can tell them what they lack."""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import orjson

Message = tuple[str, tuple[Any, ...]]


class Messages:
    """A JSONL file of messages, each with the stage and step it belongs to; the number of a message is that of its line.

    A run that was killed and resumed writes the same lines as one that was not. `earlier` are the messages in the file.
    """

    def __init__(self, path: Path, folder: Path):
        self._folder = folder
        self.earlier = [self._read(line) for line in path.read_bytes().splitlines()] if path.is_file() else []
        self._next = len(self.earlier)
        self._file = path.open("ab")

    def add(self, stage: str, step: int, method: str, arguments: tuple[Any, ...]) -> int:
        """Write a message down and return its number, from 0. A path becomes relative to the folder, which may move."""
        row = {"stage": stage, "step": step, "method": method, "arguments": arguments}
        self._file.write(orjson.dumps(row, default=self._shorten, option=orjson.OPT_APPEND_NEWLINE))
        self._file.flush()
        self._next += 1
        return self._next - 1

    def close(self) -> None:
        self._file.close()

    def _shorten(self, value: Any) -> str:
        if not isinstance(value, Path):
            raise TypeError
        return str(value.relative_to(self._folder) if value.is_relative_to(self._folder) else value)

    def _read(self, line: bytes) -> Message:
        row = orjson.loads(line)
        first, *rest = row["arguments"]
        if row["method"] == "log_completions":
            first = self._folder / first
        elif row["method"] == "log":
            # JSON has no NaN and makes null of it.
            first = {key: nan if value is None else value for key, value in first.items()}
        return row["method"], (first, *rest)
