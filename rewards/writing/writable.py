"""The one place between what rewards, rows and completions say and whoever writes it: what no file can hold is made to fit.

Half characters become U+FFFD; whole numbers beyond 64 bits become their digits, or their length; what lies too deep, and what
is no value of JSON, becomes a text. A row that had to be changed says where, under `made_writable`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

from rewards import limits
from rewards.writing.secrets import hide_known

MARK = "made_writable"
"""The key of a stored row under which the places stand that are not what they were."""

_HALF = re.compile("[\ud800-\udfff]")
_LINE = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_MOST_PLACES = 20


def to_line(row: Mapping[str, Any], option: int = 0) -> bytes:
    """A row as a line of JSON; one that no file can hold is changed, and says so."""
    try:
        return orjson.dumps(row, option=_LINE | option)
    except (TypeError, RecursionError, ValueError):  # orjson's own error is a TypeError
        changed, places = make_writable(row)
        return orjson.dumps({**changed, MARK: places}, option=_LINE | option)


def to_document(value: Any) -> bytes:
    """A JSON document for people and programs: indented, with a line end, keys in the order they have."""
    option = orjson.OPT_INDENT_2 | _LINE
    try:
        return orjson.dumps(value, option=option)
    except (TypeError, RecursionError, ValueError):
        return orjson.dumps(make_writable(value)[0], option=option)


def to_json(value: Any) -> bytes:
    """A JSON value in few bytes; whole numbers keep all their digits, other clients read them than orjson."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError, ValueError):
        try:
            return json.dumps(replace_halves_in(value), ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, RecursionError, ValueError):
            return orjson.dumps(make_writable(value)[0], option=orjson.OPT_NON_STR_KEYS)


def make_writable(value: Any) -> tuple[Any, list[str]]:
    """The value as JSON can hold it, and the places in it that were changed, the first twenty of them."""
    places: list[str] = []
    return _walk(value, "", 0, places), sorted(set(places[:_MOST_PLACES]))


def replace_halves(text: str) -> str:
    """The text without halves of characters (lone surrogates), which no file and no other program can hold."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def replace_halves_in(value: Any) -> Any:
    """The same for all texts of a JSON value, its keys among them."""
    if isinstance(value, str):
        return replace_halves(value)
    if isinstance(value, dict):
        return {replace_halves_in(key): replace_halves_in(child) for key, child in value.items()}
    if isinstance(value, list):
        return [replace_halves_in(child) for child in value]
    return value


def clean_message(said: object, limit: int = limits.MESSAGE_CHARACTERS) -> str:
    """What a reward function says, as one text that a file, a terminal and a page can hold.

    Secrets are hidden; control characters, but line ends and tabs, are shown as their marks, directions and other invisible ones as U+FFFD; a
    long text is cut and says how much is missing.
    """
    try:
        text = str(said)
    except Exception as error:  # of a class of the plugin's own, or an integer of thousands of digits
        text = f"(cannot be shown: {type(error).__name__})"
    text = hide_known(text)
    rest = len(text) - limit
    if rest > 0:
        text = f"{text[:limit]} … ({rest} more characters)"
    if text.isprintable():
        return text
    return "".join(_clean(character) for character in text)


def _clean(character: str) -> str:
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) in ("Zs", "Zl", "Zp"):
        return character
    code = ord(character)
    return chr(0x2400 + code) if code < 32 else "\u2421" if code == 127 else "\ufffd"


def _walk(value: Any, place: str, depth: int, places: list[str]) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, str):
        fit = replace_halves(value)
        if fit != value:
            places.append(place)
        return fit
    if isinstance(value, int):
        return _fit_integer(value, place, places)
    if depth >= limits.WRITTEN_DEPTH:
        places.append(place)
        return f"(deeper than {limits.WRITTEN_DEPTH} levels)"
    if isinstance(value, Mapping):
        kept: dict[str, Any] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else clean_message(key)
            fit = replace_halves(name)
            where = f"{place}.{fit}" if place else fit
            if fit != name or fit in kept:
                places.append(f"a key of {place or 'the row'}")
            while fit in kept:  # two keys that differ in their halves alone
                fit += "\ufffd"
            kept[fit] = _walk(item, where, depth + 1, places)
        return kept
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_walk(item, f"{place}[{at}]", depth + 1, places) for at, item in enumerate(value)]
    places.append(place)
    return clean_message(value)


def _fit_integer(value: int, place: str, places: list[str]) -> int | str:
    if -(2**63) <= value < 2**64:
        return value
    places.append(place)
    # Python itself refuses to write more than 4,300 digits.
    return str(value) if value.bit_length() < 13_000 else f"(a whole number of {value.bit_length()} bits)"
