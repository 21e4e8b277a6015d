"""SQLite's own parser as the judge of whether a text is one statement, asked over an empty database."""

from __future__ import annotations

import os
import sqlite3
import threading
from functools import lru_cache

_local = threading.local()
_DEEPEST = 200


@lru_cache(maxsize=1024)
def parses(sql: str) -> bool:
    """Whether SQLite's grammar accepts a text as one statement, whatever its names stand for."""
    try:
        # Explained, it is prepared and nothing of it is executed. Names are looked up only after the whole text was parsed.
        _connection().execute(f"EXPLAIN {sql}").close()
    except sqlite3.ProgrammingError:
        return False
    except sqlite3.Error as error:
        said = str(error)
        return not (
            said.endswith("syntax error") or said == "incomplete input" or said.startswith("unrecognized token")
        )
    except (ValueError, sqlite3.Warning):
        return False
    return True


def _connection() -> sqlite3.Connection:
    """This thread's empty database; a connection must not be carried over a fork."""
    known = getattr(_local, "connection", None)
    if known is None or known[0] != os.getpid():
        connection = sqlite3.connect(":memory:", cached_statements=0, isolation_level=None)
        connection.setlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH, _DEEPEST)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 20_000)
        known = _local.connection = (os.getpid(), connection)
    return known[1]
