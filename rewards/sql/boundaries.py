"""Where the conditions of a statement begin and end to hold, however they are written: `BETWEEN 2 AND 4` as `>= 2` and `< 5`.

What two statements have in common here needs no copy of the database to be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from rewards.sql.columns import ColumnSample, Name
from rewards.sql.conditions import LiteralCondition, LiteralConditions
from rewards.sql.moments import Kind, is_clock, kind_of, list_clocks, list_moments, to_grid

_SAME = frozenset({"=", "!=", "in"})
_PATTERNS = frozenset({"like", "glob"})


class Boundary(NamedTuple):
    """A place in the values of a column: a `moment`, a minute of the day (`clock`), a number or text `below` which values
    lie, or `upto` which they do, a `value` itself; else a `condition` as it stands."""

    column: str
    kind: str
    at: Any


class ColumnKind(NamedTuple):
    """What a column that is compared with literals holds: moments of a kind, every so many `seconds`, texts so `wide`."""

    name: Name
    moments: Kind | None
    clock: bool
    whole: bool
    width: int
    seconds: int


def describe(name: Name, sample: ColumnSample, dated: bool, seconds: Callable[[Name, int], int]) -> ColumnKind:
    """What a column holds; `seconds` tells how far apart at least the times of a column of texts so wide lie."""
    kind: Kind | None = "text" if dated else kind_of(sample)
    width = len(str(sample.low)) if dated else 0
    return ColumnKind(
        name,
        kind,
        not dated and is_clock(sample),
        sample.integers == sample.filled,
        width,
        seconds(name, width) if dated else 1,
    )


def list_boundaries(
    conditions: LiteralConditions, describe_column: Callable[[str], ColumnKind | None]
) -> dict[Boundary, LiteralCondition]:
    """Every place at which a condition of a statement begins or ends to hold, and the condition that has it."""
    found: dict[Boundary, LiteralCondition] = {}
    upper = False
    before: LiteralCondition | None = None
    for condition in conditions.columns:
        between = condition.operator == "between" and before is not None
        upper = between and not upper and before is not None and before[:2] == condition[:2]
        before = condition
        made = condition in conditions.made
        for boundary in _place(condition, upper, made, describe_column(condition.column)):
            found.setdefault(boundary, condition)
    for condition in sorted(conditions.counts, key=str):
        for boundary in _place(condition, False, True, None, counted=True):
            found.setdefault(boundary, condition)
    return found


def _place(
    condition: LiteralCondition, upper: bool, made: bool, kind: ColumnKind | None, counted: bool = False
) -> Iterator[Boundary]:
    column, operator, value = condition
    if kind is not None and kind.moments is not None:
        moments = list_moments(operator, value, kind.moments, made, upper, kind.width)
        if moments is not None:
            for at in moments:
                yield Boundary(column, "moment", to_grid(at, kind.seconds))
            return
    if kind is not None and kind.clock and not made:
        minutes = list_clocks(operator, value, upper)
        if minutes is not None:
            for minute in minutes:
                yield Boundary(column, "clock", minute)
            return
    if operator in _SAME or (operator == "like" and isinstance(value, str) and not set(value) & {"%", "_"}):
        yield Boundary(column, "value", value.casefold() if operator == "like" else value)
    elif operator in ("<", ">=", "<=", ">", "between") and (kind is not None or counted) and value is not None:
        after = operator in ("<=", ">") or (operator == "between" and upper)
        whole = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and (counted or (kind and kind.whole and not made))
        )
        if whole and math.isfinite(value):
            yield Boundary(column, "below", math.floor(value) + 1 if after else math.ceil(value))
        else:
            yield Boundary(column, "upto" if after else "below", value)
    else:
        yield Boundary(column, "condition", (operator, value))


def is_moment(boundary: Boundary) -> bool:
    return boundary.kind == "moment" and isinstance(boundary.at, datetime)
