"""A copy of a database in which a reference that finds nothing finds something: its own literals are put into the rows."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from rewards.sql.altered import chance_of, relations_of
from rewards.sql.columns import Name
from rewards.sql.database import copy_to_memory, quote_name
from rewards.sql.moments import kind_of, read_period, write_moment
from rewards.sql.relations import Relations
from rewards.sql.tokens import KEYWORDS, name_of

_SALTS = 101
_PLANTED = 700
"""Rows of a thousand that get a literal, in each column."""

_DATED = re.compile(r"((?:19|20)[0-9]{2})((?:-[0-9]{2}){0,2}(?:[ T].*)?)\Z", re.DOTALL)


class Planting(NamedTuple):
    """The tokens of a reference, and the columns that it reads, as (table, column) in lower case."""

    tokens: tuple[str, ...]
    columns: frozenset[tuple[str, str]]
    turn: int = 0
    """Which of several such copies, that differ in the rows that get a literal."""


def open_planted(path: str, planting: Planting) -> sqlite3.Connection:
    """A copy whose columns hold, in many rows, what the reference compares them with, or its neighbours."""
    connection = copy_to_memory(path)
    relations = relations_of(path, connection)
    named, unnamed = _list_literals(planting.tokens)
    bound = {link.child for link in relations.links} | {link.parent for link in relations.links}
    columns = [
        name
        for name in _list_columns(connection, relations)
        if (name.table.lower(), name.column.lower()) in planting.columns and name not in bound
    ]
    own = {name.column.lower() for name in columns}
    loose = unnamed + [value for column, values in named.items() if column not in own for value in values]
    for salt, name in enumerate(columns):
        with suppress(sqlite3.Error):
            _plant(
                connection,
                name,
                relations,
                named.get(name.column.lower()) or loose,
                _SALTS + salt * 13 + planting.turn * 7919,
            )
    return connection


def _list_columns(connection: sqlite3.Connection, relations: Relations) -> Iterable[Name]:
    for table in relations.tables:
        for _, column, _, _, _, primary in connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall():
            if not primary:
                yield Name(table, column)


def _list_literals(tokens: Sequence[str]) -> tuple[dict[str, list[Any]], list[Any]]:
    """Texts and numbers by the name that stands before them, and those without one; a pattern loses its wild cards."""
    named: dict[str, list[Any]] = {}
    unnamed: list[Any] = []
    column = ""
    for at, token in enumerate(tokens):
        if token[0] == "'":
            value: Any = token.strip("'").replace("''", "'")
            if value.startswith("%") and at and tokens[at - 1] == "(":
                continue
            value = value.replace("%", "").replace("_", "a") if at and tokens[at - 1] in ("like", "glob") else value
        elif token[0].isdigit():
            value = float(token) if "." in token or "e" in token else int(token)
            value = -value if at and tokens[at - 1] == "-" and tokens[at - 2 : at - 1] != (column,) else value
        else:
            if re.match(r'"?[^\W\d]', token) and token not in KEYWORDS and tokens[at + 1 : at + 2] != ("(",):
                column = name_of(token)
            if token in ("limit", "offset", "select", "group", "order"):
                column = ""
            continue
        (named.setdefault(column, []) if column else unnamed).append(value)
    return named, unnamed


def _plant(
    connection: sqlite3.Connection, name: Name, relations: Relations, literals: Sequence[Any], salt: int
) -> None:
    table, column = quote_name(name.table), quote_name(name.column)
    kinds = dict(connection.execute(f"SELECT typeof({column}), COUNT(*) FROM {table} GROUP BY 1").fetchall())
    texts = [item for item in literals if isinstance(item, str)]
    numbers = [item for item in literals if not isinstance(item, str)]
    values: list[Any] = numbers
    kind = kind_of(relations.samples[name]) if name in relations.epochs else None
    if kind:
        periods = [read_period(item, kind) for item in literals]
        # Neither at the moment that it begins nor at the last, which a bound may leave out.
        values = [write_moment(start + (end - start) / 2, kind) for start, end in filter(None, periods)]
    elif kinds.get("text"):
        values = [near for item in texts for near in _near_dates(item)] if name in relations.dates else texts
    elif not any(name in group for group in relations.levels):
        values = [value for item in numbers for value in (item, item + 1, item - 1)]
    values = list(dict.fromkeys(values))[:20]
    if not values:
        return
    # Each in fewer rows than the one before: where all are as frequent, the counts of two of them are the same.
    parts = _PLANTED / (len(values) * (len(values) + 1) / 2)
    bounds = list(accumulate(parts * (len(values) - at) for at in range(len(values))))
    cases = " ".join(f"WHEN chance < {round(bound)} THEN ?" for bound in bounds)
    # What a date or a prefix leaves open comes from the value that was there.
    kept = "" if name not in relations.dates else f" || substr({column}, length(value) + 1)"
    connection.execute(
        f"UPDATE {table} SET {column} = (SELECT CASE WHEN value IS NULL THEN {column} ELSE value{kept} END "
        f"FROM (SELECT CASE {cases} END AS value FROM (SELECT {chance_of(salt, f'{table}.rowid')} AS chance)))",
        values,
    )


def _near_dates(text: str) -> list[str]:
    """A date as it is, a year later and a year earlier; of a day also the next and the one before."""
    found = _DATED.match(text)
    if not found:
        return []
    near = [f"{int(found[1]) + years}{found[2]}" for years in (0, 1, -1)]
    with suppress(ValueError, OverflowError):
        day = date.fromisoformat(text[:10])
        near += [f"{day + timedelta(days=days)}{text[10:]}" for days in (1, -1)]
    return near
