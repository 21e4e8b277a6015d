"""Foreign text made harmless for a terminal: whatever could move, hide or reorder what is shown is named instead."""

from __future__ import annotations

import unicodedata

_MOST_MARKS = 2
"""Combining marks on one letter; more of them climb over the lines above."""


def make_harmless(text: object, limit: int = 400, *, one_line: bool = True) -> str:
    """The text without control, direction, invisible and stacked characters, at most `limit` characters of it.

    On one line, line breaks are shown as `⏎`.
    """
    shown: list[str] = []
    marks = 0
    whole = str(text)
    for character in whole[:limit]:
        if character == "\n":
            shown.append("⏎ " if one_line else "\n")
        elif character == "\t":
            shown.append(" ")
        elif unicodedata.combining(character):
            marks += 1
            if marks <= _MOST_MARKS:
                shown.append(character)
            continue
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(_name(character))
        marks = 0
    rest = len(whole) - limit
    return "".join(shown) + (f" … ({rest} more characters)" if rest > 0 else "")


def _name(character: str) -> str:
    code = ord(character)
    if code < 32:
        return chr(0x2400 + code)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"⟨U+{code:04X}⟩"
