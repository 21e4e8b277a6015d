"""Opening a SQLite file that no statement can change."""

from __future__ import annotations

import os
import sqlite3
import threading
from urllib.parse import quote


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
        _kept.key = key
    return _kept.connection


def quote_name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def version_of(path: str) -> tuple[int, int]:
    """What changes when the file does: when it was written, in nanoseconds, and its bytes. Raises OSError."""
    state = os.stat(path)
    return state.st_mtime_ns, state.st_size
