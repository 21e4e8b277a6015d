"""Texts whose quotes open in one style and end in another, `"nome”: «Ana"`: made plain where they open or end a text."""

from __future__ import annotations

import re
from typing import Any

from rewards.extraction.patterns import DOUBLE_QUOTES
from rewards.extraction.repairs import Repair, RepairKind

_TYPED = DOUBLE_QUOTES[1:]
_ASKED = re.compile(rf"[{_TYPED}][ \t]*[:,}}\]]")
"""What such a text has: a typographic quote that ends a key or a value."""

_QUOTE = re.compile(rf"[{DOUBLE_QUOTES}]")
_COMMENT = r"(?:/\*|//|\#|--[ \t]|<!--)"
_ENDS = re.compile(
    rf"\s*+(?:[:：]|[}}\]]|(?:[,;，；]\s*+)++(?:[{DOUBLE_QUOTES}'‘{{\[}}\]\d-]|(?:true|false|null|True|False|None)\b|[^\W\d][\w@]{{0,40}}\s*+[:=]|@\w{{1,40}}\s*+[:=]|{_COMMENT})"
    rf"|\Z|```|(?<=\s){_COMMENT})"
)
"""What may stand behind the end of a text."""

_KEY = re.compile(rf"[{DOUBLE_QUOTES}][^{DOUBLE_QUOTES}\n:]{{1,80}}[{DOUBLE_QUOTES}]\s*+:")
_SWALLOWED = re.compile(rf"[{DOUBLE_QUOTES}][^{DOUBLE_QUOTES}\n]{{1,40}}[{DOUBLE_QUOTES}]\s*+:")
"""A key with its quotes and colon, which inside a text is one that the text swallowed."""

_OPENS_AFTER = frozenset("{[,:(;=：，；")
_MOST_QUOTES = 20_000


def has_swallowed(text: str, value: Any) -> bool:
    """Whether a text or key of what was read holds a quoted key with its colon; only asked where quotes are typographic."""
    if text.isascii() or not _ASKED.search(text):
        return False
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += [*item, *item.values()]
        elif isinstance(item, list):
            left += item
        elif isinstance(item, str) and ":" in item and _SWALLOWED.search(item):
            return True
    return False


def straighten(text: str) -> tuple[str, Repair] | None:
    """The text with plain quotes in their place, every offset kept, and the first repair; None where none is in question."""
    if text.isascii() or not _ASKED.search(text):
        return None
    opener = re.search(r"[{\[]", text)
    if opener is None:
        return None
    marks = [match.start() for match in _QUOTE.finditer(text, opener.start())]
    if len(marks) > _MOST_QUOTES:
        return None
    changed: list[int] = []
    at = 0
    while at < len(marks):
        start = marks[at]
        if not _opens(text, start):
            at += 1
            continue
        end = next((other for other in range(at + 1, len(marks)) if _closes(text, marks[other])), -1)
        if end < 0:
            break
        changed += [place for place in (start, marks[end]) if text[place] != '"']
        at = end + 1
    if not changed:
        return None
    pieces, done = [], 0
    for place in changed:
        pieces += [text[done:place], '"']
        done = place + 1
    return "".join(pieces) + text[done:], Repair(RepairKind.QUOTE_STYLE, changed[0])


def _opens(text: str, place: int) -> bool:
    before = text[max(0, place - 200) : place].rstrip()
    if before[-1:] in _OPENS_AFTER or before.endswith("*/"):
        return True
    # Behind a comment that ends its line stands the next key.
    return "\n" in text[max(0, place - 80) : place].rpartition(before[-1:])[2] and _KEY.match(text, place) is not None


def _closes(text: str, place: int) -> bool:
    return text[place - 1] != "\\" and _ENDS.match(text, place + 1) is not None
