"""One statement on one read-only connection: bounded in steps, rows and bytes, and told what it read.

This runs in the processes of `rewards.sql.processes`; nothing but the standard library and its own room is imported here.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from dataclasses import dataclass

from rewards import limits as bounds
from rewards.sql.clock import CLOCKS, REFUSED, Guard, needs_guard
from rewards.sql.database import open_readonly

_STEPS_A_TICK = 1_000

# Functions that touch files, take memory at will, or answer differently each time or on each machine.
_REFUSED_FUNCTIONS = CLOCKS | frozenset(
    (
        "load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob", "random",
        "sqlite_compileoption_get", "sqlite_compileoption_used", "sqlite_version", "sqlite_source_id", "changes",
        "total_changes", "last_insert_rowid", "sqlite_offset", "sqlite_log", "fts5", "fts5_source_id", "rtreecheck", "rtreedepth",
        "rtreenode", "optimize", "snippet", "matchinfo",
    )
)  # fmt: skip
_TABLES_OF_SQLITE = ("sqlite_", "pragma_")
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_REFUSED_TABLES = frozenset(
    {"dbstat", "bytecode", "tables_used", "fts3tokenize", "fts5vocab", "generate_series", "completion"}
)

# What the authorizer is not asked about, such as EXPLAIN and REINDEX, begins with another word.
_SELECTS = re.compile(r"(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*(?:select|with|values)\b", re.IGNORECASE | re.DOTALL)

_MERGES = re.compile(r"\b(?:using\s*\(|natural\b)", re.IGNORECASE)
_UNREAD = re.compile(r"'[^']*'?|--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_SOURCE = re.compile(r"\b(?:from|join)\s+[\"`\[]?(\w+)", re.IGNORECASE)

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: bounds.SQL_TEXT_BYTES,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: bounds.SQL_STATEMENT_BYTES,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
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

    steps: int = bounds.SQL_STEPS
    rows: int = bounds.SQL_ROWS
    bytes: int = bounds.SQL_BYTES
    seconds: float = bounds.SQL_PROCESSOR_SECONDS


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


class OutOfMemory(Exception):
    """A statement met the limit of memory, which what else this process holds counts against too."""


class Session:
    """One read-only connection; `fixed` files are changed by nobody, so that SQLite need not look."""

    def __init__(self, path: str, fixed: bool = False):
        self.connection = open_readonly(path, fixed=fixed)
        self.connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        self.connection.execute(f"PRAGMA cache_size = -{bounds.SQL_PAGE_CACHE_KIB}")
        if fixed:
            # Read where it lies: no copy of a page is made. A file that another might cut short would end the process.
            self.connection.execute(f"PRAGMA mmap_size = {bounds.SQL_MAPPED_BYTES}")
        named = self.connection.execute(
            "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"
        ).fetchall()
        self.names = frozenset(name.lower() for name, _ in named) | _TABLE_FUNCTIONS
        self.views = frozenset(name.lower() for name, kind in named if kind == "view")
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
        # The heap's limit bounds what is sorted there; files have no such limit.
        self.connection.execute("PRAGMA temp_store = MEMORY")
        self.connection.set_authorizer(self._authorize)
        self.connection.set_progress_handler(self._tick, _STEPS_A_TICK)

    def run(self, sql: str, limits: Limits, backwards: bool = False) -> Result:
        """The result of one statement; raises OutOfMemory, nothing else."""
        if not _SELECTS.match(sql):
            return Result("error", message="only a SELECT is run")
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
        except MemoryError:
            raise OutOfMemory from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if self.ticks_left <= 0:
                return self._result("error", message=f"more than {limits.steps} steps")
            if self.guard and self.guard.refused:
                return self._result("error", message=REFUSED)
            message = " ".join(str(error).split())[:200]
            if message == "out of memory":
                raise OutOfMemory from None
            return self._result("error", message=message)
        self._add_joined(sql)
        return self._result("ok", tuple(rows))

    def _add_joined(self, sql: str) -> None:
        """Tables of which a statement reads no more than the columns of USING, which the authorizer is not told of."""
        if not _MERGES.search(sql):
            return
        for match in _SOURCE.finditer(_UNREAD.sub(" ", sql)):
            table = match[1].lower()
            if table in self.names and table not in self.views and table not in _TABLE_FUNCTIONS:
                self.tables.add(table)
                self.sources.add(table)

    def close(self) -> None:
        self.connection.close()

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
            # What is read by no column may be the name of a WITH table; a column of one is not asked about.
            if table.startswith(_TABLES_OF_SQLITE) or table in _REFUSED_TABLES or (second and table not in self.names):
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
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in _REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY


def _measure(row: tuple) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else 8 for value in row)
