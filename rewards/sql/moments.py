"""From which moment on a comparison with a date holds, whatever it is written with: `< '2024-01-01'` as `<= '2023-12-31 23:59:59'`."""

from __future__ import annotations

import re
from calendar import monthrange
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rewards.sql.columns import ColumnSample

_TEXT = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:[ T]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?)?)?)?)?[-%*]{0,2}"
)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)
_EARLIEST, _LATEST = 315_532_800, 4_102_444_800
"""Seconds of 1980 and 2100 since 1970: whole numbers between these, of several days, are moments."""

_JULIAN_EPOCH = 2_440_587.5
_JULIAN_EARLIEST, _JULIAN_LATEST = 2_378_496.5, 2_488_070.5
"""Julian days of 1800 and 2100."""

Kind = Literal["text", "epoch", "milliseconds", "julian"]


def kind_of(sample: ColumnSample) -> Kind | None:
    """As what a column of numbers holds moments; None where it holds none."""
    if not sample.filled or sample.distinct < 2 or isinstance(sample.low, (str, bytes)):
        return None
    if sample.integers == sample.filled:
        kinds: tuple[tuple[Kind, int], ...] = (("epoch", 1), ("milliseconds", 1000))
        for kind, unit in kinds:
            within = _EARLIEST * unit <= sample.low and sample.high <= _LATEST * unit
            if within and sample.high - sample.low > 86_400 * unit:
                return kind
        return None
    within = sample.reals + sample.integers == sample.filled and sample.low >= _JULIAN_EARLIEST
    return "julian" if within and sample.high <= _JULIAN_LATEST else None


def read_period(value: Any, kind: Kind) -> tuple[datetime, datetime] | None:
    """When what a literal says begins, and when it has ended: of '2023-05' the first of May and of June."""
    if isinstance(value, str):
        found = _TEXT.fullmatch(value)
        return _read_parts(*(int(part) if part else None for part in found.groups())) if found else None
    with suppress(ValueError, OverflowError, OSError, TypeError):
        if kind == "text":
            return None
        seconds = {"epoch": value, "milliseconds": value / 1000}.get(kind, (value - _JULIAN_EPOCH) * 86_400)
        at = datetime.fromtimestamp(round(seconds, 3), UTC).replace(tzinfo=None)
        return at, at + timedelta(seconds=1)
    return None


def _read_parts(
    year: Any, month: Any, day: Any, hour: Any, minute: Any, second: Any
) -> tuple[datetime, datetime] | None:
    with suppress(ValueError, OverflowError):
        first = datetime(year, month or 1, 1)
        if month is None:
            return first, datetime(year + 1, 1, 1)
        days = monthrange(year, month)[1]
        after = first + timedelta(days=days)
        if day is None:
            return first, after
        if day > days:
            return after, after  # '2023-02-31' is later than all days of February
        start = first + timedelta(days=day - 1, hours=hour or 0, minutes=minute or 0, seconds=second or 0)
        whole = _DAY if hour is None else timedelta(hours=1) if minute is None else timedelta(minutes=1)
        return start, start + (whole if second is None else timedelta(seconds=1))
    return None


def list_moments(
    operator: str, value: Any, kind: Kind, made: bool, upper: bool, width: int
) -> tuple[datetime, ...] | None:
    """The moments at which a condition begins or ends to hold; None where it is none of time.

    `made` is what a function makes of the column, `upper` the second literal of BETWEEN, `width` the length of the
    column's texts: one that is longer than a literal is greater than it where it begins with it.
    """
    period = read_period(value, kind)
    if period is None:
        return None
    start, end = period
    if operator in ("=", "!=", "in", "like", "glob", "is"):
        return start, end
    shorter = kind == "text" and not made and isinstance(value, str) and len(value) < width
    if kind == "text" and not made and isinstance(value, str) and len(value) > width:
        return (_ceil(min(end, start + _SECOND), _DAY),)  # a day is less than any time of it
    if operator in ("<=", ">") or (operator == "between" and upper):
        return (start if shorter else end,)
    return (start,)


def _ceil(at: datetime, grid: timedelta) -> datetime:
    with suppress(OverflowError):
        return at + (datetime.min - at) % grid
    return at  # the last moment that there is


def to_grid(at: datetime, seconds: int) -> datetime:
    """The first moment from there on at which a column has values, of which all lie so many seconds apart."""
    return _ceil(at, timedelta(seconds=seconds))


def write_moment(at: datetime, kind: Kind, pattern: str = "") -> Any:
    """A moment as a column of that kind has it; `pattern` is a text of the column."""
    if kind == "text":
        mark = pattern[10:11] or " "
        whole = f"{at:%Y-%m-%d}{mark}{at:%H:%M:%S}"
        return whole[: len(pattern)] if len(pattern) < len(whole) else whole + pattern[len(whole) :]
    seconds = (at - datetime(1970, 1, 1)).total_seconds()
    if kind == "julian":
        return seconds / 86_400 + _JULIAN_EPOCH
    return int(seconds * (1000 if kind == "milliseconds" else 1))


def is_clock(sample: ColumnSample) -> bool:
    """Whether a column holds times of day as texts."""
    ends = (sample.low, sample.high)
    return sample.texts == sample.filled > 0 and all(isinstance(end, str) and _CLOCK.fullmatch(end) for end in ends)


def list_clocks(operator: str, value: Any, upper: bool) -> tuple[int, ...] | None:
    """The minutes of the day at which a condition on times begins or ends to hold; None where it is none of time."""
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    minute = int(found[1]) * 60 + int(found[2])
    after = minute + 1
    if operator in ("<=", ">") or (operator == "between" and upper):
        return (after,)
    return (minute, after) if operator in ("=", "!=", "in", "like", "is") else (minute,)
