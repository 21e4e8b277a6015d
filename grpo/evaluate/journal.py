"""The rows of an evaluation on disk: safe as soon as they are answered, in the data's order, found again after a kill."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from grpo.evaluate.content import FILE, JournalContents
from rewards.errors import RecompensaError, UserError
from rewards.writing.files import write_whole
from rewards.writing.writable import to_document, to_line

Key = tuple[str, str, int]

ROWS, PENDING, SUMMARY, PAGE, TIMINGS = (
    "rows.jsonl", "pending.jsonl", "evaluation.json", "evaluation.md", "timings.jsonl"
)  # fmt: skip
ROWS_HASH = "rows_sha256"
"""In the summary of a finished evaluation."""
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS


class WritingFailed(RecompensaError):
    """The disk is full or gone; what was written before is kept and can be gone on with."""


class Journal:
    """The files of one evaluation's folder; rows are known by (task, id, sample).

    `rows.jsonl` holds `done` rows and is only ever added to, in the data's order: at any moment it is the beginning of
    the finished file. Rows that were answered before those in front of them wait in `pending.jsonl`; `waiting` has their
    lines. No more than that is in memory. `journal.json` notes size and hash of both for as long as the evaluation goes on;
    a finished one has the hash of its rows in its summary.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.done = 0
        self.waiting: dict[Key, bytes] = {}
        self.begun = False
        self._contents = JournalContents(folder, (ROWS, PENDING))
        self._rewards = (0.0, 0)
        self._rows: BinaryIO | None = None

    @property
    def mean_reward(self) -> float | None:
        """Of all rows so far that have one."""
        total, count = self._rewards
        return total / count if count else None

    def claim(self) -> None:
        """UserError when an evaluation is there already, or none could be written; writes nothing."""
        rows, summary = self.folder / ROWS, self.folder / SUMMARY
        # No rows without a summary: it ended before it had begun.
        there = [path.name for path in (rows, summary) if path.exists() and (path == summary or path.stat().st_size)]
        if there:
            raise UserError(
                f"--out {self.folder}: {' and '.join(there)} there already; resume with --resume, or choose another folder"
            )
        nearest = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            reason = "cannot be written" if nearest.is_dir() else "no folder"
            raise UserError(f"--out {self.folder}: {nearest} {reason}; choose another folder")

    def resume(self, inputs: Mapping[str, Any], expected: Iterator[Key]) -> None:
        """Read back what was answered; UserError when it was of another model, data, rewards or settings.

        `expected` are the keys of all rows in the data's order. A line that was being written when the process ended is
        dropped.
        """
        for name in (ROWS, PENDING, SUMMARY, PAGE, TIMINGS, FILE):
            path = self.folder / name
            if path.exists() and not path.is_file():
                raise UserError(
                    f"--resume: {path}: no regular file (a folder, a pipe or a device); restore it, or start again with "
                    "another --out"
                )
        try:
            recorded = orjson.loads((self.folder / SUMMARY).read_bytes())
            if not isinstance(recorded, dict):
                raise ValueError
        except (OSError, ValueError):
            what = (
                "is damaged; choose another --out"
                if (self.folder / SUMMARY).exists()
                else "is not there; leave --resume out to begin"
            )
            raise UserError(f"--resume: {self.folder / SUMMARY} {what}") from None
        self._compare(recorded, inputs)
        try:
            self._rows = (self.folder / ROWS).open("ab")
            self._lock()
            finished = recorded.get(ROWS_HASH)
            if finished is None:
                self._contents.recall()
            self._recall_pending()
            _drop_torn_line(self.folder / ROWS)
            for number, row in enumerate(self.read(), 1):
                key = key_of(row)
                if next(expected, None) != key:
                    raise UserError(
                        f"--resume: {self.folder / ROWS}:{number}: not the row that belongs there; it was changed, or "
                        "written by another version: start again with another --out"
                    )
                self.waiting.pop(key, None)
                self.done = number
                self._count(row)
            for line in self.waiting.values():
                self._count(orjson.loads(line))
            self._contents.check()
            if finished is not None and finished != self._contents.hash_of(ROWS):
                raise UserError(
                    f"--resume: {self.folder / ROWS}: its content has changed since it was written; start again with another --out"
                )
        except OSError as error:
            raise UserError(
                f"--resume: {error.filename or self.folder}: cannot be written ({error.strerror})"
            ) from None
        self.begun = True

    def start(self, inputs: Mapping[str, Any]) -> None:
        """Write what the answers will follow from; UserError when it cannot be written, or another was read back."""
        if self.begun:
            self._compare(orjson.loads((self.folder / SUMMARY).read_bytes()), inputs)
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._rows = (self.folder / ROWS).open("ab")
            self._lock()
            self.claim()
            write_whole(self.folder / SUMMARY, _dump({**inputs, "finished": False}), settle=True)
            # Before the first row: from here on a missing journal.json is a damaged one.
            self._contents.note()
        except OSError as error:
            raise UserError(f"--out {self.folder}: cannot be written ({error.strerror})") from None
        self.begun = True

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, unless they are there; they are on disk when this returns."""
        new = {key_of(row): row for row in rows if key_of(row) not in self.waiting}
        lines = {key: to_line(row) for key, row in new.items()}
        with self._writing(), (self.folder / PENDING).open("ab") as file:
            file.writelines(lines.values())
            _settle(file)
            self._contents.add(PENDING, lines.values())
            self._contents.note()
        self.waiting |= lines
        for row in new.values():
            self._count(row)

    def put_in_order(self, keys: Sequence[Key]) -> None:
        """Move the rows of these keys, the next in the data's order, to their place; no others are waiting then."""
        assert self._rows is not None
        with self._writing():
            self._rows.writelines(self.waiting[key] for key in keys)
            _settle(self._rows)
            self._contents.add(ROWS, (self.waiting[key] for key in keys))
            self._contents.empty(PENDING)
            self._contents.note()
            # Only now may they go: a kill in between leaves them in both files, and what is noted counts.
            (self.folder / PENDING).unlink(missing_ok=True)
        self.done += len(keys)
        self.waiting.clear()

    def read(self) -> Iterator[dict[str, Any]]:
        """The rows in their place, one after the other."""
        with (self.folder / ROWS).open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = orjson.loads(line)
                    key_of(row)
                except (ValueError, KeyError, TypeError):
                    raise UserError(
                        f"{self.folder / ROWS}:{number}: not a row of an evaluation; start again with another --out"
                    ) from None
                yield row

    def finish(self, summary: Mapping[str, Any], page: str) -> None:
        """Write the summary; that it is finished comes last."""
        with self._writing():
            write_whole(self.folder / PAGE, page.encode(), settle=True)
            self._contents.measure(ROWS)
            noted = {**summary, ROWS_HASH: self._contents.hash_of(ROWS)}
            write_whole(self.folder / SUMMARY, _dump(noted), settle=True)
            self._contents.drop()

    def note_timing(self, timing: Mapping[str, Any]) -> None:
        """Add how long this process took; wall-clock numbers have a file of their own, so that the others repeat."""
        with suppress(OSError), (self.folder / TIMINGS).open("ab") as file:
            file.write(orjson.dumps(timing, option=_LINE))

    def close(self) -> None:
        """Let another process have the folder."""
        if self._rows is not None:
            with suppress(OSError):
                self._rows.close()

    def _recall_pending(self) -> None:
        path = self.folder / PENDING
        if not path.exists():
            return
        with path.open("r+b") as file:
            whole = 0
            for line in file:
                try:
                    key = key_of(orjson.loads(line))
                except (ValueError, TypeError, KeyError):
                    break
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self.waiting[key] = line
            file.truncate(whole)

    def _count(self, row: Mapping[str, Any]) -> None:
        if row["reward"] is not None:
            total, count = self._rewards
            self._rewards = (total + row["reward"], count + 1)

    def _compare(self, recorded: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        now = orjson.loads(orjson.dumps(inputs))
        other = [key for key in now if key != "name" and not _is_same(recorded.get(key), now[key])]
        if other:
            raise UserError(
                [
                    f"--resume: {self.folder} was begun with something else: {key} "
                    f"({_say(recorded.get(key), now[key])}); choose another folder"
                    for key in other
                ]
            )

    def _lock(self) -> None:
        """UserError when another process writes here; the system lets go of it however this one ends."""
        try:
            import fcntl
        except ImportError:  # not on every system
            return
        assert self._rows is not None
        try:
            fcntl.flock(self._rows, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--out {self.folder}: another process is writing there; wait for its end, or choose another folder"
            ) from None
        except OSError:  # a file system without locks
            return

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WritingFailed(
                f"--out {self.folder}: cannot be written ({error.strerror}); the rows so far are kept: free some space, "
                "then continue with --resume"
            ) from None


def key_of(row: Mapping[str, Any]) -> Key:
    """What identifies a stored row: task, id and sample."""
    return row["task"], row["id"], row["sample"]


def _dump(value: Mapping[str, Any]) -> bytes:
    return to_document(value)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _drop_torn_line(path: Path, block: int = 2**16) -> None:
    """Cut off what follows the last line end, reading no more of the file than that."""
    with path.open("r+b") as file:
        size = place = file.seek(0, os.SEEK_END)
        while place > 0:
            start = max(0, place - block)
            file.seek(start)
            found = file.read(place - start).rfind(b"\n")
            if found >= 0:
                place = start + found + 1
                break
            place = start
        if place < size:
            file.truncate(place)


def _is_same(before: Any, now: Any) -> bool:
    """Whether they are alike. What has a fingerprint is known by it, under whatever name or path.

    The fingerprint now is None for a Hub model that was not loaded yet; then the rest must be alike.
    """
    if not (isinstance(before, dict) and isinstance(now, dict) and "fingerprint" in now):
        return before == now
    if now["fingerprint"] is not None:
        return before.get("fingerprint") == now["fingerprint"]
    return all(before.get(key) == now[key] for key in now if key != "fingerprint")


def _say(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        return "; ".join(f"{key}: {before.get(key)}, now {now.get(key)}" for key in changed[:3])
    return f"{before}, now {now}"
