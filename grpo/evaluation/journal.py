"""The rows of an evaluation on disk: written as they come, read back after an interruption, put in order at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from rewards.errors import UserError

Key = tuple[str, str, int]

ROWS, SUMMARY = "rows.jsonl", "evaluation.json"
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


class Journal:
    """`rows.jsonl` and `evaluation.json` of one folder; rows are known by (task, id, sample)."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.rows: dict[Key, dict[str, Any]] = {}
        self.begun = False

    def claim(self) -> None:
        """UserError when an evaluation is there already; writes nothing."""
        there = [name for name in (ROWS, SUMMARY) if (self.folder / name).exists()]
        if there:
            raise UserError(
                f"--out {self.folder}: {' and '.join(there)} there already; go on with --resume, or choose another folder"
            )

    def start(self, inputs: Mapping[str, Any]) -> None:
        """Write what the answers will follow from, unless that was read back; UserError when it cannot be written."""
        if self.begun:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write_summary({**inputs, "finished": False})
            (self.folder / ROWS).touch()
        except OSError as error:
            raise UserError(f"--out {self.folder}: cannot be written ({error.strerror})") from None
        self.begun = True

    def resume(self, inputs: Mapping[str, Any]) -> None:
        """Read back what was answered; UserError when it was of another model, data, rewards or settings.

        A line that was being written when the process ended is dropped.
        """
        try:
            before = orjson.loads((self.folder / SUMMARY).read_bytes())
        except (OSError, ValueError):
            raise UserError(f"--resume: {self.folder / SUMMARY} is not there; leave --resume out to begin") from None
        same = orjson.loads(orjson.dumps(inputs))
        other = [key for key in same if before.get(key) != same[key]]
        if other:
            raise UserError(
                [
                    f"--resume: {self.folder} was begun with another {key} "
                    f"({_say(before.get(key), same[key])}); choose another folder"
                    for key in other
                ]
            )
        path = self.folder / ROWS
        content = path.read_bytes() if path.is_file() else b""
        whole, _, rest = content.rpartition(b"\n")
        if rest:
            path.write_bytes(whole + b"\n" if whole else b"")
        for line in whole.splitlines():
            if line.strip():
                row = orjson.loads(line)
                self.rows[key_of(row)] = row
        self.begun = True

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, unless they are there; they are on disk when this returns."""
        new = [row for row in rows if key_of(row) not in self.rows]
        with (self.folder / ROWS).open("ab") as file:
            for row in new:
                file.write(orjson.dumps(row, option=_LINE))
            file.flush()
            os.fsync(file.fileno())
        for row in new:
            self.rows[key_of(row)] = dict(row)

    def finish(self, order: Sequence[Key], summary: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Put the rows in the data's order, write the summary, and return the rows."""
        rows = [self.rows[key] for key in order]
        self._replace(ROWS, b"".join(orjson.dumps(row, option=_LINE) for row in rows))
        self.write_summary(summary)
        return rows

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        self._replace(SUMMARY, orjson.dumps(summary, option=_LINE | orjson.OPT_INDENT_2))

    def write_text(self, name: str, text: str) -> None:
        self._replace(name, text.encode())

    def _replace(self, name: str, content: bytes) -> None:
        partial = self.folder / f"{name}.partial"
        partial.write_bytes(content)
        os.replace(partial, self.folder / name)


def key_of(row: Mapping[str, Any]) -> Key:
    return row["task"], row["id"], row["sample"]


def _say(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return "; ".join(f"{key}: {before.get(key)}, now {now.get(key)}" for key in changed[:3])
    return f"{before}, now {now}"
