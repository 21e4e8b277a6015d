"""Copies of a database that are altered at the literals of two statements, so that a condition no row tells is told.

A condition that holds for every row, an extreme picked by a bound, a day or a number off by one: rows are moved onto the
literals and past them, or the rows on one side of a literal are missing. What follows from something else still does: a
figure is moved alone only where both statements read the same figures, else all move by one factor or all dates by the
same days.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, NamedTuple

from rewards.sql.altered import know_relations
from rewards.sql.bordered import DAY, Border
from rewards.sql.columns import ColumnSample, Name
from rewards.sql.conditions import LiteralCondition, read_conditions
from rewards.sql.database import open_readonly, quote_name
from rewards.sql.extremes import Extreme, find_extreme
from rewards.sql.groupings import list_distinct, list_grouped
from rewards.sql.relations import Relations
from rewards.sql.tokens import tokenise

MOST_BORDERS = 10
_MOST_VALUES = 5_000
_FEW_LEVELS = 12
_MOST_GROUPINGS = 2
_TIED = 8
_YEAR = 366
_PATTERNS = frozenset({"like", "glob"})
_BOUNDS = frozenset({"<", "<=", ">", ">=", "between"})
_BESIDE = 1.000317
"""By which a figure lies beside a bound and not on it, where adding up in another order would decide."""


class Reading(NamedTuple):
    """The tokens of a statement, and the columns that it reads, as (table, column) in lower case."""

    tokens: tuple[str, ...]
    columns: frozenset[tuple[str, str]]


def plan_borders(path: str, right: Reading, given: Reading) -> tuple[Border, ...]:
    """The copies that tell the conditions apart that only one of two statements has; none where both have the same."""
    mine, theirs = read_conditions(right.tokens), read_conditions(given.tokens)
    differing = sorted(
        {*(set(mine.columns) ^ set(theirs.columns)), *(mine.counts ^ theirs.counts)},
        key=lambda item: (item.column, str(item.value), item.operator),
    )
    doubled = list_distinct(right.tokens) ^ list_distinct(given.tokens)
    first, second = find_extreme(right.tokens), find_extreme(given.tokens)
    # Where both say which of several firsts is meant, and not with the same words.
    tied = first is not None and second is not None and first.keys != second.keys and first.keys and second.keys
    if not differing and not doubled and not tied:
        return ()
    connection = open_readonly(path)
    try:
        plan = _Plan(connection, know_relations(path), right, given)
        borders: dict[Border, None] = {}
        for condition in differing:
            with suppress(sqlite3.Error):
                borders.update(dict.fromkeys(plan.list_borders(condition)))
        for column in sorted(doubled):
            with suppress(sqlite3.Error):
                borders.update(dict.fromkeys(plan.double(column)))
        if first and tied:
            with suppress(sqlite3.Error):
                borders.update(dict.fromkeys(plan.tie(first)))
        return tuple(borders)[:MOST_BORDERS]
    finally:
        connection.close()


class _Plan:
    def __init__(self, connection: sqlite3.Connection, relations: Relations, right: Reading, given: Reading):
        self.connection, self.relations = connection, relations
        self.right, self.given = right, given
        self.tables = {table for table, _ in right.columns | given.columns}
        self.read = right.columns | given.columns
        self.aliases = list_aliases(connection)
        sides = [read_conditions(tokens) for tokens in (right.tokens, given.tokens)]
        self.literals = [condition.value for side in sides for condition in side.columns]
        self.ends = sorted(sides[0].ends | sides[1].ends)
        self.bounded = [{each.column for each in side.columns if each.value is not None} for side in sides]
        self.patterns = [{each.column for each in side.columns if each.operator in _PATTERNS} for side in sides]
        self.counting = any("count" in tokens for tokens in (right.tokens, given.tokens))
        self.grouped = list_grouped(right.tokens) | list_grouped(given.tokens)
        moving = {(name.table.lower(), name.column.lower()) for name in (*relations.measures, *relations.dates)}
        self.free = right.columns & moving == given.columns & moving

    def list_borders(self, condition: LiteralCondition) -> Iterator[Border]:
        column = self.aliases.get(condition.column, condition.column)
        found = list(self.relations.find_columns(column))
        if not found and self.counting and isinstance(condition.value, int):
            yield from self._size_groups(condition.value)
        for name in found:
            if name.table.lower() not in self.tables or name in self.relations.keys:
                continue
            sample = self.relations.samples[name]
            if not sample.filled:
                continue
            if condition.value is None:
                yield from self._cut(name, "{0} IS NULL", "{0} IS NOT NULL", ())
                if self._may_lack_others(name):
                    yield Border((("halve", (name,), None),))
            elif isinstance(condition.value, str) and sample.texts == sample.filled:
                if name in self.relations.dates:
                    yield from self._cross_date(name, sample, condition.value)
                else:
                    yield from self._cross_text(name, sample, condition)
            elif not isinstance(condition.value, str) and sample.integers + sample.reals == sample.filled:
                yield from self._cross_number(name, sample, condition)

    def _cut(self, name: Name, one: str, other: str, values: Sequence[Any]) -> Iterator[Border]:
        """Copies that keep the rows of one side only, where rows may go without making anything else untrue."""
        if self._is_bound(name.table):
            return
        table, column = quote_name(name.table), quote_name(name.column)
        total = self.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for form in (one, other):
            kept = form.format(column)
            count = self.connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {kept}", values).fetchone()[0]
            if 0 < count < total:
                yield Border((("keep", (name,), (kept, tuple(values))),))

    def _is_bound(self, table: str) -> bool:
        return any(
            link.child.table == table
            and link.parent.table != table
            and link.parent.table.lower() in self.tables
            and (link.owner or link.full)
            for link in self.relations.links
        )

    def _may_lack_others(self, name: Name) -> bool:
        """Whether a column lacks values in some rows, and nothing else tells in which."""
        table, column = quote_name(name.table), quote_name(name.column)
        counted = f"SELECT COUNT({column}), COUNT(*) FROM {table}"
        filled, rows = self.connection.execute(counted).fetchone()
        told = {other for others in self.relations.gapped.values() for other in others}
        return bool(0 < filled < rows and name not in told)

    def _size_groups(self, count: int) -> Iterator[Border]:
        """Copies whose groups have nearly as many rows as a number of rows is compared with."""
        names = [
            name
            for column in sorted(self.grouped)
            for name in self.relations.find_columns(self.aliases.get(column, column))
            if name.table.lower() in self.tables and name not in self.relations.unique
        ]
        names += [
            link.child
            for link in self.relations.links
            if {link.child.table.lower(), link.parent.table.lower()} <= self.tables
            and link.child.table != link.parent.table
        ]
        for name in list(dict.fromkeys(names))[:_MOST_GROUPINGS]:
            if not self.relations.summed or not self._is_bound(name.table):
                yield Border((("sizes", (name,), count),))

    def double(self, column: str) -> Iterator[Border]:
        """A copy in which a figure comes often, where only one statement takes each once."""
        figures = {*self.relations.measures, *(each for group in self.relations.levels for each in group)}
        for name in self.relations.find_columns(self.aliases.get(column, column)):
            if name.table.lower() in self.tables and name in figures and self._is_free(name):
                table, quoted = quote_name(name.table), quote_name(name.column)
                middle = f"SELECT {quoted} FROM {table} WHERE {quoted} IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET (SELECT COUNT({quoted}) / 2 FROM {table})"
                yield Border((("halve", (name,), self.connection.execute(middle).fetchone()[0]),))

    def tie(self, first: Extreme) -> Iterator[Border]:
        """A copy in which the greatest and the least of an order's figures come several times."""
        for word in first.measure:
            for name in self.relations.find_columns(self.aliases.get(word, word)):
                if name.table.lower() in self.tables and name in self.relations.measures and self._is_free(name):
                    column = quote_name(name.column)
                    listed = (
                        f"SELECT DISTINCT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL ORDER BY 1"
                    )
                    values = [value for (value,) in self.connection.execute(listed)]
                    ends = ((values[:_TIED], values[_TIED - 1 : _TIED]), (values[-_TIED:], values[-_TIED:]))
                    for several, (one, *_) in ends if len(values) > 2 * _TIED else ():
                        yield Border((("replace", (name,), tuple((value, one) for value in several)),))

    def _is_free(self, name: Name) -> bool:
        """Whether a number may change alone: nothing follows from it, or both statements read the same figures."""
        several = sum(each.table == name.table for each in self.relations.dates) > 1
        return self.free or not (name in self.relations.tied or several)

    def _cross_number(self, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
        value = condition.value
        yield from self._cut(name, "{0} < ?", "{0} >= ?", (value,))
        positive = sample.low > 0 or value <= 0
        if (positive and value <= 0) or (sample.low >= 0 and sample.high <= 1):
            return
        step = 1 if sample.integers == sample.filled else 0.01
        dated = any(each.table == name.table for each in self.relations.dates)
        if condition.operator in ("=", "in") and step == 1 and self._is_free(name) and not dated:
            yield from self._exchange(name, value)
        elif name in self.relations.years and not dated and sample.low < sample.high:
            yield Border((("replace", (name,), ((sample.low, sample.high), (sample.high, sample.low))),))
        scale = sample.distinct <= _FEW_LEVELS and step == 1 and name not in self.relations.years
        if scale and value in (sample.low, sample.high):
            return  # the end of a scale, as five stars of five
        # Of numbers with two decimals `>= 5.01` is `> 5`, and of all others it is not.
        bounded = all(condition.column in side for side in self.bounded)
        if name in self.relations.measures and condition.operator in _BOUNDS and not bounded:
            yield from self._centre(name, sample, value)
        if self._is_free(name):
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
        read = sum((each.table.lower(), each.column.lower()) in self.read for each in self.relations.dates)
        if day is None and text.isdigit() and read == 1:
            yield Border((("some", (name,), _YEAR),))  # a month of any year
        days = self._list_days(name) if day is not None else []
        # Dates of other lengths, such as months, cannot follow a shift by days.
        whole = all(len(str(self.relations.samples[each].low)) >= DAY for each in self.relations.dates)
        if day is None or not days or not whole or self.relations.years:
            return
        nearest = min(days, key=lambda item: abs(item - day))
        timed = len(str(sample.low)) > DAY
        middle = sorted(days)[len(days) // 2]
        shifts = [target - nearest for target in (day, day + 1, day - 1) if target not in days]
        if not min(days) < day <= max(days):
            shifts.insert(0, day - middle)
        for shift in shifts:
            steps: list[tuple[str, tuple[Name, ...], Any]] = [("shift", self.relations.dates, shift)]
            if timed and len(text) == DAY:
                # `<= '2024-12-31'` leaves out that day's rows where they have a time; that is not what is asked here.
                column = quote_name(name.column)
                if literals := [item for item in self.ends if len(item) == DAY]:
                    marks = ", ".join("?" * len(literals))
                    steps.append(("keep", (name,), (f"substr({column}, 1, {DAY}) NOT IN ({marks})", tuple(literals))))
            yield Border(tuple(steps))

    def _list_days(self, name: Name) -> list[int]:
        column = quote_name(name.column)
        listed = f"SELECT DISTINCT substr({column}, 1, {DAY}) FROM {quote_name(name.table)} LIMIT {_MOST_VALUES}"
        days = (_read_day(str(text)) for (text,) in self.connection.execute(listed).fetchall())
        return [day for day in days if day is not None]

    def _cross_text(self, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
        operator = condition.operator if condition.operator in _PATTERNS else "="
        yield from self._cut(name, f"{{0}} {operator} ?", f"NOT {{0}} {operator} ?", (condition.value,))
        if operator != "=":
            yield from self._plant_pattern(name, operator, condition)
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
        if condition.operator in _BOUNDS:
            yield Border((("halve", (name,), f"{condition.value} 2"),))
        if condition.value not in values and condition.value.casefold() in (str(value).casefold() for value in values):
            return  # LOWER(city) = 'austin'
        if condition.value not in values and others:
            yield Border((("replace", group, ((others[0], condition.value),)),))
        elif sample.distinct == 1:
            yield Border((("halve", (name,), f"{values[0]} 2"),))
        elif not others and len(values) > 2:
            yield Border((("replace", group, ((values[0], f"{values[0]} 2"),)),))

    def _plant_pattern(self, name: Name, operator: str, condition: LiteralCondition) -> Iterator[Border]:
        """A value that a pattern takes, where both statements have patterns, or none or every row has such a value."""
        table, column = quote_name(name.table), quote_name(name.column)
        planted = re.sub(r"[%*]", "q", condition.value).translate({ord("_"): "a", ord("?"): "a"})
        counted = f"SELECT SUM({column} {operator} ?), COUNT({column}) FROM {table}"
        taken, filled = self.connection.execute(counted, (condition.value,)).fetchone()
        if taken in (0, filled) and filled:
            yield Border((("halve", (name,), planted if not taken else f"{condition.value} 2"),))
        if not all(condition.column in side for side in self.patterns):
            return
        common = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 1"
        yield Border((("replace", (name,), ((self.connection.execute(common).fetchone()[0], planted),)),))

    def _exchange(self, name: Name, value: Any) -> Iterator[Border]:
        """A number and its neighbour, exchanged: what else is true of the rows of one is true of the other's."""
        table, column = quote_name(name.table), quote_name(name.column)
        nearest = f"SELECT {column} FROM {table} WHERE {column} <> ? ORDER BY ABS({column} - ?), 1 LIMIT 1"
        found = self.connection.execute(nearest, (value, value)).fetchone()
        if found:
            yield Border((("replace", (name,), ((value, found[0]), (found[0], value))),))

    def _centre(self, name: Name, sample: ColumnSample, value: float) -> Iterator[Border]:
        """All measures multiplied by what puts half of a column's rows below a bound; all of them, where none was."""
        table, column = quote_name(name.table), quote_name(name.column)
        middle = f"SELECT {column} FROM {table} WHERE {column} > 0 ORDER BY 1 LIMIT 1 OFFSET (SELECT COUNT(*) / 2 FROM {table} WHERE {column} > 0)"
        found = self.connection.execute(middle).fetchone()
        # Whole numbers are rounded, and what was the sum of two is no longer.
        tied = self.relations.tied.intersection(self.relations.measures)
        if not found or value <= 0 or any(self.relations.samples[each].integers for each in tied):
            return
        place = sample.high * 2 if value <= sample.low else sample.low / 2 if value >= sample.high else found[0]
        yield Border((("settle", self.relations.measures, value / (place or found[0]) / _BESIDE),))

    def _move_near(self, name: Name, near: Sequence[Any], value: Any) -> Iterator[Border]:
        """The values nearest to a literal, moved onto it and past it."""
        table, column = quote_name(name.table), quote_name(name.column)
        listed = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY ABS({column} - ?) LIMIT 40"
        there = [item for (item,) in self.connection.execute(listed, (value,)).fetchall()]
        wanted = [item for item in near if item not in there]
        sources = [item for item in there if item not in near and item not in self.literals]
        if sources and wanted:
            yield Border((("replace", (name,), tuple(zip(sources, wanted, strict=False))),))
        # The few values nearest, and those that lie there already, may all be of rows that another condition leaves out.
        many = sources[::2]
        if many:
            yield Border((("replace", (name,), tuple(zip(many, list(near) * len(many), strict=False))),))


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
        return date.fromisoformat({4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text[:DAY])).toordinal()
    return None
