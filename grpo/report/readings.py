"""What was read out of a completion that had to hold JSON: the value of each field, and every repair with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from rewards.extraction import extract_json
from rewards.screen.harmless_text import make_label, make_visible

# The reader is linear, but sixteen texts of a megabyte would still be seconds; what lies beyond is not shown anyway.
_LONGEST = 100_000
_MOST_FIELDS = 24
_MOST_REPAIRS = 12
_JSON_ALIKE = re.compile(r"\s*(?:```\w*\s*)?[\[{]")


@dataclass(frozen=True, slots=True)
class Mend:
    """One repair: its kind, and the text around its place where that is known."""

    kind: str
    around: str = ""


@dataclass(frozen=True, slots=True)
class FieldReading:
    """The JSON that was read: `value` is None where there was none, `wanted` says whether there had to be one."""

    wanted: bool = False
    value: Any = None
    repairs: tuple[Mend, ...] = ()
    more_repairs: int = 0


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the reference beside what was read; `right` is None where the field is not in the answer."""

    name: str
    reference: str
    final: str | None
    right: bool | None
    warmup: str | None = None
    warmup_right: bool | None = None
    has_warmup: bool = False


def read_answer(text: str, reference: str, stored_repairs: Sequence[str] = ()) -> FieldReading:
    """Read a completion as the rewards read it, where its reference is JSON or repairs of it were stored."""
    if not stored_repairs and not _JSON_ALIKE.match(reference[:200]):
        return FieldReading()
    extraction = extract_json(text[:_LONGEST])
    mends = [Mend(make_label(str(repair.kind), 40), _around(text, repair.place)) for repair in extraction.repairs]
    # What was stored stands, should the reader of today see it otherwise.
    read_now = {mend.kind for mend in mends}
    mends += [Mend(kind) for kind in dict.fromkeys(stored_repairs) if kind not in read_now]
    return FieldReading(True, extraction.value, tuple(mends[:_MOST_REPAIRS]), max(0, len(mends) - _MOST_REPAIRS))


def compare_fields(reference: str, final: FieldReading, warmup: FieldReading | None = None) -> tuple[Field, ...]:
    """The fields of an object reference beside those that were read, then those that nobody asked for."""
    if not final.wanted:
        return ()
    wanted = extract_json(reference[:_LONGEST]).value
    if not isinstance(wanted, Mapping) or not (isinstance(final.value, Mapping) or isinstance(_value(warmup), Mapping)):
        return ()
    sides = [value if isinstance(value, Mapping) else {} for value in (final.value, _value(warmup))]
    extra = [name for side in sides for name in side if name not in wanted]
    names = [*wanted, *dict.fromkeys(extra)][:_MOST_FIELDS]
    missing = object()
    return tuple(
        Field(
            name=make_label(name, 60),
            reference=_say(wanted[name]) if name in wanted else "not asked for",
            final=_say(sides[0][name]) if name in sides[0] else None,
            right=_agree(wanted.get(name, missing), sides[0][name]) if name in sides[0] else None,
            warmup=_say(sides[1][name]) if name in sides[1] else None,
            warmup_right=_agree(wanted.get(name, missing), sides[1][name]) if name in sides[1] else None,
            has_warmup=warmup is not None,
        )
        for name in names
    )


def _value(reading: FieldReading | None) -> Any:
    return reading.value if reading is not None else None


def _agree(wanted: Any, read: Any) -> bool:
    if isinstance(wanted, bool) or isinstance(read, bool):
        return wanted is read
    if isinstance(wanted, str) and isinstance(read, str):
        return wanted.strip().casefold() == read.strip().casefold()
    return type(wanted) is not object and wanted == read


def _say(value: Any) -> str:
    if isinstance(value, str):
        return make_label(value, 120) or "(empty)"
    try:
        return make_visible(orjson.dumps(value, default=str).decode(), 120)
    except (TypeError, ValueError):
        return make_label(str(value), 120)


def _around(text: str, place: int) -> str:
    if not 0 <= place <= len(text):
        return ""
    return make_label(text[max(0, place - 12) : place + 12], 40)
