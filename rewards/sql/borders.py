"""Copies of a database that are altered at the literals of two statements, so that a condition no row tells is told.

A condition that holds for every row, an extreme picked by a bound, a day or a number off by one: rows are moved onto the
literals and past them, or the rows on one side of a literal are missing. What follows from something else still does: a
figure is moved alone only where both statements read the same figures, else all move by one factor or all dates by the
same days.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple

from rewards.sql.altered import chance_of, copy_to_memory, follow_parents, know_relations, relations_of, replace_values
from rewards.sql.columns import ColumnSample, Name, look_at
from rewards.sql.conditions import LiteralCondition, list_conditions
from rewards.sql.database import open_readonly, quote_name
from rewards.sql.extremes import find_extreme
from rewards.sql.relations import Relations
from rewards.sql.tokens import tokenise

MOST_BORDERS = 10
_MOST_VALUES = 5_000
_FEW_LEVELS = 12
_MOST = 0.75
"""Of an extreme's own bound, the share of rows that must lie on the other side: `MAX(total)` is that of `total > 5` too."""

_DAY = 10
"""Characters of a date."""


class Border(NamedTuple):
    """What is done to a copy: each step is a tuple of its kind, a group of columns, and what it needs."""

    steps: tuple[tuple[str, tuple[Name, ...], Any], ...]


class Reading(NamedTuple):
    """The tokens of a statement, and the columns that it reads, as (table, column) in lower case."""

    tokens: tuple[str, ...]
    columns: frozenset[tuple[str, str]]


def plan_borders(path: str, right: Reading, given: Reading) -> tuple[Border, ...]:
    """The copies that tell the conditions apart that only one of two statements has; none where both have the same."""
    differing = sorted(
        set(list_conditions(right.tokens)) ^ set(list_conditions(given.tokens)),
        key=lambda item: (item.column, str(item.value), item.operator),
    )
    if not differing:
        return ()
    connection = open_readonly(path)
    try:
        plan = _Plan(connection, know_relations(path), right, given)
        borders: dict[Border, None] = {}
        for condition in differing:
            with suppress(sqlite3.Error):
                borders.update(dict.fromkeys(plan.list_borders(condition)))
        return tuple(borders)[:MOST_BORDERS]
    finally:
        connection.close()


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
            else:
                _move_all(connection, kind, names, what)
    return connection


def _move_all(connection: sqlite3.Connection, kind: str, names: Iterable[Name], by: float) -> None:
    for name in names:
        column = quote_name(name.column)
        moved, told = f"ROUND({column} * ?, 6)", "'integer', 'real'"
        if isinstance(by, int):
            moved = f"{column} * ?"
        if kind == "shift":
            moved, told = f"date(substr({column}, 1, {_DAY}), ? || ' days') || substr({column}, {_DAY + 1})", "'text'"
        with suppress(sqlite3.Error):
            connection.execute(
                f"UPDATE {quote_name(name.table)} SET {column} = {moved} WHERE typeof({column}) IN ({told})", (by,)
            )


class _Plan:
    def __init__(self, connection: sqlite3.Connection, relations: Relations, right: Reading, given: Reading):
        self.connection, self.relations = connection, relations
        self.right, self.given = right, given
        self.tables = {table for table, _ in right.columns | given.columns}
        self.aliases = list_aliases(connection)
        self.literals = [
            condition.value for tokens in (right.tokens, given.tokens) for condition in list_conditions(tokens)
        ]
        self.ends = sorted(
            {
                str(condition.value)
                for tokens in (right.tokens, given.tokens)
                for condition in list_conditions(tokens)
                if condition.operator in (">", "<=", "between")
            }
        )
        extremes = (find_extreme(right.tokens), find_extreme(given.tokens))
        self.chosen = {self.aliases.get(word, word) for each in extremes if each for word in each.measure}
        moving = {(name.table.lower(), name.column.lower()) for name in (*relations.measures, *relations.dates)}
        self.free = right.columns & moving == given.columns & moving

    def list_borders(self, condition: LiteralCondition) -> Iterator[Border]:
        column = self.aliases.get(condition.column, condition.column)
        for name in find_columns(self.connection, self.relations, column):
            if name.table.lower() not in self.tables or name in self.relations.keys:
                continue
            sample = look_at(self.connection, name.table, name.column)
            if not sample.filled:
                continue
            if condition.value is None:
                yield from self._cut(name, "{0} IS NULL", "{0} IS NOT NULL", ())
            elif isinstance(condition.value, str) and sample.texts == sample.filled:
                if name in self.relations.dates:
                    yield from self._cross_date(name, sample, condition.value)
                else:
                    yield from self._cross_text(name, sample, condition)
            elif not isinstance(condition.value, str) and sample.integers + sample.reals == sample.filled:
                yield from self._cross_number(name, sample, condition)

    def _cut(self, name: Name, one: str, other: str, values: Sequence[Any], least: float = 0.0) -> Iterator[Border]:
        """Copies that keep the rows of one side only, where rows may go without making anything else untrue."""
        bound = any(
            link.child.table == name.table
            and link.parent.table != name.table
            and link.parent.table.lower() in self.tables
            and (link.owner or link.full)
            for link in self.relations.links
        )
        if bound:
            return
        table, column = quote_name(name.table), quote_name(name.column)
        total = self.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for form in (one, other):
            kept = form.format(column)
            count = self.connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {kept}", values).fetchone()[0]
            if total * least < count < total:
                yield Border((("keep", (name,), (kept, tuple(values))),))

    def _cross_number(self, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
        value = condition.value
        yield from self._cut(
            name, "{0} < ?", "{0} >= ?", (value,), _MOST if name.column.lower() in self.chosen else 0.0
        )
        positive = sample.low > 0 or value <= 0
        if (positive and value <= 0) or (sample.low >= 0 and sample.high <= 1):
            return
        step = 1 if sample.integers == sample.filled else 0.01
        if sample.distinct <= _FEW_LEVELS and step == 1 and value in (sample.low, sample.high):
            return  # the end of a scale, as five stars of five
        several = sum(each.table == name.table for each in self.relations.dates) > 1
        if self.free or not (name in self.relations.tied or several):
            near = [value, round(value + step, 6), round(value - step, 6)]
            near = [
                item for item in near if not (sample.low >= 0 and item <= 0 < sample.low) and item >= min(0, sample.low)
            ]
            if step == 1:
                near = list(dict.fromkeys(int(item) for item in near if item == int(item) or item > value))
            yield from self._move_near(name, near, value)
        elif name in self.relations.measures and value >= sample.high > 0:
            yield Border((("scale", self.relations.measures, int(2 * value / sample.high) + 1),))
        elif name in self.relations.measures and step != 1 and 0 < value <= sample.low:
            yield Border((("scale", self.relations.measures, 0.7 * value / sample.low),))

    def _cross_date(self, name: Name, sample: ColumnSample, text: str) -> Iterator[Border]:
        yield from self._cut(name, "{0} < ?", "{0} >= ?", (text,))
        day = _read_day(text)
        days = self._list_days(name) if day else []
        # Dates of other lengths, such as months, cannot follow a shift by days.
        whole = all(len(str(look_at(self.connection, *each).low)) >= _DAY for each in self.relations.dates)
        if day is None or not days or not whole or self.relations.years:
            return
        nearest = min(days, key=lambda item: abs(item - day))
        timed = len(str(sample.low)) > _DAY
        middle = sorted(days)[len(days) // 2]
        shifts = [target - nearest for target in (day, day + 1, day - 1) if target not in days]
        if not min(days) < day <= max(days):
            shifts.insert(0, day - middle)
        for shift in shifts:
            steps: list[tuple[str, tuple[Name, ...], Any]] = [("shift", self.relations.dates, shift)]
            if timed and len(text) == _DAY:
                # `<= '2024-12-31'` leaves out that day's rows where they have a time; that is not what is asked here.
                column = quote_name(name.column)
                literals = [item for item in self.ends if len(item) == _DAY]
                marks = ", ".join("?" * len(literals))
                steps.append(("keep", (name,), (f"substr({column}, 1, {_DAY}) NOT IN ({marks})", tuple(literals))))
            yield Border(tuple(steps))

    def _list_days(self, name: Name) -> list[int]:
        column = quote_name(name.column)
        listed = f"SELECT DISTINCT substr({column}, 1, {_DAY}) FROM {quote_name(name.table)} LIMIT {_MOST_VALUES}"
        days = (_read_day(str(text)) for (text,) in self.connection.execute(listed).fetchall())
        return [day for day in days if day is not None]

    def _cross_text(self, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
        operator = condition.operator if condition.operator in ("like", "glob") else "="
        yield from self._cut(name, f"{{0}} {operator} ?", f"NOT {{0}} {operator} ?", (condition.value,))
        if operator != "=" or name in self.relations.dates:
            return
        table, column = quote_name(name.table), quote_name(name.column)
        values = [
            value
            for (value,) in self.connection.execute(
                f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT {_MOST_VALUES}"
            )
        ]
        others = [value for value in values if value not in self.literals]
        group = next(
            (group for group in (*self.relations.labels, *self.relations.texts) if name in group),
            (name,),
        )
        if condition.value not in values and others:
            yield Border((("replace", group, ((others[0], condition.value),)),))
        elif sample.distinct == 1:
            yield Border((("halve", (name,), f"{values[0]} 2"),))
        elif not others and len(values) > 2:
            yield Border((("replace", group, ((values[0], f"{values[0]} 2"),)),))

    def _move_near(self, name: Name, near: Sequence[Any], value: Any) -> Iterator[Border]:
        """The values nearest to a literal, moved onto it and past it."""
        table, column = quote_name(name.table), quote_name(name.column)
        listed = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY ABS({column} - ?) LIMIT 40"
        there = [item for (item,) in self.connection.execute(listed, (value,)).fetchall()]
        wanted = [item for item in near if item not in there]
        sources = [item for item in there if item not in near and item not in self.literals]
        if not sources or not wanted:
            return
        yield Border((("replace", (name,), tuple(zip(sources, wanted, strict=False))),))
        # The few values nearest may all be of rows that another condition leaves out.
        many = sources[::2]
        yield Border((("replace", (name,), tuple(zip(many, wanted * len(many), strict=False))),))


def find_columns(connection: sqlite3.Connection, relations: Relations, column: str) -> Iterator[Name]:
    """The columns of that name, in any case, of the tables of a database."""
    for table in relations.tables:
        for row in connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall():
            if str(row[1]).lower() == column:
                yield Name(table, row[1])


def list_aliases(connection: sqlite3.Connection) -> dict[str, str]:
    """What the views of a database call a column, and what it is called in its table."""
    aliases = {}
    for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'view' AND sql IS NOT NULL"):
        tokens = tokenise(sql)
        for at in range(1, len(tokens) - 1):
            if tokens[at] == "as" and tokens[at - 1].isidentifier() and tokens[at + 1].isidentifier():
                aliases[tokens[at + 1]] = tokens[at - 1]
    return aliases


def _read_day(text: str) -> int | None:
    with suppress(ValueError):
        return date.fromisoformat({4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text[:_DAY])).toordinal()
    return None
