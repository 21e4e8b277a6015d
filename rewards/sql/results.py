"""Comparing two results: the same rows in any order, or in order, numbers up to a rounding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

_PAIRING_STEPS = 400_000
"""Comparisons of rows that pairing near rows may take; a result that needs more is not the same."""

_MOST_PARTS = 50
_ORDERINGS_TRIED = 5_000
_FLOAT_NOISE = 1e-9
"""Share of a number that adding up in another order may change."""

_SMALL = 0.01
"""Of a number, the most that `tolerance` may forgive: 0.0001 and 0.0042 are not the same at any tolerance."""


def same_rows(
    right: Iterable[tuple],
    given: Iterable[tuple],
    tolerance: float,
    ordered: bool = False,
    any_columns: bool = False,
) -> bool:
    """Whether two results are the same rows: in any order unless `ordered`, columns as given unless `any_columns`.

    Numbers are the same within `tolerance`, of small numbers within a hundredth, or where one is the other rounded.
    Whole numbers are exact.
    """
    first, second = list(right), list(given)
    if len(first) != len(second) or any(len(one) != len(other) for one, other in zip(first, second, strict=True)):
        return False
    if _same_bag(first, second, tolerance, ordered):
        return True
    return any_columns and bool(first) and _same_in_other_columns(first, second, tolerance, ordered)


def is_part(given: Sequence[tuple], right: Sequence[tuple], tolerance: float) -> bool:
    """Whether every given row, of which there is one, is among the right ones; many are not looked at."""
    return 0 < len(given) <= _MOST_PARTS and all(
        any(len(row) == len(other) and _same_row(other, row, tolerance) for other in right) for row in given
    )


def finds_something(rows: Iterable[tuple]) -> bool:
    """Whether a result is more than nothing: no rows, NULL and 0 are what an impossible condition gives too."""
    return any(value not in (None, 0) for row in rows for value in row)


def _same_bag(first: Sequence[tuple], second: Sequence[tuple], tolerance: float, ordered: bool) -> bool:
    if ordered:
        return all(_same_row(one, other, tolerance) for one, other in zip(first, second, strict=True))
    if first == second:
        return True
    left, right = sorted(first, key=_sort_key), sorted(second, key=_sort_key)
    if all(_same_row(one, other, tolerance) for one, other in zip(left, right, strict=True)):
        return True
    # Rows whose numbers nearly tie may stand in another order on the other side: find a partner for each.
    if Counter(map(_exact_part, left)) != Counter(map(_exact_part, right)):
        return False
    return _pair(left, right, tolerance)


def _pair(left: Sequence[tuple], right: Sequence[tuple], tolerance: float) -> bool:
    """Whether each row has a partner of its own, by augmenting paths over the rows that are alike."""
    steps = _PAIRING_STEPS
    places: dict[tuple, list[int]] = {}
    for at, row in enumerate(right):
        places.setdefault(_exact_part(row), []).append(at)
    alike: list[list[int]] = []
    for row in left:
        near = places[_exact_part(row)]
        steps -= len(near)
        if steps < 0:
            return False
        alike.append([at for at in near if _same_row(row, right[at], tolerance)])
    partner: dict[int, int] = {}
    mate: dict[int, int] = {}
    for start in range(len(left)):
        came: dict[int, int] = {}
        queue, free = [start], None
        for one in queue:
            for at in alike[one]:
                steps -= 1
                if at in came:
                    continue
                came[at] = one
                if at not in partner:
                    free = at
                    break
                queue.append(partner[at])
            if free is not None or steps < 0:
                break
        if free is None:
            return False
        while True:
            one = came[free]
            before = mate.get(one)
            partner[free], mate[one] = one, free
            if one == start or before is None:
                break
            free = before
    return True


def _same_in_other_columns(first: Sequence[tuple], second: Sequence[tuple], tolerance: float, ordered: bool) -> bool:
    """Whether some order of the given columns makes the results the same; orders are tried up to a bound."""
    width = len(first[0])
    wanted = [[(row[at],) for row in first] for at in range(width)]
    offered = [[(row[at],) for row in second] for at in range(width)]
    fits = [[at for at in range(width) if _same_bag(column, offered[at], tolerance, ordered)] for column in wanted]
    tried = 0
    stack: list[tuple[int, ...]] = [()]
    while stack:
        chosen = stack.pop()
        tried += 1
        if tried > _ORDERINGS_TRIED:
            return False
        if len(chosen) == width:
            if _same_bag(first, [tuple(row[at] for at in chosen) for row in second], tolerance, ordered):
                return True
            continue
        stack += [(*chosen, at) for at in reversed(fits[len(chosen)]) if at not in chosen]
    return False


def _sort_key(row: tuple) -> tuple:
    # Apart, since a column may hold a number in one row and nothing, or a text, in the next.
    return (
        tuple(repr(value) for value in row if not isinstance(value, (int, float))),
        tuple(float(value) for value in row if isinstance(value, (int, float))),
    )


def _exact_part(row: tuple) -> tuple:
    """What of a row must be the very same: all but its numbers."""
    return tuple(None if isinstance(value, (int, float)) else (type(value), value) for value in row)


def _same_row(one: tuple, other: tuple, tolerance: float) -> bool:
    return all(_same(a, b, tolerance) for a, b in zip(one, other, strict=True))


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if one == other and type(one) is type(other):
        return True
    if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        return False
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other) <= tolerance
    difference, size = abs(one - other), max(abs(one), abs(other))
    if difference > tolerance + 1e-12 and difference > _FLOAT_NOISE * size:
        return False
    if difference <= max(min(tolerance, _SMALL * size), _FLOAT_NOISE * size):
        return True
    return _rounds_to(other, one) or (other != 0 and _rounds_to(one, other))


def _rounds_to(number: float, rounded: float) -> bool:
    """Whether `rounded` is `number` with fewer decimals."""
    decimals = len(repr(float(rounded)).partition(".")[2]) if abs(rounded) < 1e15 and "e" not in repr(rounded) else 0
    return bool(decimals) and round(float(number), decimals) == rounded
