"""Verdicts on disk, by everything that was asked: a run that is scored again asks nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WAIT_SECONDS = 10.0


class JudgeCache:
    """An SQLite file that processes share; a cache that cannot be read or written costs a request, nothing else."""

    def __init__(self, path: Path | None):
        self._connection: sqlite3.Connection | None = None
        if path is None:
            return
        with contextlib.suppress(OSError, sqlite3.Error):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, answer TEXT NOT NULL, time REAL NOT NULL)"
            )

    def make_key(
        self, name: str, version: str, options: Mapping[str, Any], messages: Sequence[Mapping[str, str]]
    ) -> str:
        """The key of a verdict: it changes with the judge's name, version, options, and what it is asked."""
        asked = json.dumps([name, version, options, list(messages)], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    def get(self, key: str) -> str | None:
        """The stored answer; None where there is none, or where the file cannot be read."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                found = self._connection.execute("SELECT answer FROM verdicts WHERE key = ?", (key,)).fetchone()
                return None if found is None else str(found[0])
        return None

    def put(self, key: str, answer: str) -> None:
        """Keep an answer; a cache that cannot be written keeps nothing and says nothing."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error), self._connection:
                self._connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?)", (key, answer, time.time()))

    def __enter__(self) -> JudgeCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
