"""Strict JSON that the end of the text cuts off: read exactly up to there, so that every prefix of a document says a part of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from rewards.extraction.duplicates import count_keys, repeated_in
from rewards.extraction.parser import ParsedValue
from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.strict import read_exactly

_SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # undocumented
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:]', re.DOTALL)
_OPEN_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+(\\(?:u[0-9a-fA-F]{0,3})?)?+\Z')
_PARTIAL_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
# How all begins that a strict reader may stop at because the text ends there; nothing does too.
_CUT_STARTS = frozenset(["", *'"\\-.eEtfn'])
# What is left of a number or a literal behind the part that can be read.
_PARTIAL = re.compile(r"\s*(?:-|\.[0-9]*|(?:\.[0-9]+)?[eE][-+]?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)?\Z")


def read_cut(text: str, start: int, place: int | None = None) -> ParsedValue | None:
    """Reads the value at `start` where the rest of the text is the beginning of strict JSON; None where it is not.

    `place` is where the strict reader stops, if that is known.
    """
    place = _find_error(text, start) if place is None else place
    if place is None:
        return None
    mark = text[place : place + 1]
    if mark not in _CUT_STARTS and not mark.isspace():
        return None
    if mark == "\\" and not text[place:].strip("\\ \t\r\n"):
        # A stray backslash outside of all texts.
        text = text[:place]
        place = _find_error(text, start)
        if place is None:
            return None
    if text[place : place + 1] == "\\" and _PARTIAL_ESCAPE.search(text, max(place, len(text) - 6)):
        # The text ends inside an escape: the string is found from what stands before it.
        place = _find_error(text[:place], start)
        if place is None or text[place : place + 1] != '"':
            return None
    rest = text[place:]
    if not rest.strip() and text[start:place].rstrip()[-1:] in "}]" and text.count("\n", start, place) >= 3:
        # All lines are there; a closer that is missing may be one further in, which the indentation tells.
        return None
    is_string = rest[:1] == '"' and _OPEN_STRING.match(rest) is not None
    if not is_string and _PARTIAL.match(rest) is None:
        return None
    stack: list[str] = []
    recent = [("", start)] * 3
    for token in _TOKEN.finditer(text, start, place):
        mark = token[0]
        if mark in "{[":
            stack.append("}" if mark == "{" else "]")
        elif mark in "}]" and stack:
            stack.pop()
        recent = [recent[1], recent[2], (mark, token.start())]
    closers = "".join(reversed(stack))
    fenced = is_string and rest.rstrip().endswith("```") and rest.count("```") == 1
    # With nothing but closers in it, a text after a plain key was cut: an answer does not forget the end of an empty text.
    empty = rest.rstrip()[1:] == closers and not re.search("[':]", recent[1][0])
    if not stack or fenced or (is_string and not empty and _lacks_quote(rest.rstrip()[1:], closers)):
        # Only a closing quote seems to be missing.
        return None
    scalar = recent[2][0] in (",", ":", "[") and text[recent[2][1] + 1 : place].strip()
    kept = text[start : place if scalar else _end_of_values(recent, stack[-1], place)]
    if is_string and (recent[2][0] == ":" or stack[-1] == "]"):
        kept = text[start:place] + _PARTIAL_ESCAPE.sub("", rest) + '"' if _ends_in_escape(rest) else text[start:] + '"'
    return _complete(kept + closers, start, len(text))


def _find_error(text: str, start: int) -> int | None:
    """Where the strict reader stops; None where it does not, or not for the text's end."""
    try:
        _SCAN(text, start)
    except StopIteration as stop:
        return int(stop.value)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):
        return None
    return None


def _end_of_values(recent: list[tuple[str, int]], closer: str, place: int) -> int:
    """Where the last whole member or element ends, given the last three tokens."""
    (before, at_before), (key, at_key), (last, at_last) = recent
    if last == ",":
        return at_last
    if last == ":":
        return at_before if before == "," else at_key
    if closer == "}" and last[:1] == '"' and key in ("{", ","):
        return at_key if key == "," else at_last
    return place


def _lacks_quote(content: str, closers: str) -> bool:
    """True where a text ends in the closers that are due; behind an escaped quote they are more of the text."""
    return content.endswith(closers) and not content[: -len(closers)].rstrip().endswith('\\"')


def _ends_in_escape(rest: str) -> bool:
    partial = _PARTIAL_ESCAPE.search(rest)
    if partial is None:
        return False
    before = rest[: partial.start()]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _complete(plain: str, start: int, end: int) -> ParsedValue | None:
    try:
        value: Any = read_exactly(plain)
    except ValueError:
        return None
    again = repeated_in(plain) if plain.count(":") != count_keys(value) else ()
    return ParsedValue(value, start, end, (Repair(RepairKind.CUT, end),), False, True, duplicates=again)
