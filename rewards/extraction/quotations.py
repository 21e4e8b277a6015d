"""Where the next value may begin behind a doubtful one: after a fragment that was quoted, or on a line of its own."""

from __future__ import annotations

import re

from rewards.extraction.patterns import QUOTES
from rewards.extraction.strict import read_prefix

_INNER_DOCUMENT = re.compile(r"\n[ \t]*(?:[^\n{}\[\]\"]{0,200}:[ \t]*)?[{\[](?=\s*[\"'{\[}\]])")


def quote_around(text: str, start: int, floor: int) -> str:
    """The mark of a quotation that the value at `start` stands in: right before it, or open on its line; "" for none."""
    if start <= floor:
        return ""
    if text[start - 1] in QUOTES:
        return text[start - 1]
    line = text[max(floor, start - 200) : start].rpartition("\n")[2]
    return '"' if line.count('"') % 2 else ""


def next_document(text: str, start: int, end: int, floor: int) -> int:
    """Where another value may begin inside a doubtful reading: a bracket that opens a line and is no part of a member."""
    position = start + 1
    quote = quote_around(text, start, floor)
    if quote:
        # A fragment that was quoted: what follows the end of the quotation and a colon is another value.
        quoted = re.compile(rf"{re.escape(quote)}[^{{}}\[\]\"]{{0,200}}:\s*(?=[{{\[]\s*[\"'])")
        match = quoted.search(text, position, end)
        if match is not None and read_prefix(text, match.end()) is not None:
            return match.end()
    for _ in range(8):
        match = _INNER_DOCUMENT.search(text, position, end)
        if match is None:
            break
        before = text[start : match.start()].rstrip()[-3:]
        if before[-1:] not in (",", "[", "{", "(") and not (before[-1:] == ":" and before[-2:-1] in "\"'”’"):
            return match.end() - 1
        position = match.end()
    return end
