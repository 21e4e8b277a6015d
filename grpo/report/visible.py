"""Foreign text made fit to be shown: nothing in it can hide, reorder or break out, and each odd character can be seen."""

from __future__ import annotations

import unicodedata

SHOWN_CHARACTERS = 1500


def make_visible(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """The text without what could hide or reorder it: control, direction and other invisible characters are named.

    A longer text is cut to about `limit` characters, its end among them where there is room, and says how many are left
    out.
    """
    if len(text) <= limit:
        return text if text.isascii() and text.isprintable() else "".join(map(_show, text))
    tail = limit // 3 if limit >= 300 else 0
    head = limit - tail
    start = f"{''.join(map(_show, text[:head]))} … ({len(text) - limit:,} more characters)"
    return f"{start} … {''.join(map(_show, text[-tail:]))}" if tail else start


def make_label(value: object, limit: int = 80) -> str:
    """Any value as one line of text."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return make_visible(" ".join(text[: 4 * limit].split()), limit)


def _show(character: str) -> str:
    if character in "\n\t" or character.isprintable():
        return character
    code = ord(character)
    if code < 32:
        return chr(0x2400 + code)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"⟨U+{code:04X}⟩"
