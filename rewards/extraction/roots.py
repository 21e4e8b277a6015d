"""Answers that no bracket opens or that only their surroundings tell from prose: tuples, calls such as dict(a=1), full-width brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rewards.extraction import patterns as P
from rewards.extraction.budget import Budget
from rewards.extraction.parser import ParsedValue, parse
from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.state import State

_FENCE = re.compile(r"(?:```|~~~)[ \t]*\w*[ \t]*\r?\n")
_ASSIGNED = re.compile(rf"{P.W}(?:[A-Za-z_]\w{{0,40}}(?:[ \t]*:[ \t]*[\w\[\], .]{{1,40}})?[ \t]*=[ \t]*|return[ \t]+)?")
_MOST_BRACKETS = 4_000
_NAME = re.compile(r"(?<![\w.])[A-Za-z_][\w.]*+\Z")
_CALL = re.compile(
    r"(?:(?:collections\.)?(?:OrderedDict|defaultdict|Counter|deque)|dict|set|frozenset|list|tuple|d?o?dict_\w{4,6}|SimpleNamespace|namespace"
    r"|[A-Z]\w{0,40}(?=\([a-z_]\w{0,40}=))\("
)
_ENDS = re.compile(rf"{P.W}[;.]?{P.W}(?:\Z|```|~~~|\n)")
_WIDE = str.maketrans("｛｝［］", "{}[]")


def read_root(text: str, floor: int, budget: Budget) -> ParsedValue | None:
    """Reads the tuple that is all of the text or of its fence, or the first call that builds a value; None where there is none."""
    fence = _FENCE.search(text, floor)
    begins = [floor] if fence is None else [floor, fence.end()]
    for begin in begins:
        start = _ASSIGNED.match(text, begin).end()  # type: ignore[union-attr]
        if text.startswith("(", start) and P.TUPLE_START.match(text, start):
            reading = _read_at(text, start, budget)
            # ({"a": 1}) is the object.
            alone = text[start + 1 :].lstrip().startswith("{") and reading is not None and len(reading.value) == 1
            if reading is not None and isinstance(reading.value, list) and reading.value and not alone:
                return reading
    for tries, start in enumerate(_find_calls(text, floor)):
        if tries == 8:
            break
        if P.CALL.match(text, start):
            reading = _read_at(text, start, budget)
            if reading is not None and isinstance(reading.value, dict | list) and reading.value:
                return reading
    return None


def _find_calls(text: str, floor: int) -> Iterator[int]:
    """Where a call that builds a value begins: found from its bracket, since a text has few of them."""
    bracket = text.find("(", floor)
    for _ in range(_MOST_BRACKETS):
        if bracket < 0:
            return
        if text[bracket - 1 : bracket].isalnum() or text[bracket - 1 : bracket] == "_":
            name = _NAME.search(text, max(floor, bracket - 60), bracket)
            if name is not None and _CALL.match(text, name.start()) is not None:
                yield name.start()
        bracket = text.find("(", bracket + 1)


def _read_at(text: str, start: int, budget: Budget) -> ParsedValue | None:
    reading = parse(State(text, start, len(text), budget))
    if reading is None or not reading.closed or (text[start] == "(" and not _ENDS.match(text, reading.end)):
        return None
    return reading._replace(repairs=(Repair(RepairKind.LITERAL, start), *reading.repairs))


def narrow(text: str) -> str | None:
    """The text with its full-width brackets as plain ones; None where it has none."""
    return text.translate(_WIDE) if "｛" in text or "［" in text else None
