"""What is known where copies are planned: two statements, their literals and columns, and what may change in a database alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rewards.sql.bordered import Border
from rewards.sql.boundaries import Boundary, ColumnKind, describe, list_boundaries
from rewards.sql.columns import Name
from rewards.sql.conditions import LiteralCondition, LiteralConditions, read_conditions
from rewards.sql.database import quote_name
from rewards.sql.groupings import list_grouped
from rewards.sql.relations import Relations

_PATTERNS = frozenset({"like", "glob"})
_GRIDS = (86_400, 3_600, 60)
_FEW_ROWS_TELL = frozenset({"limit", "max", "min", "distinct", "union", "intersect", "except", "in", "exists"})
_FEW_TIMES = 20
"""Rows from which times that all lie on the hour, or at midnight, are no chance."""


class Reading(NamedTuple):
    """The tokens of a statement, and the columns that it reads, as (table, column) in lower case."""

    tokens: tuple[str, ...]
    columns: frozenset[tuple[str, str]]


class BorderPlan:
    """Two statements over one database, and what of it may be altered so that both still mean what they meant."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        relations: Relations,
        right: Reading,
        given: Reading,
        named: frozenset[str],
    ):
        self.connection, self.relations, self.named = connection, relations, named
        self.right, self.given = right, given
        self.tables = {table for table, _ in right.columns | given.columns}
        self.read = right.columns | given.columns
        self.aliases = relations.aliases
        self.sides: tuple[LiteralConditions, ...] = tuple(read_conditions(each.tokens) for each in (right, given))
        self.literals = [condition.value for side in self.sides for condition in side.columns]
        self.ends = sorted(self.sides[0].ends)
        self.bounded = [{each.column for each in side.columns if each.value is not None} for side in self.sides]
        self.patterns = [{each.column for each in side.columns if each.operator in _PATTERNS} for side in self.sides]
        self.counting = any("count" in tokens for tokens in (right.tokens, given.tokens))
        self.grouped = list_grouped(right.tokens) | list_grouped(given.tokens)
        moving = {(name.table.lower(), name.column.lower()) for name in (*relations.measures, *relations.moments)}
        self.free = right.columns & moving == given.columns & moving
        self.hangs_on_few = any(not _FEW_ROWS_TELL.isdisjoint(each.tokens) for each in (right, given))
        self._kinds: dict[str, ColumnKind | None] = {}

    def list_differences(self) -> list[tuple[Boundary, LiteralCondition]]:
        """The places at which a condition of only one of the two begins or ends to hold."""
        mine, theirs = (list_boundaries(side, self.describe) for side in self.sides)
        differing = [(place, (mine.get(place) or theirs[place])) for place in mine.keys() ^ theirs.keys()]
        return sorted(differing, key=str)

    def describe(self, column: str) -> ColumnKind | None:
        if column not in self._kinds:
            found = [name for name in self.find(column) if name.table.lower() in self.tables]
            sample = self.relations.samples[found[0]] if found else None
            dated = bool(found) and found[0] in self.relations.dates
            known = sample is not None and sample.filled
            self._kinds[column] = describe(found[0], sample, dated, self._find_grid) if known and sample else None
        return self._kinds[column]

    def _find_grid(self, name: Name, width: int) -> int:
        """How many seconds apart the times of a column lie: a day, an hour or a minute where all do, else one."""
        if width <= 10:
            return _GRIDS[0]
        column = quote_name(name.column)
        asked = ", ".join(f"SUM(substr({column}, {at}) GLOB '{zeros}*')" for at, zeros in ((12, "00:00"), (15, "00")))
        if width > 16:
            asked += f", SUM(substr({column}, 18) GLOB '00*')"
        rows, *counts = self.connection.execute(
            f"SELECT COUNT({column}), {asked} FROM (SELECT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL LIMIT 2000)"
        ).fetchone()
        if rows < _FEW_TIMES:
            return 1
        return next(
            (grid for grid, count in zip(_GRIDS, counts, strict=False) if count == rows), 1 if width > 16 else 60
        )

    def find(self, column: str) -> tuple[Name, ...]:
        """The columns that a statement may mean by a name, views' own names among them."""
        return self.relations.find_columns(self.aliases.get(column, column))

    def is_read(self, name: Name) -> bool:
        return (name.table.lower(), name.column.lower()) in self.read

    def count_rows(self, table: str) -> int:
        return int(self.connection.execute(f"SELECT COUNT(*) FROM {quote_name(table)}").fetchone()[0])

    def cut(self, name: Name, one: str, other: str, values: Sequence[Any]) -> Iterator[Border]:
        """Copies that keep the rows of one side only, where rows may go without making anything else untrue."""
        if self.is_bound(name.table):
            return
        table, column = quote_name(name.table), quote_name(name.column)
        total = self.count_rows(name.table)
        for form in (one, other):
            kept = form.format(column)
            count = self.connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {kept}", values).fetchone()[0]
            if 0 < count < total:
                yield Border((("keep", (name,), (kept, tuple(values))),))

    def with_cuts(self, borders: Iterator[Border], cuts: Iterator[Border]) -> Iterator[Border]:
        """Copies, and those that cut rows off where there is none else or where a result hangs on few rows."""
        some = False
        for border in borders:
            some = True
            yield border
        if self.hangs_on_few or not some:
            yield from cuts

    def is_bound(self, table: str) -> bool:
        """Whether rows of a table belong to wholes that are read too."""
        return any(
            link.child.table == table
            and link.parent.table != table
            and link.parent.table.lower() in self.tables
            and (link.owner or link.full)
            for link in self.relations.links
        )

    def is_free(self, name: Name) -> bool:
        """Whether a number may change alone: nothing follows from it, or both statements read the same figures."""
        several = sum(each.table == name.table for each in self.relations.moments) > 1
        return self.free or not (name in self.relations.tied or several)

    def is_dated(self, table: str) -> bool:
        return any(each.table == table for each in self.relations.moments)

    def reads_alone(self, name: Name) -> bool:
        """Whether only one of the two statements reads a column."""
        key = (name.table.lower(), name.column.lower())
        return (key in self.right.columns) != (key in self.given.columns)
