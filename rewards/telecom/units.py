"""Figures of a network slice as configurations write them: milliseconds, megabits a second, per cent, devices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

from rewards.documents.units import FACTORS, name_any_unit

Quantity = Literal["time", "rate", "share", "count"]

_RATES = {short: factor / 1e6 for short, factor in FACTORS["rate"].items()}
_TIMES = {short: factor * 1e3 for short, factor in FACTORS["time"].items()}
_SHARES = {"%": 1.0, "fraction": 100.0}
_FACTORS: Mapping[str, Mapping[str, float]] = {"rate": _RATES, "time": _TIMES, "share": _SHARES}
_FRACTIONS = frozenset(("ratio", "probability", "fraction"))
_COUNTS = frozenset(
    ("ue", "ues", "device", "devices", "dispositivos", "users", "user", "usuarios", "usuários", "terminals", "terminais", "equipamentos", "sessions",
     "count")
)  # fmt: skip
_WRITTEN = re.compile(
    r"\s*(?:[<>=~≤≥]{1,2}\s*)?(?P<number>[-+]?[0-9][0-9.,  ]*(?:[eE][-+]?[0-9]{1,3})?)"
    r"\s*(?P<unit>[%A-Za-zµμá/ ]{0,30}?)\.?\s*"
)


class FigureReading(NamedTuple):
    """One figure: what it may mean in ms, Mbit/s, per cent or pieces; `whole_step` is an integer's unit, if any."""

    values: tuple[float, ...]
    whole_step: float | None = None


NOTHING = FigureReading(())


def is_unit_of(unit: str, quantity: Quantity) -> bool:
    """Whether a unit, as written, measures this quantity."""
    named = name_unit(unit)
    return named == "count" if quantity == "count" else named in _FACTORS.get(quantity, {})


def name_unit(written: str) -> str | None:
    """The short name of a unit as written, in any spelling; None for what is none."""
    short = name_any_unit(written)
    if short in _RATES or short in _TIMES or short == "%":
        return short
    plain = written.strip().casefold().replace(" ", "")
    if plain in _FRACTIONS:
        return "fraction"
    return "count" if plain in _COUNTS else None


def read_figure(
    value: object, quantity: Quantity, unit: str | None, plain_rates: tuple[str, ...] = ("mbps", "kbps")
) -> FigureReading:
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
        return FigureReading(_without_unit(number, quantity, plain_rates))
    named = name_unit(unit)
    if quantity == "count":
        return FigureReading((number,)) if named == "count" else NOTHING
    factors = _FACTORS[quantity]
    if named is None or named not in factors:
        return NOTHING
    factor = factors[named]
    return FigureReading((number * factor,), factor if whole else None)


def _read_text(text: str, quantity: Quantity, unit: str | None, plain_rates: tuple[str, ...]) -> FigureReading:
    # TM Forum's own intents quote a quantity twice: "'12 ms'".
    match = _WRITTEN.fullmatch(text.strip("'")) if len(text) <= 60 else None
    if match is None:
        return NOTHING
    unit = match["unit"].strip() or unit
    numbers = numbers_of(match["number"].strip())
    readings = [read_figure(number, quantity, unit, plain_rates) for number in numbers]
    steps = {reading.whole_step for reading in readings}
    return FigureReading(
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


def is_right(
    reading: FigureReading, right: float, quantity: Quantity, relative: float, share: float, count: float
) -> bool:
    """Whether a figure is right within the tolerances: relative for times and rates, of what lacks to 100 % for shares.

    An integer with a unit, as the CAMARA interfaces ask for, is right when it is next to a value that no integer up to
    1024 in a smaller unit could state.
    """
    for value in reading.values:
        gap = abs(value - right)
        if quantity == "share":
            allowed = share * abs(100.0 - right) + 1e-9
        elif quantity == "count":
            allowed = count * abs(right)
        else:
            allowed = relative * abs(right) + 1e-9
        if gap <= allowed:
            return True
        step = reading.whole_step
        if quantity == "rate" and step is not None and gap < step and right > step and right / (step / 1000) > 1024:
            return True
    return False
