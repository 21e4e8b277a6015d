"""A copy of a database whose empty tables are filled with made-up rows: with none, every condition is as right as every other."""

from __future__ import annotations

import re
import sqlite3
from contextlib import suppress
from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

from rewards.sql.database import copy_to_memory, quote_name

ROWS = 40
"""Of each table that is filled."""

_NUMERIC = re.compile(r"int|real|num|dec|float|double|money|bool", re.IGNORECASE)
_WHOLE = re.compile(r"int|bool", re.IGNORECASE)
_COUNTED = re.compile(
    r"(?:^|_)(?:age|amount|count|number|num|price|cost|salary|total|score|points|rank|size|population|quantity|"
    r"idade|valor|preco|quantidade|salario)(?:_|$)|(?<=[a-z])(?:Age|Amount|Count|Price|Total|Score)$",
    re.IGNORECASE,
)
_DATED = re.compile(r"date|time|day|data_|_data$|(?:^|_)dt(?:_|$)", re.IGNORECASE)
_YEAR = re.compile(r"(?:^|_)(?:year|ano)(?:_|$)", re.IGNORECASE)
_KEY = re.compile(r"(?:(?:^|_)(?:id|key|code|cod|uuid)|(?<=[a-z])(?:Id|ID|Key))$", re.IGNORECASE)
_NAMED = re.compile(r"name|title|nome|titulo|email|phone|address|url", re.IGNORECASE)


class _Column(NamedTuple):
    name: str
    kind: str  # as declared
    primary: int  # place in the primary key, 0 outside


def open_filled(path: str) -> sqlite3.Connection:
    """The copy in memory; a table that takes no made-up row, by a check or a trigger, stays empty."""
    connection = copy_to_memory(path)
    tables = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        ).fetchall()
    ]
    columns = {table: _list_columns(connection, table) for table in tables}
    parents = {table: _list_parents(connection, table, columns) for table in tables}
    for table in tables:
        with suppress(sqlite3.Error):
            if not connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quote_name(table)})").fetchone()[0]:
                _fill(connection, table, columns[table], parents[table])
    return connection


def _list_columns(connection: sqlite3.Connection, table: str) -> list[_Column]:
    found = connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall()
    return [_Column(name, kind or "", primary) for _, name, kind, _, _, primary in found]


def _list_parents(connection: sqlite3.Connection, table: str, columns: dict[str, list[_Column]]) -> set[str]:
    """The columns of a table, in lower case, that refer to rows of another: declared, or a key named as another table's."""
    declared = {
        row[3].lower() for row in connection.execute(f"PRAGMA foreign_key_list({quote_name(table)})").fetchall()
    }
    named = set()
    for column in columns[table]:
        owner = re.sub(r"_?(?:id|key|code|cod|uuid)$", "", column.name.lower())
        others = (other.lower() for other in columns if other != table)
        if _KEY.search(column.name) and owner and any(other in (owner, f"{owner}s", f"{owner}es") for other in others):
            named.add(column.name.lower())
    return declared | named


def _fill(connection: sqlite3.Connection, table: str, columns: list[_Column], parents: set[str]) -> None:
    """Keys count from 1 in every table, so that references, which are numbers of rows, find theirs."""
    alone = sum(column.primary > 0 for column in columns) == 1
    values = []
    for place, column in enumerate(columns):
        draw = Random(f"{table.lower()} {column.name.lower()}")
        if column.name.lower() in parents:
            values.append(_written(column, [draw.randint(1, ROWS) for _ in range(ROWS)]))
        elif (column.primary and alone) or (place == 0 and _KEY.search(column.name)):
            values.append(_written(column, list(range(1, ROWS + 1))))
        else:
            values.append(_make_values(column, draw))
    marks = ", ".join("?" * len(columns))
    into = (
        f"INSERT INTO {quote_name(table)} ({', '.join(quote_name(column.name) for column in columns)}) VALUES ({marks})"
    )
    for row in zip(*values, strict=True):
        with suppress(sqlite3.Error, OverflowError):
            connection.execute(into, row)


def _written(column: _Column, numbers: list[int]) -> list[Any]:
    return [number if not column.kind or _NUMERIC.search(column.kind) else str(number) for number in numbers]


def _make_values(column: _Column, draw: Random) -> list[Any]:
    number = bool(_NUMERIC.search(column.kind))
    if _YEAR.search(column.name):
        return _written(column, [draw.randint(1990, 2024) for _ in range(ROWS)])
    if not number and (_DATED.search(column.name) or _DATED.search(column.kind)):
        days = [date(2019, 1, 1) + timedelta(days=draw.randrange(2000)) for _ in range(ROWS)]
        timed = re.search(r"time", f"{column.name} {column.kind}", re.IGNORECASE)
        return [f"{day} {draw.randrange(24):02}:{draw.randrange(60):02}:00" if timed else str(day) for day in days]
    if number and not _WHOLE.search(column.kind):
        return [draw.randrange(100, 20_000) / 100 for _ in range(ROWS)]
    if number or _COUNTED.search(column.name):
        return _written(column, [draw.randint(1, 99) for _ in range(ROWS)])
    # Few labels, uneven, as a category has them; names come once.
    if _NAMED.search(column.name):
        return [f"{column.name} {draw.randrange(1000)} {at}" for at in range(ROWS)]
    return [f"{column.name} {'abcdefgh'[min(draw.randrange(8), draw.randrange(8))]}" for _ in range(ROWS)]
