"""Running an untrusted SELECT on a SQLite file: read-only, bounded in steps, rows and bytes, and told what it read."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from rewards.sql.altered import open_altered
from rewards.sql.clock import CLOCKS, REFUSED, Guard, needs_guard
from rewards.sql.database import open_readonly
from rewards.sql.planted import Planting, open_planted
from rewards.text.portuguese import list_words

_STEPS_A_TICK = 1_000
_CONNECTIONS = 16
_OPEN_BYTES = 512 << 20
"""Of databases, each counted once a connection, that a thread keeps open."""

_RESULTS = 8_192
_RESULT_BYTES = 64 << 20

# Functions that touch files, take memory at will, or answer differently each time or on each machine.
_REFUSED_FUNCTIONS = CLOCKS | frozenset(
    list_words(
        """load_extension readfile writefile edit fts3_tokenizer zeroblob randomblob random sqlite_compileoption_get
        sqlite_compileoption_used sqlite_version sqlite_source_id changes total_changes last_insert_rowid"""
    )
)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    # A LIKE pattern can cost the product of its length and the text's.
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 1,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one statement may use; steps are SQLite's own, so that the same statement always ends the same way."""

    steps: int = 10_000_000
    rows: int = 500
    bytes: int = 20_000


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave: `rows` when `status` is `ok`; `limit` when the result is too large; else `error`.

    `tables` are those it names itself, `sources` also those that its views read, `columns` the pairs of a table and a
    column that are read.
    """

    status: str
    rows: tuple[tuple, ...] = ()
    message: str = ""
    tables: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    columns: frozenset[tuple[str, str]] = frozenset()

    @property
    def size(self) -> int:
        """Bytes of the rows, roughly."""
        return sum(_measure(row) for row in self.rows)


class _Session:
    """One read-only connection, used by one thread."""

    def __init__(self, path: str, altered: int | Planting):
        if isinstance(altered, Planting):
            self.connection = open_planted(path, altered)
        else:
            self.connection = open_altered(path, altered) if altered else open_readonly(path)
        self.bytes = os.path.getsize(path) if altered else 0
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self.views = frozenset(
            name.lower() for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
        )
        self.tables: set[str] = set()
        self.sources: set[str] = set()
        self.columns: set[tuple[str, str]] = set()
        self.ticks_left = 0
        self.reversed = False
        self.guard: Guard | None = None
        for limit, value in _LIMITS.items():
            self.connection.setlimit(limit, value)
        with suppress(AttributeError):
            self.connection.enable_load_extension(False)
        self.connection.execute("PRAGMA query_only = ON")
        self.connection.execute("PRAGMA trusted_schema = OFF")
        self.connection.execute("PRAGMA temp_store = MEMORY")
        self.connection.set_authorizer(self._authorize)
        self.connection.set_progress_handler(self._tick, _STEPS_A_TICK)

    def run(self, sql: str, limits: Limits, backwards: bool) -> Result:
        self._turn(backwards)
        self._watch_clock(sql)
        self.tables, self.sources, self.columns = set(), set(), set()
        self.ticks_left = max(1, limits.steps // _STEPS_A_TICK)
        rows: list[tuple] = []
        size = 0
        try:
            cursor = self.connection.execute(sql)
            for row in cursor:
                rows.append(row)
                size += _measure(row)
                if len(rows) > limits.rows or size > limits.bytes:
                    cursor.close()
                    return self._result(
                        "limit", message=f"result larger than {limits.rows} rows or {limits.bytes} bytes"
                    )
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            if self.ticks_left <= 0:
                return self._result("error", message=f"more than {limits.steps} steps")
            if self.guard and self.guard.refused:
                return self._result("error", message=REFUSED)
            return self._result("error", message=" ".join(str(error).split())[:200])
        return self._result("ok", tuple(rows))

    def _turn(self, backwards: bool) -> None:
        """Have SQLite read tables from their end, which only changes what no ORDER BY decides."""
        if backwards != self.reversed:
            self._set("reverse_unordered_selects", backwards)
            self.reversed = backwards

    def _set(self, pragma: str, on: bool) -> None:
        self.connection.set_authorizer(None)
        self.connection.execute(f"PRAGMA {pragma} = {int(on)}")
        self.connection.set_authorizer(self._authorize)

    def _watch_clock(self, sql: str) -> None:
        """From the first statement that could ask for the clock on, the date functions are guarded: there is no way back."""
        if self.guard is None and needs_guard(sql):
            self.guard = Guard()
            self.guard.put_into(self.connection)
            # A view may use the guarded functions too; the authorizer goes on refusing the dangerous ones, in views as well.
            self._set("trusted_schema", True)
        if self.guard:
            self.guard.refused = False

    def _result(self, status: str, rows: tuple[tuple, ...] = (), message: str = "") -> Result:
        return Result(status, rows, message, frozenset(self.tables), frozenset(self.sources), frozenset(self.columns))

    def _tick(self) -> bool:
        self.ticks_left -= 1
        return self.ticks_left <= 0

    def _authorize(self, action: int, first: str | None, second: str | None, _: str | None, within: str | None) -> int:
        if action == sqlite3.SQLITE_READ:
            table = (first or "").lower()
            if table.startswith(("sqlite_", "pragma_")):
                return sqlite3.SQLITE_DENY
            # What a view reads is reported under the view's name, and often nothing else tells that the view is used. When
            # SQLite merges a view into the statement, it names a table of it once more, with no column.
            view = (within or "").lower()
            if view in self.views:
                self.tables.add(view)
            elif second or table not in self.sources:
                self.tables.add(table)
            self.sources.add(table)
            if second:
                self.columns.add((table, second.lower()))
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _measure(row: tuple) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)


_local = threading.local()
_results: OrderedDict[tuple, Result] = OrderedDict()
_results_bytes = 0
_results_lock = threading.Lock()


def run_query(path: str, sql: str, limits: Limits, altered: int | Planting = 0, backwards: bool = False) -> Result:
    """Run one statement on the file, or on an altered copy of it; results are remembered until the file changes.

    `backwards` reads tables from their end. Raises OSError or sqlite3.Error when the file cannot be read, which is the
    row's fault and not the statement's.
    """
    global _results_bytes
    state = os.stat(path)
    # With the process: a connection must not be carried over a fork.
    stamp = (os.path.abspath(path), state.st_mtime_ns, state.st_size, altered, os.getpid())
    key = (*stamp, backwards, sql, limits)
    with _results_lock:
        known = _results.get(key)
        if known is not None:
            _results.move_to_end(key)
            return known
    result = _session(stamp).run(sql, limits, backwards)
    with _results_lock:
        if key not in _results:
            _results[key] = result
            _results_bytes += result.size
        while len(_results) > _RESULTS or (_results_bytes > _RESULT_BYTES and len(_results) > 1):
            _results_bytes -= _results.popitem(last=False)[1].size
    return result


def _session(stamp: tuple) -> _Session:
    """This thread's connection to a version of a file; the least recently used are closed."""
    sessions: OrderedDict[tuple, _Session] | None = getattr(_local, "sessions", None)
    if sessions is None:
        sessions = _local.sessions = OrderedDict()
    if stamp not in sessions:
        sessions[stamp] = _Session(stamp[0], stamp[3])
        while len(sessions) > 1 and (
            len(sessions) > _CONNECTIONS or sum(session.bytes for session in sessions.values()) > _OPEN_BYTES
        ):
            sessions.popitem(last=False)[1].connection.close()
    sessions.move_to_end(stamp)
    return sessions[stamp]
