"""Arguments as tags of their own: `<parameters><city>Oslo</city></parameters>`, and calls whose tag is the function's name."""

from __future__ import annotations

import re
from typing import Any

from rewards.tool_calls.calls import Call

_CHILD = re.compile(r"\s*<(?P<key>[A-Za-z_][\w.-]{0,80})>")
_MOST_CHILDREN = 64
_LONGEST_CHILD = 20_000
_SPACE = re.compile(r"\s*+")


def read_children(text: str, place: int, closing: str) -> tuple[dict[str, Any], int] | None:
    """The texts of the tags from `place` on, and where `closing` behind them ends; None where anything else stands there."""
    arguments: dict[str, Any] = {}
    for _ in range(_MOST_CHILDREN):
        end = _SPACE.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith(closing, end):
            return arguments, end + len(closing)
        child = _CHILD.match(text, place)
        if child is None or child["key"] in arguments:
            return None
        stop = text.find(f"</{child['key']}>", child.end(), child.end() + _LONGEST_CHILD)
        if stop < 0:
            return None
        written = text[child.end() : stop]
        # Line breaks that only lay the text out are none of it.
        arguments[child["key"]] = written.removeprefix("\n").removesuffix("\n") if "\n" in written else written
        place = stop + len(child["key"]) + 3
    return None


def list_children(text: str) -> list[tuple[str, str]] | None:
    """The tags that fill a text, with what stands in each; a tag may come again. None where anything else stands there."""
    children: list[tuple[str, str]] = []
    place = 0
    for _ in range(_MOST_CHILDREN):
        end = _SPACE.match(text, place).end()  # type: ignore[union-attr]
        if end == len(text):
            return children
        child = _CHILD.match(text, place)
        stop = text.find(f"</{child['key']}>", child.end(), child.end() + _LONGEST_CHILD) if child else -1
        if child is None or stop < 0:
            return None
        children.append((child["key"], text[child.end() : stop]))
        place = stop + len(child["key"]) + 3
    return None


def read_element(text: str, name: str, place: int) -> tuple[Call, int] | None:
    """The call whose tag, which ends at `place`, is the name of its function; only where that function is asked for."""
    found = read_children(text, place, f"</{name}>")
    if found is None or not found[0]:
        return None
    return Call(name, found[0], typed=False, name_only=True), found[1]
