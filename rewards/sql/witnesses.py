"""Which altered copies of a database tell something of a reference's answer: chosen once for a reference, asked of every statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rewards.sql.altered import BOUND, GENTLE, HARSH, SCALES
from rewards.sql.results import finds_something, same_rows
from rewards.sql.sandbox import Result

_MOVED = 2
"""Copies on which the answer must have become another one."""

_SCALED = 5
_AHEAD = 3


class Witness(NamedTuple):
    """A copy, what the reference gives there, and whether an earlier one only multiplied its answer."""

    copy: int
    right: Result
    scaled_before: bool


class Witnesses(NamedTuple):
    """The copies to ask; `moved` says on how many the answer is another one, `scaled` that it is a multiple somewhere."""

    asked: tuple[Witness, ...]
    moved: int
    scaled: bool


def choose_witnesses(
    run_ahead: Callable[[Sequence[int]], None],
    run: Callable[[int], Result],
    is_loose: Callable[[int], bool],
    expected: Result,
    tolerance: float,
    enough: int,
    related: bool,
) -> Witnesses:
    """The gentle copies until enough of them tell, the harsh ones where these leave the answer as it was.

    A copy where the reference finds nothing, or where a LIMIT cuts through a tie, tells nothing.
    """
    asked: list[Witness] = []
    moved, scaled = 0, False
    run_ahead(tuple(GENTLE)[:_AHEAD])
    for copy in (*GENTLE, *HARSH, *BOUND):
        if copy not in GENTLE and (moved >= _MOVED or (moved and len(asked) >= enough)):
            break
        if copy in BOUND and moved:
            break
        right = run(copy)
        if right.status != "ok" or not finds_something(right.rows) or is_loose(copy):
            continue
        asked.append(Witness(copy, right, scaled))
        if not same_rows(expected.rows, right.rows, tolerance):
            # One factor for all figures, or another century, tells nothing of which rows were chosen.
            only_scaled = copy == _SCALED or is_multiple(expected, right, tolerance)
            moved += not only_scaled
            scaled = scaled or only_scaled
        if len(asked) >= enough and moved >= _MOVED and related:
            break
    return Witnesses(tuple(asked), moved, scaled)


def is_multiple(expected: Result, right: Result, tolerance: float) -> bool:
    """Whether a result is another one with all its numbers multiplied by one factor."""
    if len(expected.rows) != len(right.rows) or not any(
        isinstance(value, (int, float)) for row in expected.rows for value in row
    ):
        return expected.rows == right.rows
    return any(
        same_rows(
            [
                tuple(value * factor if isinstance(value, (int, float)) else value for value in row)
                for row in expected.rows
            ],
            right.rows,
            tolerance,
        )
        for factor in SCALES
    )
