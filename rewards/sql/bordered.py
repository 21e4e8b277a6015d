"""Making the copies that `borders` plans: rows on one side of a literal are gone, or values are moved onto it and past it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from rewards.sql.altered import chance_of, follow_parents, relations_of, replace_values, shift_epoch
from rewards.sql.columns import Name
from rewards.sql.database import copy_to_memory, quote_name
from rewards.sql.relations import Relations

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
            elif kind == "prefix":
                table, column = quote_name(names[0].table), quote_name(names[0].column)
                connection.execute(f"UPDATE {table} SET {column} = ? || {column} WHERE {chance_of(41)} < 500", (what,))
            elif kind == "again":
                _repeat_rows(connection, names[0].table, relations)
            elif kind == "childless":
                _take_children(connection, names[0], what)
                follow_parents(connection, relations)
            elif kind == "grow":
                if not _grow_groups(connection, names[0], what):
                    _repeat_rows(connection, names[0].table, relations)
            elif kind == "deal":
                _deal_values(connection, names[0], what)
            elif kind == "sizes":
                _cut_groups(connection, names[0], what)
                follow_parents(connection, relations)
            else:
                _move_all(connection, kind, names, what, relations)
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


def _grow_groups(connection: sqlite3.Connection, name: Name, count: int) -> bool:
    """Deal the rows into groups of one more than `count`, as many, one less, and so on; what is left over joins the last.

    False, and nothing is done, where a key forbids it.
    """
    table, column = quote_name(name.table), quote_name(name.column)
    values = [
        value
        for (value,) in connection.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY 1"
        )
    ]
    rows = [
        row for (row,) in connection.execute(f"SELECT rowid FROM {table} WHERE {column} IS NOT NULL ORDER BY rowid")
    ]
    moved, at = [], 0
    for place, value in enumerate(values):
        size = max(1, count + (1, 0, -1, 2)[place % 4]) if place + 1 < len(values) else len(rows)
        moved += [(value, row) for row in rows[at : at + size]]
        at += size
    connection.execute("SAVEPOINT recompensa_grow")
    try:
        connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", moved)
    except sqlite3.Error:
        connection.execute("ROLLBACK TO recompensa_grow")
        return False
    finally:
        connection.execute("RELEASE recompensa_grow")
    return True


def _repeat_rows(connection: sqlite3.Connection, table: str, relations: Relations) -> None:
    """Add half the rows of a table once more, under keys of their own; rows that must be single are not repeated."""
    described = connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall()
    columns = [row[1] for row in described]
    primary = [row[1] for row in described if row[5]]
    linked = {link.child.column.lower() for link in relations.links if link.child.table == table}
    linked |= {row[3].lower() for row in connection.execute(f"PRAGMA foreign_key_list({quote_name(table)})")}
    # Of a key of several columns, the one that numbers the parts of a whole is the one that is free.
    own = next((name for name in reversed(primary) if name.lower() not in linked), None)
    if primary and own is None:
        return
    chosen = []
    for name in columns:
        quoted = quote_name(name)
        if name != own:
            chosen.append(quoted)
            continue
        greatest = f"(SELECT MAX({quoted}) FROM {quote_name(table)})"
        chosen.append(f"CASE WHEN typeof({quoted}) = 'text' THEN {quoted} || ' 2' ELSE {quoted} + {greatest} END")
    connection.execute(
        f"INSERT OR IGNORE INTO {quote_name(table)} SELECT {', '.join(chosen)} FROM {quote_name(table)} WHERE {chance_of(53)} < 500"
    )


def _take_children(connection: sqlite3.Connection, child: Name, parent: Name) -> None:
    """Leave about half the parents without a child."""
    gone = f"SELECT {quote_name(parent.column)} FROM {quote_name(parent.table)} WHERE {chance_of(61)} < 450"
    connection.execute(f"DELETE FROM {quote_name(child.table)} WHERE {quote_name(child.column)} IN ({gone})")


def _deal_values(connection: sqlite3.Connection, name: Name, step: int) -> None:
    """Give each row the value of a row some places on."""
    table, column = quote_name(name.table), quote_name(name.column)
    rows = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY {chance_of(67)}, rowid").fetchall()
    shift = step % len(rows) or 1
    moved = [(rows[(at + shift) % len(rows)][1], row) for at, (row, _) in enumerate(rows)]
    connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", moved)


def _move_all(
    connection: sqlite3.Connection, kind: str, names: Iterable[Name], by: float, relations: Relations
) -> None:
    for name in names:
        if name in relations.epochs:
            if kind == "shift":
                shift_epoch(connection, name, int(by) * 86_400, relations.samples[name])
            continue
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
