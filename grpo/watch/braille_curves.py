"""Curves drawn with characters: eight dots of braille a cell, or plain ASCII where a terminal has none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

Point = tuple[float, float]

# Unicode 8-dot braille: the bit of the dot in column 0 or 1 and row 0 to 3 of a cell.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800


def draw_curve(
    points: Sequence[Point],
    width: int,
    height: int,
    *,
    limit: float | None = None,
    steps: float | None = None,
    ascii_only: bool = False,
) -> list[str]:
    """`height` lines of `width` characters with the curve through the points; `limit` is a dotted line.

    The x axis runs from 0 to `steps` (by default to the last point), the y axis over what is drawn. No points, no dots.
    """
    across, down = (1, 1) if ascii_only else (2, 4)
    columns, rows = width * across, height * down
    cells = [[0] * width for _ in range(height)]
    points = sorted(point for point in points if isfinite(point[0]) and isfinite(point[1]))
    if points:
        low, high = find_range(points, limit)
        end = max(steps or 0.0, points[-1][0], 1.0)
        places = [
            (
                min(columns - 1, int(x / end * (columns - 1) + 0.5)),
                _find_row(y, low, high, rows),
            )
            for x, y in points
        ]
        if limit is not None:
            row = _find_row(limit, low, high, rows)
            for column in range(0, columns, 2 * across):
                _set(cells, column, row, across, down)
        _set(cells, *places[0], across, down)
        for (column, row), (next_column, next_row) in pairwise(places):
            length = max(abs(next_column - column), abs(next_row - row), 1)
            for part in range(1, length + 1):
                x = column + round((next_column - column) * part / length)
                y = row + round((next_row - row) * part / length)
                _set(cells, x, y, across, down)
    if ascii_only:
        return ["".join("*" if cell else " " for cell in line) for line in cells]
    return ["".join(chr(_BLANK + cell) for cell in line) for line in cells]


def _find_row(y: float, low: float, high: float, rows: int) -> int:
    """The row of a value, 0 at the top; a value beyond the axis lies on its edge."""
    if not low < y < high:
        return 0 if y >= high else rows - 1
    return min(rows - 1, max(0, int((high - y) / (high - low) * (rows - 1) + 0.5)))


def find_range(points: Sequence[Point], limit: float | None = None) -> tuple[float, float]:
    """The ends of the y axis: what is drawn, the limit where it is near, and a little room where all is equal."""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    if limit is not None and low - (high - low) - 0.1 <= limit <= high + (high - low) + 0.1:
        low, high = min(low, limit), max(high, limit)
    if high - low < 1e-12:
        room = abs(high) * 0.1 or 0.1
        low, high = low - room, high + room
    return low, high


def thin_out(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, each the mean of its neighbours."""
    if len(points) <= most:
        return list(points)
    cuts = [len(points) * part // most for part in range(most + 1)]
    groups = [points[start:end] for start, end in pairwise(cuts)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _set(cells: list[list[int]], column: int, row: int, across: int, down: int) -> None:
    bit = _DOTS[row % down][column % across]
    cells[row // down][column // across] |= bit
