"""Which rows a statement tells by their key, `id = 5`, and which by what they are called, `name = 'Rock'`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from rewards.sql.altered import know_relations
from rewards.sql.columns import Name
from rewards.sql.conditions import LiteralCondition, list_conditions
from rewards.sql.database import keep_readonly, quote_name
from rewards.sql.relations import Relations

_NAMING = 0.75
"""Share of different values from which a column names the rows of its table."""

_MOST_ROWS = 100
_EQUALITIES = frozenset({"=", "in", "is", "like"})


class Naming(NamedTuple):
    """Where one of two statements tells rows by keys and the other does not: whether names there tell the same rows.

    `rows` are these rows, as keys by the columns that hold them.
    """

    alike: bool
    rows: tuple[tuple[Name, tuple[Any, ...]], ...] = ()


def compare_naming(path: str, right: tuple[str, ...], given: tuple[str, ...]) -> Naming | None:
    """None where both statements have literals for the keys of the same tables, or neither has."""
    mine, theirs = list_conditions(right), list_conditions(given)
    if set(mine) == set(theirs):
        return None
    relations = know_relations(path)
    aliases = relations.aliases
    first, second = (_list_keys(relations, aliases, side) for side in (mine, theirs))
    rows = []
    for key in sorted(first.keys() ^ second.keys()):
        told, others = (first[key], theirs) if key in first else (second[key], mine)
        if told is None or told != _find_named(keep_readonly(path), relations, aliases, key, others):
            return Naming(False)
        rows.append((key, tuple(sorted(told, key=str))))
    return Naming(True, tuple(rows)) if rows else None


def _list_keys(
    relations: Relations,
    aliases: dict[str, str],
    conditions: Iterable[LiteralCondition],
) -> dict[Name, set[Any] | None]:
    """By the column that identifies a table's rows, the literals that it, or what refers to it, is compared with.

    None where they bound it only, as `id < 30`.
    """
    found: dict[Name, set[Any] | None] = {}
    for condition in conditions:
        if condition.value is None or (condition.operator in (">", ">=", "!=") and condition.value in (0, -1)):
            continue
        for name in relations.find_columns(aliases.get(condition.column, condition.column)):
            parents = [link.parent for link in relations.links if link.child == name]
            key = parents[0] if parents else name
            if key not in relations.single_keys:
                continue
            told = found.setdefault(key, set())
            if condition.operator not in _EQUALITIES:
                found[key] = None
            elif told is not None:
                told.add(condition.value)
            if not parents:
                break
    return found


def _find_named(
    connection: sqlite3.Connection,
    relations: Relations,
    aliases: dict[str, str],
    key: Name,
    conditions: Iterable[LiteralCondition],
) -> set[Any]:
    """The keys of the rows of a table that have the names said of it; none where what is said names no single rows."""
    table = quote_name(key.table)
    said: dict[Name, list[tuple[str, str]]] = {}
    for condition in conditions:
        if not isinstance(condition.value, str) or condition.operator not in _EQUALITIES:
            continue
        for name in relations.find_columns(aliases.get(condition.column, condition.column)):
            if name.table == key.table and name != key:
                operator = "LIKE" if condition.operator == "like" else "="
                said.setdefault(name, []).append((operator, condition.value))
    if not said:
        return set()
    column = quote_name(key.column)
    joined = " || char(31) || ".join(f"COALESCE({quote_name(name.column)}, '')" for name in said)
    clauses = " AND ".join(
        "(" + " OR ".join(f"{quote_name(name.column)} {operator} ?" for operator, _ in told) + ")"
        for name, told in said.items()
    )
    values = [value for told in said.values() for _, value in told]
    with suppress(sqlite3.Error):
        distinct, rows = connection.execute(f"SELECT COUNT(DISTINCT {joined}), COUNT(*) FROM {table}").fetchone()
        if distinct >= _NAMING * rows:
            found = f"SELECT {column} FROM {table} WHERE {clauses} LIMIT {_MOST_ROWS}"
            keys = {value for (value,) in connection.execute(found, values)}
            return keys or _find_full_names(connection, relations, key, next(iter(said)), values)
    return set()


def _find_full_names(
    connection: sqlite3.Connection, relations: Relations, key: Name, last: Name, values: list[str]
) -> set[Any]:
    """The same for `first || ' ' || last = 'Ana Lima'`, where the last of the columns is taken for what is compared."""
    table, column = quote_name(key.table), quote_name(key.column)
    found: set[Any] = set()
    for row in connection.execute(f"PRAGMA table_info({table})").fetchall():
        if row[1] == last.column:
            continue
        both = f"{quote_name(row[1])} || ' ' || {quote_name(last.column)}"
        for value in values:
            found |= {
                item
                for (item,) in connection.execute(
                    f"SELECT {column} FROM {table} WHERE {both} = ? LIMIT {_MOST_ROWS}", (value,)
                )
            }
    return found
