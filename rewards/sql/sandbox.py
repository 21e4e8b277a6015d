"""Running an untrusted SELECT on a SQLite file: read-only, bounded in steps, rows and bytes, and told what it read."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from rewards.text.portuguese import list_words

_STEPS_A_TICK = 1_000
_CONNECTIONS = 8
_RESULTS = 8_192
_LARGEST_ALTERED_BYTES = 32 << 20
_MOST_LABELS = 40
_ONE_SIDED = 0.6
"""Share of the commonest label from which its column is not thinned out: too few rows would be left."""

# Functions that touch files, take memory at will, or answer differently each time.
_REFUSED_FUNCTIONS = frozenset(
    list_words(
        """load_extension readfile writefile edit fts3_tokenizer zeroblob randomblob random sqlite_compileoption_get"""
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

    `tables` are those it names itself, `sources` also those that its views read.
    """

    status: str
    rows: tuple[tuple, ...] = ()
    message: str = ""
    tables: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()


class _Session:
    """One read-only connection, used by one thread."""

    def __init__(self, path: str, altered: int):
        self.connection = open_altered(path, altered) if altered else open_readonly(path)
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self.views = frozenset(
            name.lower() for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
        )
        self.tables: set[str] = set()
        self.sources: set[str] = set()
        self.ticks_left = 0
        for limit, value in _LIMITS.items():
            self.connection.setlimit(limit, value)
        with suppress(AttributeError):
            self.connection.enable_load_extension(False)
        self.connection.execute("PRAGMA query_only = ON")
        self.connection.execute("PRAGMA trusted_schema = OFF")
        self.connection.execute("PRAGMA temp_store = MEMORY")
        self.connection.set_authorizer(self._authorize)
        self.connection.set_progress_handler(self._tick, _STEPS_A_TICK)

    def run(self, sql: str, limits: Limits) -> Result:
        self.tables, self.sources = set(), set()
        self.ticks_left = max(1, limits.steps // _STEPS_A_TICK)
        rows: list[tuple] = []
        size = 0
        try:
            cursor = self.connection.execute(sql)
            for row in cursor:
                rows.append(row)
                size += sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
                if len(rows) > limits.rows or size > limits.bytes:
                    cursor.close()
                    return self._result(
                        "limit", message=f"result larger than {limits.rows} rows or {limits.bytes} bytes"
                    )
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as error:
            if self.ticks_left <= 0:
                return self._result("error", message=f"more than {limits.steps} steps")
            return self._result("error", message=" ".join(str(error).split())[:200])
        return self._result("ok", tuple(rows))

    def _result(self, status: str, rows: tuple[tuple, ...] = (), message: str = "") -> Result:
        return Result(status, rows, message, frozenset(self.tables), frozenset(self.sources))

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
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def open_readonly(path: str) -> sqlite3.Connection:
    """Open a file that no statement can change; raises sqlite3.OperationalError when it is not there."""
    # No cached statements: a second preparation must tell the authorizer again what is read.
    return sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, cached_statements=0, isolation_level=None)


def open_altered(path: str, copy: int) -> sqlite3.Connection:
    """A copy in memory in which frequent labels are rarer, all labels of a column are exchanged, and rows are missing.

    A statement that is right only by chance, or states a constant, gives another answer here than the right one.
    Copies of different numbers differ, the same number always gives the same copy.
    """
    source = open_readonly(path)
    altered = sqlite3.connect(":memory:", cached_statements=0, isolation_level=None)
    try:
        source.backup(altered)
    finally:
        source.close()
    altered.execute("PRAGMA foreign_keys = OFF")
    tables = [name for (name,) in altered.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    for table in tables:
        # A table of SQLite's own, or one without row ids, stays as it is.
        with suppress(sqlite3.Error):
            altered.execute(f"DELETE FROM {_name(table)} WHERE rowid % 7 = ?", (copy % 7,))
            for _, column, *_ in altered.execute(f"PRAGMA table_info({_name(table)})").fetchall():
                _alter_labels(altered, table, column, copy)
    return altered


def _alter_labels(connection: sqlite3.Connection, table: str, column: str, copy: int) -> None:
    """Thin out a text column's few values where they are frequent, and replace each by another one."""
    table, column = _name(table), _name(column)
    counted = f"SELECT {column}, COUNT(*) FROM {table} WHERE typeof({column}) = 'text' GROUP BY 1 ORDER BY 1 LIMIT ?"
    counts = dict(connection.execute(counted, (_MOST_LABELS + 1,)).fetchall())
    if not 2 <= len(counts) <= _MOST_LABELS:
        return
    mean = sum(counts.values()) / len(counts)
    if max(counts.values()) < _ONE_SIDED * sum(counts.values()):
        for label, count in counts.items():
            # The middle of a product spreads neighbouring row ids evenly.
            kept = f"(rowid * 7919 + {copy * 104_729}) % 1000 < {round(1000 * mean / count)}"
            connection.execute(f"DELETE FROM {table} WHERE {column} = ? AND NOT {kept}", (label,))
    labels = list(counts)
    step = copy % len(labels)
    cases = " ".join("WHEN ? THEN ?" for _ in labels)
    pairs = [label for pair in zip(labels, labels[step:] + labels[:step], strict=True) for label in pair]
    connection.execute(f"UPDATE {table} SET {column} = CASE {column} {cases} ELSE {column} END", pairs)


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


_local = threading.local()
_results: OrderedDict[tuple, Result] = OrderedDict()
_results_lock = threading.Lock()


def run_query(path: str, sql: str, limits: Limits, altered: int = 0) -> Result:
    """Run one statement on the file, or on an altered copy of it; results are remembered until the file changes.

    Raises OSError or sqlite3.Error when the file cannot be read, which is the row's fault and not the statement's.
    """
    state = os.stat(path)
    # With the process: a connection must not be carried over a fork.
    stamp = (os.path.abspath(path), state.st_mtime_ns, state.st_size, altered, os.getpid())
    key = (*stamp, sql, limits)
    with _results_lock:
        known = _results.get(key)
        if known is not None:
            _results.move_to_end(key)
            return known
    result = _session(stamp).run(sql, limits)
    with _results_lock:
        _results[key] = result
        while len(_results) > _RESULTS:
            _results.popitem(last=False)
    return result


def can_alter(path: str) -> bool:
    """Whether the file is small enough to be copied into memory."""
    return os.path.getsize(path) <= _LARGEST_ALTERED_BYTES


def _session(stamp: tuple) -> _Session:
    """This thread's connection to a version of a file; the least recently used are closed."""
    sessions: OrderedDict[tuple, _Session] | None = getattr(_local, "sessions", None)
    if sessions is None:
        sessions = _local.sessions = OrderedDict()
    if stamp not in sessions:
        sessions[stamp] = _Session(stamp[0], stamp[3])
        while len(sessions) > _CONNECTIONS:
            sessions.popitem(last=False)[1].connection.close()
    sessions.move_to_end(stamp)
    return sessions[stamp]


def same_rows(right: Iterable[tuple], given: Iterable[tuple], tolerance: float) -> bool:
    """Whether two results are the same rows in any order, numbers within `tolerance` (or a millionth of their size)."""
    first, second = sorted(right, key=_sort_key), sorted(given, key=_sort_key)
    if len(first) != len(second):
        return False
    return all(
        len(one) == len(other) and all(_same(a, b, tolerance) for a, b in zip(one, other, strict=True))
        for one, other in zip(first, second, strict=True)
    )


def finds_something(rows: Iterable[tuple]) -> bool:
    """Whether a result is more than nothing: no rows, NULL and 0 are what an impossible condition gives too."""
    return any(value not in (None, 0) for row in rows for value in row)


def _sort_key(row: tuple) -> tuple:
    return tuple(
        (0, 0.0, "") if value is None
        else (1, float(value), "") if isinstance(value, (int, float))
        else (2, 0.0, value if isinstance(value, str) else repr(value))
        for value in row
    )  # fmt: skip


def _same(one: object, other: object, tolerance: float) -> bool:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other or abs(one - other) <= max(tolerance, 1e-6 * abs(one))
    return one == other
