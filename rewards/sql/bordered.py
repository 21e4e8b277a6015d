"""Making the copies that `borders` plans: rows on one side of a literal are gone, or values are moved onto it and past it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from rewards.sql.altered import chance_of, copy_to_memory, follow_parents, relations_of, replace_values
from rewards.sql.columns import Name
from rewards.sql.database import quote_name

DAY = 10
"""Characters of a date."""


class Border(NamedTuple):
    """What is done to a copy: each step is a tuple of its kind, a group of columns, and what it needs."""

    steps: tuple[tuple[str, tuple[Name, ...], Any], ...]


def open_bordered(path: str, border: Border) -> sqlite3.Connection:
    """The copy in memory that a border describes."""
    connection = copy_to_memory(path)
    relations = relations_of(path, connection)
    for kind, names, what in border.steps:
        with suppress(sqlite3.Error):
            if kind == "keep":
                connection.execute(f"DELETE FROM {quote_name(names[0].table)} WHERE NOT ({what[0]})", what[1])
                follow_parents(connection, relations)
            elif kind == "replace":
                replace_values(connection, names, dict(what))
            elif kind == "halve":
                table, column = quote_name(names[0].table), quote_name(names[0].column)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {chance_of(41)} < 500", (what,))
            elif kind == "sizes":
                _cut_groups(connection, names[0], what)
                follow_parents(connection, relations)
            else:
                _move_all(connection, kind, names, what)
    return connection


def _cut_groups(connection: sqlite3.Connection, name: Name, count: int) -> None:
    """Leave groups of as many rows as `count`, one more and one less, as far as they have them; none loses all."""
    table, column = quote_name(name.table), quote_name(name.column)
    connection.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT row FROM (SELECT rowid AS row, "
        f"ROW_NUMBER() OVER (PARTITION BY {column} ORDER BY rowid) AS place, DENSE_RANK() OVER (ORDER BY {column}) AS turn "
        f"FROM {table} WHERE {column} IS NOT NULL) WHERE place > MAX(1, ? - 1 + turn % 3))",
        (count,),
    )


def _move_all(connection: sqlite3.Connection, kind: str, names: Iterable[Name], by: float) -> None:
    for name in names:
        column = quote_name(name.column)
        moved, told = f"ROUND({column} * ?, 6)", "'integer', 'real'"
        if kind == "settle":
            moved = f"CASE typeof({column}) WHEN 'integer' THEN CAST(ROUND({column} * ?1) AS INTEGER) ELSE ROUND({column} * ?1, 6) END"
        if isinstance(by, int):
            moved = f"{column} * ?"
        if kind == "shift" or kind == "some":
            moved, told = f"date(substr({column}, 1, {DAY}), ? || ' days') || substr({column}, {DAY + 1})", "'text'"
        with suppress(sqlite3.Error):
            connection.execute(
                f"UPDATE {quote_name(name.table)} SET {column} = {moved} WHERE typeof({column}) IN ({told})"
                + (f" AND {chance_of(43)} < 500" if kind == "some" else ""),
                (by,),
            )
