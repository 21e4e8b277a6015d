"""Documents whose text is itself escaped, once or more: with backslashes, or with the entities of HTML."""

from __future__ import annotations

import html
import re

from rewards.extraction.budget import Budget
from rewards.extraction.duplicates import repeated_in
from rewards.extraction.parser import ParsedValue, parse
from rewards.extraction.repairs import Path, Repair, RepairKind
from rewards.extraction.state import State
from rewards.extraction.strict import read_prefix

ESCAPED_START = re.compile(r"[{\[](?:\\{1,8}[nrt]|[\s{\[]){0,60}+(\\{1,8})\"")
ENTITY_START = re.compile(r"[{\[](?:[\s{\[]){0,60}+&(?:quot|apos|[a-z]{2,5}quo|#(?:34|39|[xX]22|[xX]27));")
_ESCAPE_LAYER = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_NEW_KINDS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def read_escaped(text: str, start: int, backslashes: bool, budget: Budget) -> ParsedValue | None:
    """Reads the escaped value that begins at `start`; all places are that of its start. None where it is not a value."""
    region = text[start:]
    budget.spend(len(region) // 8)
    quote = text[start - 1 : start]
    if backslashes and quote in ('"', "'"):
        closing = re.compile(rf"(?:[^{quote}\\]|\\.)*+{quote}", re.DOTALL).match(region)
        if closing is not None:
            region = region[: closing.end() - 1]
    plain = region
    for _ in range(3):
        plain = _ESCAPE_LAYER.sub(_unescape, plain) if backslashes else html.unescape(plain)
        if not (backslashes and ESCAPED_START.match(plain)):
            break
    again: tuple[Path, ...] = ()
    strict = read_prefix(plain, 0)
    if strict is not None:
        reading = ParsedValue(strict[0], 0, strict[1], (), True, False)
        again = repeated_in(plain[: strict[1]])
    else:
        parsed = parse(State(plain, 0, len(plain), budget))
        if parsed is None:
            return None
        reading = parsed
    whole = reading.end >= len(plain.rstrip())
    stop = start + (len(region) if whole else _consumed(region, reading.end, backslashes))
    repairs = (Repair(RepairKind.ESCAPED_DOCUMENT, start), *(Repair(repair.kind, start) for repair in reading.repairs))
    return ParsedValue(
        reading.value, start, stop, repairs, reading.closed, reading.cut, duplicates=reading.duplicates or again
    )


def _consumed(region: str, plain: int, backslashes: bool) -> int:
    """How much of the escaped text gave the first `plain` characters, to within the last escape."""
    if not backslashes:
        return len(region)
    at = 0
    for match in _ESCAPE_LAYER.finditer(region):
        if at + match.start() >= plain:
            break
        at -= len(match[0]) - 1
    return min(len(region), plain - at)


def _unescape(match: re.Match[str]) -> str:
    escape = match[1]
    if escape[0] == "u" and len(escape) == 5:
        return match[0]
    return _NEW_KINDS.get(escape, escape)
