"""What no row may hold: nesting without end, half characters, numbers that JSON readers turn into others."""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

DEEPEST = 200
"""Levels of nesting in a column, or in the JSON of a reference."""

_HUGE_NUMBER = re.compile(rb"[0-9][eE]\+?[0-9]{3}")


def is_deeper(text: str, levels: int) -> bool:
    """Whether JSON text is nested deeper than that; brackets inside of its texts do not count."""
    if text.count("[") + text.count("{") <= levels:
        return False
    depth = 0
    for bracket in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket[0], 0)
        if depth > levels:
            return True
    return False


def find_unwritable(row: dict[str, Any], raw: bytes, where: str) -> list[str]:
    """What a row holds that cannot be written again: half characters, numbers beyond 64 bits, too deep a nesting."""
    if not _HUGE_NUMBER.search(raw):
        try:
            orjson.dumps(row)
            return []
        except (TypeError, RecursionError):  # orjson's own EncodeError is a TypeError
            pass
    stack: list[tuple[str, Any, int]] = [("", row, 0)]
    while stack:
        place, value, depth = stack.pop()
        said = ""
        if isinstance(value, dict | list):
            if depth >= DEEPEST:
                return [f"{where}: {place[:60]}...: more than {DEEPEST} levels; flatten it"]
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                if isinstance(key, str):
                    stack.append((f"{place}.{key}" if place else key, item, depth + 1))
                    stack.append((f"a key of {place or 'the row'}", key, depth))
                else:
                    stack.append((f"{place}[{key}]", item, depth + 1))
        elif isinstance(value, str) and not value.isascii():
            half = next((char for char in value if "\ud800" <= char <= "\udfff"), None)
            said = f"half of a character (\\u{ord(half):04x} without its other half); write it whole" if half else ""
        elif isinstance(value, int) and not -(2**63) <= value < 2**64:
            said = "a whole number of more than 64 bits; write it as a string"
        elif isinstance(value, float) and not math.isfinite(value):
            said = "a number beyond every float; write it as a string"
        if said:
            return [f"{where}: {place.encode('ascii', 'backslashreplace').decode()}: {said}"]
    return []
