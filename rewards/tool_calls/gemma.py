"""Calls as FunctionGemma and Gemma 4 write them: `call:f{a:<escape>text<escape>,b:3}`, with a token for quotes."""

from __future__ import annotations

import re
from typing import Any

from rewards.tool_calls.calls import Call, NotACallError

_DEEPEST = 32
_CALL = re.compile(r"call:(?P<name>[A-Za-z_][\w.:/-]{0,199})\s*(?=\{)")
_TEXT = re.compile(r"(?P<quote><escape>|<\|\"\|>)(?P<text>.*?)(?P=quote)", re.DOTALL)
_KEY = re.compile(
    r"\s*(?:(?:<escape>|<\|\"\|>)(?P<quoted>.{0,200}?)(?:<escape>|<\|\"\|>)|(?P<bare>[^\s:,{}\[\]<>]{1,200}))\s*:\s*",
    re.DOTALL,
)
_BARE = re.compile(r"[^,{}\[\]<>]{0,400}")
_NUMBER = re.compile(r"-?[0-9]{1,4000}(?P<fraction>\.[0-9]*)?(?P<power>[eE][-+]?[0-9]{1,4})?\Z")
_WORDS = {"true": True, "false": False, "null": None}


def read_gemma(text: str, place: int) -> tuple[Call, int] | None:
    """The call that starts at `place` and where it ends; None where there is none."""
    match = _CALL.match(text, place)
    if match is None:
        return None
    try:
        arguments, end = _read_value(text, match.end(), 0)
    except NotACallError:
        return None
    return Call(match["name"], arguments), end


def _read_value(text: str, place: int, depth: int) -> tuple[Any, int]:
    mark = text[place : place + 1]
    if mark in ("{", "["):
        if depth >= _DEEPEST:
            raise NotACallError
        return _read_object(text, place + 1, depth) if mark == "{" else _read_list(text, place + 1, depth)
    quoted = _TEXT.match(text, place)
    if quoted:
        return quoted["text"], quoted.end()
    bare = _BARE.match(text, place)
    written = bare[0].strip() if bare else ""
    return _read_bare(written), bare.end() if bare else place


def _read_bare(written: str) -> Any:
    if written in _WORDS:
        return _WORDS[written]
    number = _NUMBER.match(written)
    if number is None:
        return written
    return float(written) if number["fraction"] or number["power"] else int(written)


def _read_object(text: str, place: int, depth: int) -> tuple[dict[str, Any], int]:
    members: dict[str, Any] = {}
    while True:
        place = _skip(text, place)
        if text[place : place + 1] == "}":
            return members, place + 1
        key = _KEY.match(text, place)
        if key is None:
            raise NotACallError
        name = key["bare"] if key["quoted"] is None else key["quoted"]
        if name in members:
            raise NotACallError
        members[name], place = _read_value(text, key.end(), depth + 1)
        place = _end_item(text, place, "}")


def _read_list(text: str, place: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while True:
        place = _skip(text, place)
        if text[place : place + 1] == "]":
            return items, place + 1
        item, place = _read_value(text, place, depth + 1)
        items.append(item)
        place = _end_item(text, place, "]")


def _end_item(text: str, place: int, closer: str) -> int:
    place = _skip(text, place)
    mark = text[place : place + 1]
    if mark == ",":
        return place + 1
    if mark != closer:
        raise NotACallError
    return place


def _skip(text: str, place: int) -> int:
    while text[place : place + 1].isspace():
        place += 1
    return place
