"""Equal values of a configuration in one form: a figure with its unit, an instant in any zone, an identifier in hexadecimal."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rewards.documents.identifiers import is_identifier
from rewards.documents.leaves import LeafRules
from rewards.documents.units import KINDS, name_any_unit

UNIT_KEYS = ("unit", "units", "uom", "unitOfMeasure", "unitOfMeasurement", "targetUnit", "valueUnit")
"""Keys that hold the unit of the number beside them."""
_UNIT_KEYS = frozenset(UNIT_KEYS)
_AMOUNT_KEYS = frozenset(
    ("value", "targetValue", "targetValueRange", "amount", "threshold", "quantity", "limit", "min", "max", "minimum",
     "maximum", "lower", "upper", "minValue", "maxValue", "atMost", "atLeast", "measured", "target")
)  # fmt: skip
_UNITS = frozenset(("time", "rate", "share"))
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)

ASKED_TIMES = frozenset(
    ("startDate", "endDate", "startTime", "endTime", "requestedStartDate", "requestedCompletionDate", "startDateTime",
     "endDateTime", "scheduledTime", "activationTime", "deadline")
)  # fmt: skip
"""Keys of times that a request asks for; all others are stamps, which nobody can know."""
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)
_ORDERED = frozenset(("stages", "actions", "steps", "@list"))
"""Keys of lists of texts whose order means something; all others are sets, such as areas, cells and managed objects."""
_HEXADECIMAL_KEYS = frozenset(("sd", "tac", "nRTAC", "eutraCellId", "nrCellId", "ranUeId", "nid"))
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{2,16}", re.ASCII)
_NAME_KEYS = frozenset(("objectInstance", "rootObjectInstances", "objectInstances", "dn", "distinguishedName"))
_AFTER_COMMA = re.compile(r",\s+(?=[A-Za-z][\w-]{0,60}=)", re.ASCII)
SCALES: Mapping[str, tuple[float, ...]] = {"time": (1e3,), "rate": (1e-6, 1e-3), "share": (1.0, 100.0)}
"""What a number without a unit may be in, where the other side states one: ms, Mbit/s or kbit/s, a fraction or per cent."""
_LARGEST = sys.float_info.max


class LayerRules(LeafRules):
    """Leaves of a layer: a number equals the quantity that says the same in the unit which such numbers are in."""

    def same(self, expected: Any, given: Any, key: str | None = None) -> bool:
        if super().same(expected, given, key):
            return True
        if isinstance(expected, tuple) is isinstance(given, tuple) or (key is not None and is_identifier(key)):
            return False
        quantity, number = (expected, given) if isinstance(expected, tuple) else (given, expected)
        if not isinstance(number, (int, float)) or isinstance(number, bool) or quantity[0] not in SCALES:
            return False
        if not abs(number) <= _LARGEST:  # an integer of hundreds of digits is no float
            return False
        return any(abs(quantity[1] * scale - number) <= 1e-9 * abs(number) for scale in SCALES[quantity[0]])


def make_equal(value: Any) -> Any:
    """A copy with figures as `20 ms`, whatever holds their unit, and the times that are asked for as seconds of UTC.

    The caller makes sure that recursion can go so deep.
    """
    if isinstance(value, dict):
        unit = None
        if not _UNIT_KEYS.isdisjoint(value):
            unit = next((value[key] for key in UNIT_KEYS if isinstance(value.get(key), str)), None)
        amounts = _find_amounts(value) if unit is not None and _measures(unit) else ()
        copy: dict[str, Any] = {}
        for key, child in value.items():
            if amounts and key in _UNIT_KEYS:
                continue
            if key in amounts:
                copy[key] = f"{child} {unit}"
            elif isinstance(child, str):
                copy[key] = _read_instant(child) if key in ASKED_TIMES else child
            elif not isinstance(child, (dict, list)):
                copy[key] = child
            elif isinstance(child, list) and key not in _ORDERED and all(isinstance(item, str) for item in child):
                copy[key] = sorted(child)
            else:
                copy[key] = make_equal(child)
        return copy["value"] if amounts == ("value",) and len(copy) == 1 else copy
    return [make_equal(child) for child in value] if isinstance(value, list) else value


def _measures(unit: str) -> bool:
    short = name_any_unit(unit)
    return short is not None and KINDS[short] in _UNITS


def _find_amounts(value: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = [key for key, child in value.items() if _is_number(child)]
    named = tuple(key for key in numbers if key in _AMOUNT_KEYS)
    if named:
        return named
    others = tuple(key for key in numbers if not is_identifier(key))
    return others if len(others) == 1 and not isinstance(value[others[0]], str) else ()


def _is_number(child: Any) -> bool:
    if isinstance(child, str):
        return _NUMBER.fullmatch(child) is not None
    return isinstance(child, (int, float)) and not isinstance(child, bool) and abs(child) < 1e15


def _read_instant(written: str) -> str:
    """An ISO-8601 time as seconds since 1970, a time without a zone being one of UTC; another text as it is."""
    if len(written) > 40 or not _INSTANT.fullmatch(written):
        return written
    try:
        read = datetime.fromisoformat(written)
        return f"instant {(read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp():.3f}"
    except (ValueError, OverflowError):
        return written


def spell_identifier(key: str, written: str) -> str:
    """An identifier in one spelling: hexadecimal ones in capitals, names of managed objects without spaces at their commas."""
    if key in _HEXADECIMAL_KEYS and _HEXADECIMAL.fullmatch(written):
        return written.upper()
    if key in _NAME_KEYS and "=" in written and len(written) <= 500:
        return _AFTER_COMMA.sub(",", written.strip())
    return written


IDENTIFYING = _HEXADECIMAL_KEYS | _NAME_KEYS
"""Keys whose texts have more than one spelling."""
