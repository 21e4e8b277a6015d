"""Copies of a database that are altered at the literals of two statements, so that a condition no row tells is told.

A condition that holds for every row, an extreme picked by a bound, a day or a number off by one: rows are moved onto the
literals and past them, or the rows on one side of a literal are missing. What follows from something else still does: a
figure is moved alone only where both statements read the same figures, else all move by one factor or all dates by the
same days.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from rewards.sql.altered import know_relations
from rewards.sql.bordered import Border
from rewards.sql.boundaries import Boundary
from rewards.sql.columns import ColumnSample, Name
from rewards.sql.conditions import LiteralCondition
from rewards.sql.database import keep_readonly, quote_name
from rewards.sql.date_borders import cross_clock, cross_moment, cross_other_date, is_dated
from rewards.sql.extremes import find_extreme
from rewards.sql.groupings import list_counted, list_distinct
from rewards.sql.plans import BorderPlan, Reading
from rewards.sql.row_borders import (
    deal_orders,
    double,
    lack,
    lose_children,
    repeat_numbered,
    repeat_parts,
    size_groups,
    tie,
)
from rewards.sql.text_borders import cross_length, cross_text, rename_results

MOST_BORDERS = 10
_FEW_LEVELS = 12
_GREATEST = 1e15
"""Of numbers to which figures are moved; beyond, neighbours are the same to a float."""

_BOUNDS = frozenset({"<", "<=", ">", ">=", "between"})
_BESIDE = 1.000317
"""By which a figure lies beside a bound and not on it, where adding up in another order would decide."""


def plan_borders(path: str, right: Reading, given: Reading, named: frozenset[str] = frozenset()) -> Iterator[Border]:
    """The copies that tell two statements apart by what only one of them says; none where both say the same.

    They are planned as they are asked for. `named` are tables of which one tells rows by their key and the other by what they are called.
    """
    plan = BorderPlan(keep_readonly(path), know_relations(path), right, given, named)
    planned: list[Iterator[Border]] = [repeat_parts(plan), lose_children(plan)]
    planned += [_list_borders(plan, *each) for each in plan.list_differences()]
    planned += [rename_results(plan, text) for text in sorted(plan.sides[0].results ^ plan.sides[1].results)]
    planned += [double(plan, column) for column in sorted(list_distinct(right.tokens) ^ list_distinct(given.tokens))]
    planned += [lack(plan, column) for column in sorted(list_counted(right.tokens) ^ list_counted(given.tokens))]
    first, second = find_extreme(right.tokens), find_extreme(given.tokens)
    if first is not None and second is not None:
        planned.append(deal_orders(plan, first, second))
        # Where both say which of several firsts is meant, and not with the same words.
        if first.keys != second.keys and first.keys and second.keys:
            planned.append(tie(plan, first))
    return islice(_take_turns(planned), MOST_BORDERS)


def _take_turns(planned: Iterable[Iterator[Border]]) -> Iterator[Border]:
    """One of each in turn, none twice, so that no condition takes all the copies."""
    seen: set[Border] = set()
    left = list(planned)
    while left:
        for borders in list(left):
            try:
                border = next(borders)
            except (StopIteration, sqlite3.Error):
                left.remove(borders)
                continue
            if border not in seen:
                seen.add(border)
                yield border


def _list_borders(plan: BorderPlan, place: Boundary, condition: LiteralCondition) -> Iterator[Border]:
    found = list(plan.find(condition.column)) if condition.column else []
    if not found and plan.counting and isinstance(condition.value, int):
        yield from size_groups(plan, condition.value)
    for name in found:
        if name.table.lower() not in plan.tables:
            continue
        sample = plan.relations.samples[name]
        if name in plan.relations.keys:
            if isinstance(condition.value, int):
                yield from repeat_numbered(plan, name)
            continue
        kind = plan.describe(condition.column)
        if not sample.filled:
            continue
        if condition.value is None:
            yield from plan.cut(name, "{0} IS NULL", "{0} IS NOT NULL", ())
            if _may_lack_others(plan, name):
                yield Border((("halve", (name,), None),))
            else:
                yield from lack(plan, condition.column)
        elif is_dated(plan, name, sample):
            if kind is not None and kind.name == name and place.kind == "moment":
                yield from cross_moment(plan, kind, place.at)
            else:
                yield from cross_other_date(plan, name, condition.value)
        elif place.kind == "clock":
            yield from cross_clock(plan, name, place.at)
        elif isinstance(condition.value, str) and sample.texts == sample.filled:
            yield from cross_text(plan, name, sample, condition)
        elif not isinstance(condition.value, str) and sample.integers + sample.reals == sample.filled:
            cuts = plan.cut(name, "{0} < ?", "{0} >= ?", (condition.value,))
            yield from plan.with_cuts(_cross_number(plan, name, sample, condition), cuts)
        elif isinstance(condition.value, int) and any("length" in side.tokens for side in (plan.right, plan.given)):
            yield from cross_length(plan, name, condition.value)


def _may_lack_others(plan: BorderPlan, name: Name) -> bool:
    """Whether a column lacks values in some rows, and nothing else tells in which."""
    table, column = quote_name(name.table), quote_name(name.column)
    filled, rows = plan.connection.execute(f"SELECT COUNT({column}), COUNT(*) FROM {table}").fetchone()
    told = {other for others in plan.relations.gapped.values() for other in others}
    return bool(0 < filled < rows and name not in told)


def _cross_number(plan: BorderPlan, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
    value = condition.value
    if value == 0 == sample.low and sample.high > 1 and condition.operator in (">", "<=") and plan.is_free(name):
        yield Border((("halve", (name,), 0),))
    positive = sample.low > 0 or value <= 0
    if (positive and value <= 0) or (sample.low >= 0 and sample.high <= 1) or abs(value) > _GREATEST:
        return
    step = 1 if sample.integers == sample.filled else 0.01
    dated = plan.is_dated(name.table)
    if condition.operator in ("=", "in") and step == 1 and plan.is_free(name) and not dated:
        yield from _exchange(plan, name, value)
    elif name in plan.relations.years and not dated and sample.low < sample.high:
        yield Border((("replace", (name,), ((sample.low, sample.high), (sample.high, sample.low))),))
        beyond = sample.low - 1 if value <= sample.low else sample.high + 1
        if not sample.low < value < sample.high:
            yield Border((("replace", (name,), ((max(sample.low, min(value, sample.high)), beyond),)),))
    scale = sample.distinct <= _FEW_LEVELS and step == 1 and name not in plan.relations.years
    if scale and value in (sample.low, sample.high):
        return  # the end of a scale, as five stars of five
    # Of numbers with two decimals `>= 5.01` is `> 5`, and of all others it is not.
    bounded = all(condition.column in side for side in plan.bounded)
    if name in plan.relations.measures and condition.operator in _BOUNDS and not bounded:
        yield from _centre(plan, name, sample, value)
    if plan.is_free(name):
        near = [value, round(value + step, 6), round(value - step, 6)]
        near = [
            item for item in near if not (sample.low >= 0 and item <= 0 < sample.low) and item >= min(0, sample.low)
        ]
        if step == 1:
            near = list(dict.fromkeys(int(item) for item in near if item == int(item) or item > value))
        yield from _move_near(plan, name, near, value)
    elif name in plan.relations.measures and value >= sample.high > 0:
        yield Border((("scale", plan.relations.measures, int(2 * value / sample.high) + 1),))
    elif name in plan.relations.measures and step != 1 and 0 < value <= sample.low:
        yield Border((("scale", plan.relations.measures, 0.7 * value / sample.low),))


def _exchange(plan: BorderPlan, name: Name, value: Any) -> Iterator[Border]:
    """A number and its neighbour, exchanged: what else is true of the rows of one is true of the other's."""
    table, column = quote_name(name.table), quote_name(name.column)
    nearest = f"SELECT {column} FROM {table} WHERE {column} <> ? ORDER BY ABS({column} - ?), 1 LIMIT 1"
    found = plan.connection.execute(nearest, (value, value)).fetchone()
    if found:
        yield Border((("replace", (name,), ((value, found[0]), (found[0], value))),))


def _centre(plan: BorderPlan, name: Name, sample: ColumnSample, value: float) -> Iterator[Border]:
    """All measures multiplied by what puts half of a column's rows below a bound; all of them, where none was."""
    table, column = quote_name(name.table), quote_name(name.column)
    middle = f"SELECT {column} FROM {table} WHERE {column} > 0 ORDER BY 1 LIMIT 1 OFFSET (SELECT COUNT(*) / 2 FROM {table} WHERE {column} > 0)"
    found = plan.connection.execute(middle).fetchone()
    # Whole numbers are rounded, and what was the sum of two is no longer.
    tied = plan.relations.tied.intersection(plan.relations.measures)
    if not found or value <= 0 or any(plan.relations.samples[each].integers for each in tied):
        return
    place = sample.high * 2 if value <= sample.low else sample.low / 2 if value >= sample.high else found[0]
    yield Border((("settle", plan.relations.measures, value / (place or found[0]) / _BESIDE),))


def _move_near(plan: BorderPlan, name: Name, near: Sequence[Any], value: Any) -> Iterator[Border]:
    """The values nearest to a literal, moved onto it and past it."""
    table, column = quote_name(name.table), quote_name(name.column)
    listed = f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY ABS({column} - ?) LIMIT 40"
    there = [item for (item,) in plan.connection.execute(listed, (value,)).fetchall()]
    near = sorted(near, key=lambda item: item in there)
    sources = [item for item in there if item not in near and item not in plan.literals]
    # Many, since the few that lie nearest may all be of rows that another condition leaves out.
    many = sources[::2] if len(sources) > 2 else sources
    if many:
        yield Border((("replace", (name,), tuple(zip(many, list(near) * len(many), strict=False))),))
