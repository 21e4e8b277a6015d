"""A column of a database, how it refers to another, and what a sample of it holds."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

from rewards.sql.database import quote_name

SAMPLE = 20_000
"""Rows of a table that tell what its columns are."""


class Name(NamedTuple):
    """A column of a table."""

    table: str
    column: str


@dataclass(frozen=True, slots=True)
class Link:
    """A column whose values are all found in a column of the parent table."""

    child: Name
    parent: Name
    owner: bool
    """Whether the child row is a part of the parent's, as a line is of its invoice."""

    full: bool = False
    """Whether every parent has a child."""


class ColumnSample(NamedTuple):
    """What a sample of a column holds: counts of its non-null values by kind, of distinct ones, and the extremes."""

    filled: int
    distinct: int
    integers: int
    reals: int
    texts: int
    low: Any
    high: Any

    @property
    def unique(self) -> bool:
        return self.filled == self.distinct > 1


def look_at(connection: sqlite3.Connection, table: str, column: str) -> ColumnSample:
    """Counts and extremes of a column, of the first rows of its table."""
    name = quote_name(column)
    counted = (
        "SELECT COUNT(c), COUNT(DISTINCT c), SUM(typeof(c) = 'integer'), SUM(typeof(c) = 'real'), SUM(typeof(c) = 'text'), "
        f"MIN(c), MAX(c) FROM (SELECT {name} AS c FROM {quote_name(table)} LIMIT {SAMPLE})"
    )
    return ColumnSample(
        *(0 if at < 5 and item is None else item for at, item in enumerate(connection.execute(counted).fetchone()))
    )
