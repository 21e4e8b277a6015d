"""Figures of a network slice as configurations write them: milliseconds, megabits a second, per cent, devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

Quantity = Literal["time", "rate", "share", "count"]

_RATES = {"bps": 1e-6, "kbps": 1e-3, "mbps": 1.0, "gbps": 1e3, "tbps": 1e6}
_TIMES = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6}
_SHARES = {"%": 1.0, "fraction": 100.0}
_FACTORS: Mapping[str, Mapping[str, float]] = {"rate": _RATES, "time": _TIMES, "share": _SHARES}
_SPELLINGS: Mapping[str, str] = {
    "bit/s": "bps", "bits/s": "bps", "b/s": "bps", "bitps": "bps", "bitspersecond": "bps",
    "kbit/s": "kbps", "kbits/s": "kbps", "kb/s": "kbps", "kbitps": "kbps", "kbit": "kbps", "kbits": "kbps",
    "kilobitspersecond": "kbps",
    "mbit/s": "mbps", "mbits/s": "mbps", "mb/s": "mbps", "mbitps": "mbps", "mbit": "mbps", "mbits": "mbps",
    "megabitspersecond": "mbps",
    "gbit/s": "gbps", "gbits/s": "gbps", "gb/s": "gbps", "gbitps": "gbps", "gbit": "gbps", "gbits": "gbps",
    "gigabitspersecond": "gbps", "tbit/s": "tbps", "tbits/s": "tbps",
    "nanosecond": "ns", "nanoseconds": "ns", "nanossegundos": "ns", "microsecond": "us", "microseconds": "us",
    "µs": "us", "μs": "us", "microssegundos": "us",
    "usec": "us", "millisecond": "ms", "milliseconds": "ms", "milissegundo": "ms",
    "milissegundos": "ms", "msec": "ms", "msecs": "ms", "millis": "ms", "second": "s", "seconds": "s", "sec": "s",
    "secs": "s", "segundo": "s", "segundos": "s", "minute": "min", "minutes": "min", "minutos": "min", "hours": "h",
    "hour": "h", "horas": "h", "percent": "%", "pct": "%", "percentage": "%", "porcento": "%", "percentual": "%",
    "ratio": "fraction", "probability": "fraction",
}  # fmt: skip
_COUNTS = frozenset(
    ("ue", "ues", "device", "devices", "dispositivos", "users", "user", "usuarios", "usuários", "terminals", "sessions",
     "count")
)  # fmt: skip
_WRITTEN = re.compile(
    r"\s*(?:[<>=~≤≥]{1,2}\s*)?(?P<number>[-+]?[0-9][0-9.,  ]*(?:[eE][-+]?[0-9]{1,3})?)"
    r"\s*(?P<unit>[%A-Za-zµμá/ ]{0,30}?)\.?\s*"
)


class Reading(NamedTuple):
    """One figure: what it may mean in ms, Mbit/s, per cent or pieces; `whole_step` is an integer's unit, if any."""

    values: tuple[float, ...]
    whole_step: float | None = None


NOTHING = Reading(())


def is_unit_of(unit: str, quantity: Quantity) -> bool:
    """Whether a unit, as written, measures this quantity."""
    named = name_unit(unit)
    return named == "count" if quantity == "count" else named in _FACTORS.get(quantity, {})


def name_unit(written: str) -> str | None:
    """The short name of a unit as written, in any spelling; None for what is none."""
    plain = written.strip().casefold().replace(" ", "")
    plain = _SPELLINGS.get(plain, plain)
    if plain in _RATES or plain in _TIMES or plain in _SHARES:
        return plain
    return "count" if plain in _COUNTS else None


def read_figure(
    value: object, quantity: Quantity, unit: str | None, plain_rates: tuple[str, ...] = ("mbps", "kbps")
) -> Reading:
    """Reads a number, or a text such as `1,5 Gbps`, with the unit that stands beside it or in its key.

    A rate without a unit may be in any of `plain_rates`; a share of at most 1 without one may be a fraction. A unit of
    another quantity, or none that is known, gives NOTHING.
    """
    if isinstance(value, bool):
        return NOTHING
    if isinstance(value, str):
        return _read_text(value, quantity, unit, plain_rates)
    # NaN, which JSON within a text may hold, is not at most anything.
    if not isinstance(value, (int, float)) or not abs(value) <= 1e15:
        return NOTHING
    number = float(value)
    whole = number == int(number)
    if unit is None:
        return Reading(_without_unit(number, quantity, plain_rates))
    named = name_unit(unit)
    if quantity == "count":
        return Reading((number,)) if named == "count" else NOTHING
    factors = _FACTORS[quantity]
    if named not in factors:
        return NOTHING
    factor = factors[named]
    return Reading((number * factor,), factor if whole else None)


def _read_text(text: str, quantity: Quantity, unit: str | None, plain_rates: tuple[str, ...]) -> Reading:
    match = _WRITTEN.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        return NOTHING
    unit = match["unit"].strip() or unit
    numbers = numbers_of(match["number"].strip())
    readings = [read_figure(number, quantity, unit, plain_rates) for number in numbers]
    steps = {reading.whole_step for reading in readings}
    return Reading(
        tuple(dict.fromkeys(value for reading in readings for value in reading.values)),
        steps.pop() if len(steps) == 1 else None,
    )


def numbers_of(written: str) -> tuple[float, ...]:
    """What a written number may mean: `1.000` is a thousand in Portuguese and one in JSON."""
    # Here, so that commands which read no answer start without the reader's regular expressions.
    from rewards.extraction import as_number

    found = []
    with suppress(ValueError):
        found.append(float(written))
    portuguese = as_number(written)
    if portuguese is not None and abs(portuguese) < 1e15:
        found.append(float(portuguese))
    return tuple(dict.fromkeys(number for number in found if abs(number) < 1e15))


def _without_unit(number: float, quantity: Quantity, plain_rates: tuple[str, ...]) -> tuple[float, ...]:
    if quantity == "rate":
        return tuple(number * _RATES[unit] for unit in plain_rates)
    if quantity == "share" and 0 <= number <= 1:
        return (number, number * 100.0)
    return (number,)
