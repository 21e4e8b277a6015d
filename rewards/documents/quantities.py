"""Numbers with a unit, such as `10 ms` or `1,5 Gbit/s`, brought to one unit of their kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

UNITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # seconds
        "time": {
            "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seg": 1.0, "min": 60.0,
            "h": 3600.0,
        },
        # bits a second; an operator's k is 1000
        "rate": {
            f"{prefix}{unit}": factor
            for prefix, factor in {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}.items()
            for unit in ("bps", "bit/s", "bits/s", "b/s")
        },
        # a part of one
        "share": {"%": 0.01, "percent": 0.01, "pct": 0.01, "por cento": 0.01},
        # bytes
        "size": {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30},
        # metres
        "length": {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    }
)  # fmt: skip
"""Factor of each unit, in lower case, by kind."""

_LONGEST = 40
_QUANTITY = re.compile(r"\s*(-?[0-9][0-9.,]*(?:[eE][+-]?[0-9]{1,3})?)\s*([^\W\d][^\d]{0,12}|%)\s*\Z", re.ASCII)
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
    written = unit.strip().lower()
    for kind in sorted(kinds):
        factor = UNITS[kind].get(written)
        if factor is not None:
            try:
                return Quantity(kind, float(number) * factor)
            except OverflowError:
                return None
    return None
