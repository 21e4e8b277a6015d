"""Keeping the clock and the time zone out of a statement, so that the same text has the same result in every process."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

REFUSED = "the current time is refused: the same statement must have the same result on any day"

CLOCKS = frozenset({"current_date", "current_time", "current_timestamp"})
"""Functions, as SQLite's authorizer names them, that tell nothing but the clock."""

_NAMES = ("date", "time", "datetime", "julianday", "strftime", "unixepoch")
_CALLED = re.compile(rf"\b(?:{'|'.join(_NAMES)})\b[\"`\]\s]*\(", re.IGNORECASE)
_SIMPLE = re.compile(
    rf"\b(?:{'|'.join(_NAMES)})\s*\(\s*(?:'[^']*'\s*,\s*)?[^\W\d][\w.]*(?:\s*,\s*'[^']*')*\s*\)", re.IGNORECASE
)
# What can make a text that was not written down: the guard then looks at each argument as it comes.
_MAKES_TEXT = re.compile(
    r"\|\||now|local|utc|\b(?:char|printf|format|replace|unhex|substr|substring|trim|ltrim|rtrim|lower|upper|concat\w*"
    r"|group_concat|string_agg|json\w*|cast)\b|x'",
    re.IGNORECASE,
)
_CLOCK_WORDS = frozenset({"now", "localtime", "utc"})


def needs_guard(sql: str) -> bool:
    """Whether a statement could ask for the current time or the machine's time zone."""
    calls = len(_CALLED.findall(sql))
    return bool(calls) and (bool(_MAKES_TEXT.search(sql)) or len(_SIMPLE.findall(sql)) < calls)


class Guard:
    """Date functions that refuse `now`, `localtime` and `utc`, and are SQLite's own otherwise."""

    def __init__(self) -> None:
        self.refused = False
        self._plain = sqlite3.connect(":memory:", isolation_level=None)

    def put_into(self, connection: sqlite3.Connection) -> None:
        """Replace SQLite's functions in a connection."""
        for name in _NAMES:
            connection.create_function(name, -1, self._make(name))

    def _make(self, name: str) -> Any:
        least = 2 if name == "strftime" else 1

        def call(*arguments: Any) -> Any:
            words = (item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in arguments)
            if len(arguments) < least or any(
                isinstance(word, str) and word.strip().lower() in _CLOCK_WORDS for word in words
            ):
                self.refused = True
                raise ValueError(REFUSED)
            marks = ", ".join("?" * len(arguments))
            return self._plain.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]

        return call
