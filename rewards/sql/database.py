"""Opening a SQLite file that no statement can change."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from functools import lru_cache
from urllib.parse import quote

LONGEST_PATTERN = 200
QUICK_BYTES = 4 << 20
"""Of a file whose copies are made in a fraction of a second."""


def open_readonly(path: str, *, fixed: bool = False) -> sqlite3.Connection:
    """Open a file that no statement can change; raises sqlite3.OperationalError when it is not there.

    `fixed` files are changed by nobody else either, which saves SQLite its locks.
    """
    # No cached statements: a second preparation must tell the authorizer again what is read.
    more = "&immutable=1" if fixed else ""
    return sqlite3.connect(f"file:{quote(path)}?mode=ro{more}", uri=True, cached_statements=0, isolation_level=None)


_kept = threading.local()


def keep_readonly(path: str) -> sqlite3.Connection:
    """The same for a look at a file by this thread, which keeps the last one open until it looks at another or it changes."""
    key = (os.getpid(), os.path.abspath(path), *version_of(path))
    if getattr(_kept, "key", None) != key:
        before = getattr(_kept, "key", None)
        if before and before[0] == key[0]:  # a fork leaves its parent's alone
            _kept.connection.close()
        _kept.key, _kept.connection = None, None
        _kept.connection = open_readonly(path)
        # What a model wrote stands in what is asked here: as in its own process, no pattern is long.
        _kept.connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LONGEST_PATTERN)
        _kept.key = key
    return _kept.connection


def quote_name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def version_of(path: str) -> tuple[int, int]:
    """What changes when the file does: when it was written, in nanoseconds, and its bytes. Raises OSError."""
    state = os.stat(path)
    return state.st_mtime_ns, state.st_size


def copy_to_memory(path: str) -> sqlite3.Connection:
    """A copy of a file that may be changed; raises OSError, sqlite3.Error."""
    connection = sqlite3.connect(":memory:", cached_statements=0, isolation_level=None)
    if os.path.getsize(path) <= QUICK_BYTES:
        connection.deserialize(_read_content(os.path.abspath(path), *version_of(path)))
    else:
        _back_up(path, connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    return connection


@lru_cache(maxsize=4)
def _read_content(path: str, changed: int, size: int) -> bytes:
    """A file as SQLite would write it, whatever lies in a journal beside it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        _back_up(path, connection)
        return connection.serialize()


def _back_up(path: str, connection: sqlite3.Connection) -> None:
    source = open_readonly(path)
    try:
        source.backup(connection)
    finally:
        source.close()
