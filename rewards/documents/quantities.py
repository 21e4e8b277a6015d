"""Numbers with a unit, such as `10 ms` or `1,5 Gbit/s`, brought to one unit of their kind."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

from rewards.documents.units import FACTORS, KINDS, name_any_unit

_LONGEST = 40
_QUANTITY = re.compile(r"\s*(-?[0-9][0-9.,]*(?:[eE][+-]?[0-9]{1,3})?)\s*([^\W\d][^\d]{0,24}|%)\s*\Z", re.ASCII)
_MICRO = re.compile(r"\s*([0-9][0-9.,]*)\s*([µμ]s)\s*\Z")


class Quantity(NamedTuple):
    """An amount in the first unit of its kind: seconds, bits a second, a share of one, bytes, metres."""

    kind: str
    amount: float


def read_quantity(value: Any, kinds: frozenset[str]) -> Quantity | None:
    """The quantity that a text such as `10 ms`, or an object such as {"value": 10, "unit": "ms"}, states; else None."""
    if isinstance(value, str):
        return _read_text(value, kinds) if len(value) <= _LONGEST else None
    if isinstance(value, dict) and len(value) == 2 and "value" in value and "unit" in value:
        number, unit = value["value"], value["unit"]
        if isinstance(number, (int, float)) and not isinstance(number, bool) and isinstance(unit, str):
            return _convert(number, unit, kinds)
    return None


@lru_cache(maxsize=4096)
def _read_text(text: str, kinds: frozenset[str]) -> Quantity | None:
    match = _QUANTITY.match(text) or _MICRO.match(text)
    if not match:
        return None
    from rewards.extraction import as_number

    number = as_number(match[1])
    return None if number is None else _convert(number, match[2], kinds)


def _convert(number: float, unit: str, kinds: frozenset[str]) -> Quantity | None:
    short = name_any_unit(unit)
    kind = KINDS[short] if short is not None else None
    if short is None or kind is None or kind not in kinds:
        return None
    try:
        return Quantity(kind, float(number) * FACTORS[kind][short])
    except OverflowError:
        return None
