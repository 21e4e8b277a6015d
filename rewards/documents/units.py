"""The one table of units: every spelling, Portuguese and English, with its short name, its kind and its factor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

FACTORS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        # seconds
        "time": {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
        # bits a second; an operator's k is 1000
        "rate": {
            "bps": 1.0,
            "kbps": 1e3,
            "mbps": 1e6,
            "gbps": 1e9,
            "tbps": 1e12,
            "byte/s": 8.0,
            "kbyte/s": 8e3,
            "mbyte/s": 8e6,
            "gbyte/s": 8e9,
            "tbyte/s": 8e12,
        },
        # a part of one
        "share": {"%": 0.01},
        # bytes
        "size": {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20, "gib": 2.0**30},
        # metres
        "length": {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    }
)
"""Factor of each unit's short name, by kind."""

_TIME_WORDS: Mapping[str, tuple[str, ...]] = {
    "ns": ("nsec", "nanosec", "nanosecond", "nanoseconds", "nanossegundo", "nanossegundos"),
    "us": ("µs", "μs", "usec", "microsec", "microsecond", "microseconds", "microssegundo", "microssegundos"),
    "ms": ("msec", "msecs", "mseg", "millis", "millisec", "millisecs", "millisecond", "milliseconds", "milisegundo",
           "milisegundos", "milissegundo", "milissegundos"),
    "s": ("sec", "secs", "seg", "segs", "second", "seconds", "segundo", "segundos"),
    "min": ("mins", "minute", "minutes", "minuto", "minutos"),
    "h": ("hr", "hrs", "hour", "hours", "hora", "horas"),
}  # fmt: skip
_SHARE_WORDS = ("percent", "pct", "percentage", "porcento", "porcentagem", "percentual")
_RATE_PREFIXES = {"": "", "k": "kilo", "m": "mega", "g": "giga", "t": "tera"}
_RATE_ENDS = ("bit/s", "bits/s", "b/s", "bitps", "bitspersecond", "bitpersecond", "bitsporsegundo", "bitporsegundo")


def _spell() -> dict[str, str]:
    spellings = {short: short for units in FACTORS.values() for short in units}
    spellings.update({word: short for short, words in _TIME_WORDS.items() for word in words})
    spellings.update(dict.fromkeys(_SHARE_WORDS, "%"))
    for letter, word in _RATE_PREFIXES.items():
        short = f"{letter}bps"
        ends = [*_RATE_ENDS, *(("bit", "bits") if letter else ())]
        spellings.update({f"{start}{end}": short for start in {letter, word} for end in ends})
    return spellings


SPELLINGS: Mapping[str, str] = MappingProxyType(_spell())
"""The short name of each spelling, in lower case and without spaces."""

KINDS: Mapping[str, str] = MappingProxyType({short: kind for kind, units in FACTORS.items() for short in units})
"""The kind of each short name."""


_BYTES = re.compile(r"([kKMGT]?)(?:B/s|[Bb]ytes?/s)|([kKMGT])Bps", re.ASCII)


def name_any_unit(written: str) -> str | None:
    """The short name of a unit as written, in any spelling; None for what is none. MB/s are not Mb/s."""
    if ("B" in written or "yte" in written) and (match := _BYTES.fullmatch(written.strip())):
        return f"{(match[1] or match[2] or '').lower()}byte/s"
    plain = written.strip().casefold().replace(" ", "")
    return SPELLINGS.get(plain) or SPELLINGS.get(plain.removesuffix("."))
