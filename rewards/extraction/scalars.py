"""What a run of bare text stands for where a value is due: a literal, a number, or itself."""

from __future__ import annotations

import re
from typing import Any

from rewards.extraction.numbers import read_number
from rewards.extraction.repairs import RepairKind

_LITERALS: dict[str, tuple[Any, RepairKind | None]] = {
    "true": (True, None),
    "false": (False, None),
    "null": (None, None),
}
for _words, _value in (
    ("True TRUE verdadeiro verdadeira sim", True),
    ("False FALSE falso falsa não nao", False),
    ("None NULL Null NONE nil undefined nulo nula n/a n.a.", None),
):
    _LITERALS.update({word: (_value, RepairKind.LITERAL) for word in _words.split()})
_NON_FINITE = {"nan", "infinity", "inf", "-infinity", "-inf", "+infinity", "+inf", "-nan", "-infinito"}
_NON_FINITE |= {f"{module}.{word}" for module in ("np", "math", "numpy") for word in ("nan", "inf")}
_FOLDED = {word.casefold(): reading for word, reading in _LITERALS.items()}
_LONGEST_LITERAL = max(map(len, _FOLDED))
_CUT_NUMBER = re.compile(r"(-?[0-9]++(?:\.[0-9]++)?+)(?:\.|[eE][-+]?)?+")
_SEVERAL_NUMBERS = re.compile(r"-?[0-9][0-9.]*+(?:\s*+,\s*+-?[0-9][0-9.]*+){2,}+")


def read_bare(run: str) -> tuple[Any, RepairKind | None]:
    """Reads stripped bare text in value position; the second part is the repair that was needed, if any."""
    reading = _LITERALS.get(run)
    if reading is not None:
        return reading
    first = run[:1]
    if first in "0123456789-+.,$€£¥−–RUBEG":
        number = read_number(run)
        if number is not None:
            return number
        if first in "0123456789-" and _SEVERAL_NUMBERS.fullmatch(run):
            return [read_bare(part.strip())[0] for part in run.split(",")], RepairKind.SHAPE
    if len(run) <= _LONGEST_LITERAL:
        folded = run.casefold()
        if folded in _FOLDED:
            return _FOLDED[folded][0], RepairKind.LITERAL
        if folded in _NON_FINITE:
            return None, RepairKind.NON_FINITE
    return run, RepairKind.BARE_TEXT


def read_cut(run: str) -> tuple[Any, bool]:
    """Reads bare text that the end of the text cut off; the second part is False where too little is left to keep."""
    number = _CUT_NUMBER.fullmatch(run)
    if number is not None:
        return read_bare(number[1])[0], True
    value, kind = read_bare(run)
    if kind is not RepairKind.BARE_TEXT:
        return value, not isinstance(value, list)
    folded = run.casefold()
    partial = any(word.startswith(folded) for word in _FOLDED) or any(word.startswith(folded) for word in _NON_FINITE)
    return run, not partial and any(character.isalnum() for character in run)
