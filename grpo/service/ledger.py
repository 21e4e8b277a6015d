"""What was asked of the queue and what came of it: one row a submitted run, in a SQLite file that survives a kill."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import orjson

from rewards.errors import UserError
from rewards.screen.harmless_text import make_label

STATES = ("queued", "waiting", "running", "cancelling", "done", "failed", "stopped", "cancelled", "skipped")
ACTIVE = ("running", "cancelling")
ENDED = ("done", "failed", "stopped", "cancelled", "skipped")

DECISION = "decision"
"""In place of a config: the one that the decision of the run before it names."""


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """One submitted run. `config` is what the run command is given; `after` the run it waits for; `tries` how often it
    was started since it last came further; `place` how far it was then; times are seconds since 1970.
    """

    id: str
    config: str
    state: str = "queued"
    overrides: tuple[str, ...] = ()
    profile: str = "auto"
    priority: int = 0
    group: str | None = None
    after: str | None = None
    slot: int | None = None
    tries: int = 0
    place: str = ""
    exit_code: int | None = None
    reason: str = ""
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    not_before: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


_NAMES = {each.name for each in fields(QueuedRun)}


class Ledger:
    """The rows of a SQLite file; UserError where it is damaged. Each change is one transaction; threads take turns."""

    def __init__(self, path: Path):
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, state TEXT NOT NULL, document BLOB NOT NULL)"
            )
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            self._connection.execute("SELECT id, state, document FROM runs LIMIT 1").fetchall()
        except sqlite3.Error as error:
            found = str(error)
        if found != "ok":
            raise UserError(
                f"{path}: cannot be read ({make_label(found, 200)}); restore it, or move it and its -wal and -shm away to "
                "begin with an empty queue: the folders of the runs are whole without it, and can be resumed"
            )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def add(self, runs: Sequence[QueuedRun]) -> None:
        """All of them or none; ValueError names the first id that is there already."""
        with self._transaction():
            for run in runs:
                if self.find(run.id) is not None:
                    raise ValueError(run.id)
                self._write(run)

    def find(self, id: str) -> QueuedRun | None:
        """The run of this id; None if there is none."""
        with self._lock:
            row = self._connection.execute("SELECT id, document FROM runs WHERE id = ?", (id,)).fetchone()
        return None if row is None else _read(*row)

    def list(self, *states: str) -> list[QueuedRun]:
        """The runs in one of these states, or all, in the order they were submitted."""
        wanted = states or STATES
        marks = ", ".join("?" * len(wanted))
        with self._lock:
            rows = self._connection.execute(
                f"SELECT id, document FROM runs WHERE state IN ({marks}) ORDER BY rowid", wanted
            ).fetchall()
        return [_read(*row) for row in rows]

    def change(self, id: str, *expected: str, **values: Any) -> QueuedRun | None:
        """The run with these values, when it is in one of the expected states (none given: in any); else None."""
        return self.update(id, lambda run: replace(run, **values) if not expected or run.state in expected else None)

    def update(self, id: str, make: Callable[[QueuedRun], QueuedRun | None]) -> QueuedRun | None:
        """What `make` makes of the run as it is now; nothing is written where that is None."""
        with self._transaction():
            run = self.find(id)
            changed = None if run is None else make(run)
            if changed is not None:
                self._write(changed)
            return changed

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _write(self, run: QueuedRun) -> None:
        self._connection.execute(
            "INSERT INTO runs (id, state, document) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET state = excluded.state, document = excluded.document",
            (run.id, run.state, orjson.dumps(run.to_json())),
        )


def _read(id: str, document: bytes) -> QueuedRun:
    """A row; one whose document is damaged as a run that failed, so that it stands in nobody's way and is seen."""
    try:
        values = {key: value for key, value in orjson.loads(document).items() if key in _NAMES}
        return QueuedRun(**{**values, "id": id, "overrides": tuple(values.get("overrides") or ())})
    except (ValueError, TypeError, AttributeError):
        return QueuedRun(id, "", "failed", reason="what was asked of it cannot be read any more; submit it again")
