"""What the views of a database call the columns of its tables."""

from __future__ import annotations

import sqlite3

from rewards.sql.tokens import name_of, tokenise


def list_aliases(connection: sqlite3.Connection) -> dict[str, str]:
    """What the views of a database call a column, and what it is called in its table."""
    aliases = {}
    for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'view' AND sql IS NOT NULL"):
        tokens = tokenise(sql)
        for at in range(1, len(tokens) - 1):
            before, after = name_of(tokens[at - 1]), name_of(tokens[at + 1])
            if tokens[at] == "as" and before[:1].isalpha() and after[:1].isalpha():
                aliases[after] = before
    return aliases
