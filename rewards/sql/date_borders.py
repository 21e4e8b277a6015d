"""Copies in which dates and times lie where a condition of only one of two statements begins or ends to hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from rewards.sql.bordered import DAY, Border
from rewards.sql.boundaries import ColumnKind
from rewards.sql.columns import ColumnSample, Name
from rewards.sql.database import quote_name
from rewards.sql.moments import kind_of, read_period, write_moment
from rewards.sql.plans import BorderPlan

_MOST_VALUES = 5_000
_NEAR = 24
"""Values nearest to a moment that are moved onto it and before it."""

_YEAR = 366


def cross_moment(plan: BorderPlan, kind: ColumnKind, at: datetime) -> Iterator[Border]:
    """Copies of which rows lie on both sides of a moment: all dates are shifted together, or times are moved onto it."""
    name, moments = kind.name, kind.moments
    if moments is None:
        return
    pattern = str(plan.relations.samples[name].low) if moments == "text" else ""
    written = write_moment(at, moments, pattern)
    yield from plan.with_cuts(_shift_onto(plan, kind, at, pattern), plan.cut(name, "{0} < ?", "{0} >= ?", (written,)))


def _shift_onto(plan: BorderPlan, kind: ColumnKind, at: datetime, pattern: str) -> Iterator[Border]:
    name, moments = kind.name, kind.moments
    if moments is None:
        return
    timed = moments != "text" or kind.width > DAY
    if timed and kind.seconds < 86_400 and at.time() != datetime.min.time():
        yield from _move_onto(plan, kind, at, pattern)
    days = _list_days(plan, name, moments)
    # A year beside a date is that date's, and dates of other lengths, such as months, cannot follow a shift by days.
    tables = {each.table for each in plan.relations.moments}
    whole = all(len(str(plan.relations.samples[each].low)) >= DAY for each in plan.relations.dates)
    if not days or not whole or any(each.table in tables for each in plan.relations.years):
        return
    day = at.toordinal()
    nearest = min(days, key=lambda item: abs(item - day))
    shifts = [target - nearest for target in (day, day - 1) if target not in days]
    if not min(days) < day <= max(days):
        shifts.insert(0, day - sorted(days)[len(days) // 2])
    for shift in shifts:
        steps: list[tuple[str, tuple[Name, ...], Any]] = [("shift", plan.relations.moments, shift)]
        literals = [item for item in plan.ends if len(item) == DAY]
        if timed and moments == "text" and literals:
            # A reference that ends `<= '2024-12-31'` where days have a time means that day, and leaves it out.
            column, marks = quote_name(name.column), ", ".join("?" * len(literals))
            steps.append(("keep", (name,), (f"substr({column}, 1, {DAY}) NOT IN ({marks})", tuple(literals))))
        yield Border(tuple(steps))


def cross_other_date(plan: BorderPlan, name: Name, text: Any) -> Iterator[Border]:
    """For what is no moment, such as a month of any year: half the dates are moved by a year."""
    read = sum(plan.is_read(each) for each in plan.relations.dates)
    if isinstance(text, str) and text.isdigit() and read == 1 and name in plan.relations.dates:
        yield Border((("some", (name,), _YEAR),))


def cross_clock(plan: BorderPlan, name: Name, minute: int) -> Iterator[Border]:
    """Times of day moved onto a minute and the one before."""
    if not 0 < minute < 1440:
        return
    column = quote_name(name.column)
    common = f"SELECT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT 8"
    there = [value for (value,) in plan.connection.execute(common)]
    wanted = [f"{at // 60:02}:{at % 60:02}{there[0][5:] and ':00'}" for at in (minute - 1, minute)]
    sources = [value for value in there if value not in wanted]
    yield Border((("replace", (name,), tuple(zip(sources, wanted * len(sources), strict=False))),))


def _move_onto(plan: BorderPlan, kind: ColumnKind, at: datetime, pattern: str) -> Iterator[Border]:
    """The times nearest to a moment, moved onto it and to the last one before it."""
    name, moments = kind.name, kind.moments
    if moments is None or not plan.is_free(name):
        return
    column, written = quote_name(name.column), write_moment(at, moments, pattern)
    table = quote_name(name.table)
    near = []
    for side in ("{0} < ? ORDER BY {0} DESC", "{0} >= ? ORDER BY {0}"):
        listed = f"SELECT DISTINCT {column} FROM {table} WHERE {side.format(column)} LIMIT {_NEAR // 2}"
        near += [value for (value,) in plan.connection.execute(listed, (written,))]
    before = write_moment(at - timedelta(seconds=kind.seconds), moments, pattern)
    sources = [value for value in near if value not in (written, before)]
    if sources:
        yield Border((("replace", (name,), tuple(zip(sources, [written, before] * len(sources), strict=False))),))


def _list_days(plan: BorderPlan, name: Name, moments: str) -> list[int]:
    column, table = quote_name(name.column), quote_name(name.table)
    expression = f"substr({column}, 1, {DAY})" if moments == "text" else column
    days = []
    with suppress(sqlite3.Error):
        for (value,) in plan.connection.execute(f"SELECT DISTINCT {expression} FROM {table} LIMIT {_MOST_VALUES}"):
            period = read_period(value, moments)  # type: ignore[arg-type]
            if period:
                days.append(period[0].toordinal())
    return days


def is_dated(plan: BorderPlan, name: Name, sample: ColumnSample) -> bool:
    return name in plan.relations.dates or kind_of(sample) is not None
