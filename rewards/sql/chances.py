"""What holds in an example database by chance alone: which reference meets which row, and that a group has a single member."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress

from rewards.sql.columns import Link, Name
from rewards.sql.database import quote_name
from rewards.sql.relations import Relations

_MOST_PAIRS = 60
"""Pairs of columns of a table between which dependencies are looked for."""

_MOSTLY = 0.8
"""Share of rows in which one text holds another from which it is made of it."""


def deal_references(connection: sqlite3.Connection, relations: Relations, step: int) -> None:
    """Give each row of a table the reference of another row, where nothing but the reference ties the two tables.

    Both tables keep their rows as they are; only what is true of rows that happened to meet is true no longer.
    """
    for link in _free_links(relations):
        table, column = quote_name(link.child.table), quote_name(link.child.column)
        with suppress(sqlite3.Error):
            rows = connection.execute(f"SELECT rowid, {column} FROM {table} ORDER BY rowid").fetchall()
            shift = step % len(rows) if rows else 0
            if not shift:
                continue
            moved = [(rows[(at + shift) % len(rows)][1], row) for at, (row, _) in enumerate(rows)]
            connection.execute("SAVEPOINT recompensa_deal")
            try:
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", moved)
            except sqlite3.Error:
                connection.execute("ROLLBACK TO recompensa_deal")
            connection.execute("RELEASE recompensa_deal")


def _free_links(relations: Relations) -> Iterator[Link]:
    """Links to tables without figures, that share no values with the child and that no other of its links leads to."""
    measured = {name.table for name in relations.measures}
    for link in relations.links:
        child, parent = link.child.table, link.parent.table
        if child == parent or link.owner or parent in measured:
            continue
        reached = _ancestors(relations.links, parent)
        groups = (*relations.labels, *relations.names, *relations.texts)
        shared = any(
            child in {name.table for name in group} and reached & {name.table for name in group} for group in groups
        )
        others = [other for other in relations.links if other.child.table == child and other != link]
        crossed = any(reached & _ancestors(relations.links, other.parent.table) for other in others)
        if not shared and not crossed:
            yield link


def _ancestors(links: Sequence[Link], table: str) -> set[str]:
    found, stack = {table}, [table]
    while stack:
        at = stack.pop()
        for link in links:
            if link.child.table == at and link.parent.table not in found:
                found.add(link.parent.table)
                stack.append(link.parent.table)
    return found


def split_members(connection: sqlite3.Connection, relations: Relations, chance: str) -> None:
    """Give half the rows of a member a name of its own, where members belong to groups, as cities to states.

    A group of which an example knows one member only is no longer the same as that member.
    """
    for name in _find_members(connection, relations):
        column = quote_name(name.column)
        with suppress(sqlite3.Error):
            connection.execute(
                f"UPDATE {quote_name(name.table)} SET {column} = {column} || ' 2' "
                f"WHERE typeof({column}) = 'text' AND {chance} < 500"
            )


def _find_members(connection: sqlite3.Connection, relations: Relations) -> Iterator[Name]:
    """Texts that tell another column's value and are not told by it, unless one is made of the other's text."""
    single = [group[0] for group in (*relations.labels, *relations.texts) if len(group) == 1]
    names = [name for name in single if name not in relations.unique and name not in relations.dates]
    every = [name for group in relations.labels for name in group if name not in relations.dates]
    for name in names:
        others = [other for other in every if other.table == name.table and other != name][:_MOST_PAIRS]
        tells, alias = False, False
        for other in others:
            a, b, table = quote_name(name.column), quote_name(other.column), quote_name(name.table)
            mine, theirs, both, inside = connection.execute(
                f"SELECT COUNT(DISTINCT {a}), COUNT(DISTINCT {b}), (SELECT COUNT(*) FROM (SELECT DISTINCT {a}, {b} FROM {table})), "
                f"AVG(instr(lower({a}), lower({b})) > 0 OR instr(lower({b}), lower({a})) > 0) FROM {table}"
            ).fetchone()
            alias = alias or (inside or 0) > _MOSTLY or (both <= max(mine, theirs) and mine <= theirs)
            tells = tells or (both == mine > theirs >= 2)
        if tells and not alias:
            yield name
