"""Foreign text made fit to be shown: what could move, hide, reorder or stack what is shown is named instead.

A completion, a row, a plugin's message may hold anything. `make_harmless` is for a terminal, `make_visible` for a page,
`make_label` for a cell; `escape_json` is for JSON that a terminal may show.
"""

from __future__ import annotations

import unicodedata

SHOWN_CHARACTERS = 1500

_MOST_MARKS = 2
"""Combining marks on one character; more of them climb over the lines above."""


def make_harmless(text: object, limit: int = 400, *, one_line: bool = True) -> str:
    """The text without control, direction, invisible and stacked characters, at most `limit` characters of it.

    On one line, line breaks are shown as `⏎`.
    """
    whole = str(text)
    shown = _show(whole[:limit], line_end="⏎ " if one_line else "\n", tab=" ")
    rest = len(whole) - limit
    return shown + (f" … ({rest} more characters)" if rest > 0 else "")


def make_visible(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """The text with the same characters named, its lines and tabs kept.

    A longer text is cut to about `limit` characters, its end among them where there is room, and says how many are left
    out.
    """
    if len(text) <= limit:
        return _show(text)
    tail = limit // 3 if limit >= 300 else 0
    head = limit - tail
    start = f"{_show(text[:head])} … ({len(text) - limit:,} more characters)"
    return f"{start} … {_show(text[-tail:])}" if tail else start


def make_label(value: object, limit: int = 80) -> str:
    """Any value as one line of text."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return make_visible(" ".join(text[: 4 * limit].split()), limit)


def hide_controls(text: str) -> str:
    """The text with one character for each: a mark stands where a terminal would have obeyed."""
    if text.isprintable():
        return text
    return "".join(
        character if character in "\n\t" or character.isprintable() else _mark(character) for character in text
    )


def escape_json(text: str) -> str:
    """The same JSON document with everything that could reach a terminal as a command written as an escape."""
    if text.isascii() and "\x7f" not in text:
        return text  # JSON escapes the other controls itself
    return "".join(
        character if character == "\n" or character.isprintable() else _escape(character) for character in text
    )


def _show(text: str, line_end: str = "\n", tab: str = "\t") -> str:
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in text:
        if unicodedata.combining(character):
            marks += 1
            if marks <= _MOST_MARKS:
                shown.append(character)
            continue
        marks = 0
        if character == "\n":
            shown.append(line_end)
        elif character == "\t":
            shown.append(tab)
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(_name(character))
    return "".join(shown)


def _name(character: str) -> str:
    code = ord(character)
    if code < 32:
        return chr(0x2400 + code)
    if unicodedata.category(character) == "Zs":
        return " "
    return f"⟨U+{code:04X}⟩"


def _mark(character: str) -> str:
    name = _name(character)
    return name if len(name) == 1 else "\N{REPLACEMENT CHARACTER}"


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
