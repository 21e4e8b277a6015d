"""The second fast path: text whose only faults are light ones is rewritten as strict JSON and read by orjson."""

from __future__ import annotations

import re
from typing import Any

import orjson

from rewards.extraction.repairs import Repair, RepairKind
from rewards.extraction.state import MAX_REPAIRS
from rewards.extraction.strict import has_long_integer

_W = r"[ \t\r\n]*+"
_STRING = r'"[^"\\\x00-\x1f]*+(?:\\["\\/bfnrtu][^"\\\x00-\x1f]*+)*+"'
_COMMENT = r"(?://[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/|\#[^\n]*+)"
_GAP = rf"(?:[ \t\r\n]++|{_COMMENT})*+"
# Well-formed stretches. After a colon a number must not run on behind a comma: that is a decimal comma.
_SOUND = (
    rf"((?:[ \t\r\n{{}}\[\]]++|{_STRING}|,(?!{_GAP}[}}\],])"
    rf"|:{_W}(?:(?![-0-9])|-?[0-9][0-9.eE+\-]*+(?![ \t]*+,[ \t]*+[0-9])(?![\w%]))"
    r"|-?[0-9][0-9.eE+\-]*+(?![\w%])|(?:true|false|null)(?!\w))*+)"
)
_FAULTS = (
    rf"(?:({_COMMENT})|(,)(?={_GAP}[}}\]])|'([^'\"\\\x00-\x1f]*+)'"
    rf"|:{_W}(-?[0-9]{{1,3}}(?:\.[0-9]{{3}})++|-?[0-9]++),[ ]?([0-9]++)(?={_W}(?:,{_GAP}[\"'}}]|\}}))"
    r"|(True|False|None|verdadeiro|falso|nulo)(?!\w)|([^\W\d]\w*+)(?=[ \t]*+:(?!//))|\Z)"
)
_STEP = re.compile(_SOUND + _FAULTS)
_WORDS = {"True": "true", "False": "false", "None": "null", "verdadeiro": "true", "falso": "false", "nulo": "null"}
# Lists whose commas are of two kinds may hold decimals; the tolerant reader weighs that.
_NUMBER_LIST = re.compile(r"\[[ \t\r\n]*+-?[0-9][-0-9., \t\r\n]*+\]")
_TIGHT, _LOOSE = re.compile(r"[0-9],[0-9]").search, re.compile(r"[0-9],\s").search


def read_light(text: str, start: int, end: int) -> tuple[Any, tuple[Repair, ...], str] | None:
    """Reads text[start:end] as one value, repairing comments, trailing commas, single quotes, bare keys, decimal commas and
    Python's and Portuguese literals; the third part is the strict JSON it was rewritten as. None where anything else is wrong."""
    pieces: list[str] = []
    faults: list[tuple[RepairKind, int]] = []
    at, decimals, step = start, False, _STEP.match

    def add(fault: tuple[RepairKind, int]) -> None:
        if len(faults) < MAX_REPAIRS:
            faults.append(fault)

    while at < end:
        match = step(text, at, end)
        if match is None:
            return None
        sound, comment, comma, quoted, whole, fraction, word, key = match.groups()
        pieces.append(sound)
        after = match.end()
        if quoted is not None:
            pieces.append(f'"{quoted}"')
            add((RepairKind.QUOTE_STYLE, match.start(4) - 1))
        elif word is not None:
            pieces.append(_WORDS[word])
            add((RepairKind.LITERAL, match.start(7)))
        elif whole is not None:
            pieces.append(f":{whole.replace('.', '')}.{fraction}")
            add((RepairKind.DECIMAL_COMMA, match.start(5)))
            decimals = True
        elif key is not None:
            pieces.append(f'"{key}"')
            add((RepairKind.BARE_KEY, match.start(8)))
        elif comma is not None:
            add((RepairKind.TRAILING_COMMA, match.start(3)))
        elif comment is not None:
            add((RepairKind.COMMENT, match.start(2)))
        elif after == at:
            return None
        at = after
    if decimals:
        for numbers in _NUMBER_LIST.finditer(text, start, end):
            if _TIGHT(numbers[0]) and _LOOSE(numbers[0]):
                return None
    plain = "".join(pieces)
    try:
        value = orjson.loads(plain)
    except orjson.JSONDecodeError:
        return None
    return None if has_long_integer(plain) else (value, tuple(Repair(*fault) for fault in faults), plain)
