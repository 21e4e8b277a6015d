"""Texts in double quotes, which SQLite takes for text where no column has that name: `country = "Brazil"`."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from functools import lru_cache

from rewards.sql.database import open_readonly, quote_name, version_of
from rewards.sql.statements import SqlStatement
from rewards.sql.tokens import KEYWORDS, TOKEN, name_of, normalise

_BEFORE_NAMES = frozenset({"as", "from", "join", "with", "recursive", ".", "using", "into"})
_VALUES = frozenset(")'")


def settle_quotes(statement: SqlStatement, path: str) -> SqlStatement:
    """The same statement, whose tokens tell texts in double quotes from names; raises OSError, sqlite3.Error for the file."""
    if statement.sql is None or '"' not in statement.sql:
        return statement
    names = _list_names(os.path.abspath(path), *version_of(path))
    pieces = [match[0] for match in TOKEN.finditer(statement.sql)]
    pieces = [piece for piece in pieces if normalise(piece)]
    pieces = pieces[: pieces.index(";")] if ";" in pieces else pieces
    named = {name_of(piece) for at, piece in enumerate(pieces) if piece[0] == '"' and _is_placed(pieces, at)}
    tokens = tuple(
        "'" + piece[1:].removesuffix('"').replace("'", "''") + "'"
        if piece[0] == '"' and name_of(piece) not in named | names
        else normalise(piece)
        for piece in pieces
    )
    return replace(statement, tokens=tokens)


def _is_placed(pieces: list[str], at: int) -> bool:
    """Whether a quoted word stands where only a name can: of a table, of what it is called, before or after a dot."""
    before = pieces[at - 1].lower() if at else ""
    after = pieces[at + 1].lower() if at + 1 < len(pieces) else ""
    if before in _BEFORE_NAMES or after == ".":
        return True
    if after == "as" and [*pieces, "", ""][at + 2].lower() in ("(", "not", "materialized"):  # WITH "name" AS (
        return True
    # What follows a value, or another name, is what it is called.
    return bool(before) and (
        before[0] in _VALUES or before[0] in '"`[' or (before[0].isalnum() and before not in _WORDS)
    )


_WORDS = KEYWORDS | {"like", "glob", "regexp", "match"}


@lru_cache(maxsize=64)
def _list_names(path: str, changed: int, size: int) -> frozenset[str]:
    """The names, in lower case, of all tables and views of a file and of their columns."""
    connection = open_readonly(path)
    try:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        ]
        columns = []
        for table in tables:
            try:
                columns += [row[1] for row in connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall()]
            except sqlite3.Error:
                continue
        return frozenset(name.lower() for name in (*tables, *columns))
    finally:
        connection.close()
