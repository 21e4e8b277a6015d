"""`extract_json`: the JSON a model meant, out of the text it wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from rewards.extraction.repairs import Extraction, Repair
from rewards.extraction.strict import read_strict
from rewards.extraction.taken_back import may_take_back

BASE_STEPS = 60_000
MAX_STEPS = 200_000
_JSON_STARTS = frozenset('{["-0123456789tfn \t\r\n')
# What ends a turn in a template, left in the text.
_END_MARKS = re.compile(r"(?:\s*(?:<\|[\w|]{1,40}\|>|</s>|<eos>|<end_of_turn>))+\s*\Z")
_KEY_BEFORE = re.compile(r"[\"'”]\s*:\s*[\"'“]?\Z")
# Without one of these a text opens no value, names no member and calls nothing.
_HOLDS_VALUE = re.compile(r"[{\[(:=｛［&：﹕→]|->")
_NOTHING: Any = object()
_CONTAINERS = (dict, list)
# The constructor of a NamedTuple fills in defaults, which takes as long as reading a short text.
_new = tuple.__new__


def extract_json(text: str, *, strict: bool = False, expect_keys: Sequence[str] = ()) -> Extraction:
    """Reads the object or list that `text` offers as its answer; never raises on any str, in time linear in its length.

    `strict` refuses readings that had to guess at the structure (see RepairKind.structural). `expect_keys` are keys that the
    caller knows the answer has: among several values those that have them win. Nothing found gives a value of None.
    """
    may_be_json = text[:1] in _JSON_STARTS
    try:
        # Prose and fences are sent on without the cost of orjson's refusal.
        value = read_strict(text) if may_be_json else _NOTHING
        if value is _NOTHING and text[:1] == "\ufeff":
            # A byte order mark says how the text was stored and is no part of it.
            value = read_strict(text[1:])
    except ValueError:
        value = _NOTHING
    if value is not _NOTHING:
        if isinstance(value, _CONTAINERS):
            return _new(Extraction, (value, (), False, (0, len(text)), 1, 1.0, "", (), ()))
        if not isinstance(value, str):
            return Extraction(None)
    quick = _read_single(text, may_be_json)
    if quick is not None:
        return quick
    if "{" not in text and "[" not in text and _HOLDS_VALUE.search(text) is None:
        return Extraction(None)
    if text[-8:].rstrip()[-1:] == ">" and (mark := _END_MARKS.search(text, max(0, len(text) - 100))) is not None:
        text = text[: mark.start()]
    undressed = _load_dressing()(text)
    if undressed is not None:
        plain, repair = undressed
        again = _read_single(plain) or _look_again(
            plain, _read_closely(plain, strict, expect_keys), strict, expect_keys
        )
        if again.value is not None:
            return again._replace(repairs=(repair, *again.repairs), confidence=min(again.confidence, 0.9))
    reading = _read_closely(text, strict, expect_keys)
    return _look_again(text, reading, strict, expect_keys)


@cache
def _load_dressing() -> Any:
    from rewards.extraction.dressing import undress

    return undress


def _look_again(text: str, reading: Extraction, strict: bool, expect_keys: Sequence[str]) -> Extraction:
    """Reads the text again where the first reading leaves doubts that remarks in other marks, keys without colons, or mixed quotes explain."""
    has_swallowed, is_clean, is_unsure, mendings, straighten, count_keys = _load_second_look()
    if not is_unsure(reading) and reading.value and not has_swallowed(text, reading.value):
        return reading
    for mending in mendings:
        mended = mending(text)
        if mended is None:
            continue
        plain, repair = mended
        again = _read_single(plain) or _read_closely(plain, strict, expect_keys)
        if mending is straighten and reading.value and count_keys(again.value) < count_keys(reading.value):
            # Straightened at the wrong places, a text swallows members.
            continue
        if is_clean(again) and again.value and not (strict and repair.kind.structural):
            return again._replace(repairs=(repair, *again.repairs), confidence=min(again.confidence, 0.8))
    return reading


@cache
def _load_second_look() -> tuple[Any, ...]:
    from rewards.extraction.duplicates import count_keys
    from rewards.extraction.mixed_quotes import has_swallowed, straighten
    from rewards.extraction.pieces import bracket_texts, free_keys, join_fences, unescape_inside
    from rewards.extraction.second_look import is_clean, is_unsure, mend

    return (
        has_swallowed,
        is_clean,
        is_unsure,
        (mend, straighten, join_fences, bracket_texts, free_keys, unescape_inside),
        straighten,
        count_keys,
    )


@cache
def _load_scanner() -> tuple[Any, ...]:
    """Loaded when the first text needs them: their regular expressions take 50 ms to compile."""
    from rewards.extraction.budget import Budget
    from rewards.extraction.choice import ChosenAnswer, choose
    from rewards.extraction.roots import narrow
    from rewards.extraction.scanner import Scanner

    return Budget, ChosenAnswer, choose, narrow, Scanner


def _read_closely(text: str, strict: bool, expect_keys: Sequence[str]) -> Extraction:
    Budget, ChosenAnswer, choose, narrow, Scanner = _load_scanner()
    budget = Budget(min(MAX_STEPS, BASE_STEPS + len(text)))
    scanner = Scanner(text, budget)
    candidates = scanner.scan()
    chosen = choose(text, candidates, expect_keys) if candidates else None
    inside = chosen is not None and "=" in text[: chosen.answer.start] and isinstance(chosen.answer.value, dict)
    inside = inside or (chosen is not None and text.lstrip()[:1] == "(")
    if (chosen is None or inside or isinstance(chosen.answer.value, list)) and "(" in text and not scanner.is_open:
        root = scanner.take_root()
        if root is not None and (chosen is None or root.start < chosen.answer.start < root.end):
            chosen = ChosenAnswer(root, 0.9)
    if chosen is None and not candidates:
        plain = narrow(text)
        if plain is not None:
            return _read_closely(plain, strict, expect_keys)
    # A first value behind a key belongs to members whose opening brace is missing.
    first = candidates[0].start if candidates else len(text)
    if not scanner.is_open and (not candidates or (first and _KEY_BEFORE.search(text[max(0, first - 20) : first]))):
        loose = scanner.take_loose(first)
        chosen = ChosenAnswer(loose, 0.7) if loose is not None else chosen
    if chosen is None:
        return Extraction(None, candidates=len(candidates))
    answer, certainty, rivals = chosen
    guesses = answer.guesses
    if strict and (guesses or not answer.closed):
        return Extraction(None, candidates=len(candidates))
    if not isinstance(answer.value, dict | list):
        return Extraction(None, candidates=len(candidates))
    confidence = certainty * (0.98 if not answer.repairs else 0.95 if not guesses else max(0.3, 0.8 - 0.1 * guesses))
    if not answer.closed:
        confidence *= 0.7
    span = (answer.start, answer.end)
    count = len(candidates)
    confidence = round(confidence, 3)
    return Extraction(answer.value, answer.repairs, answer.cut, span, count, confidence, "", answer.duplicates, rivals)


def _read_single(text: str, refused: bool = False) -> Extraction | None:
    """Reads the common case, one object between the first and the last bracket; None where a closer look is needed.

    `refused` says that the text as a whole is known to be no strict JSON.
    """
    curly, square = text.find("{"), text.find("[")
    start = curly if square < 0 or 0 <= curly < square else square
    end = max(text.rfind("}"), text.rfind("]")) + 1
    if start < 0 or end <= start:
        return None
    before, after = text[:start], text[end:]
    if (
        "<" in before
        or "<" in after
        or "/" in before
        or '"' in before
        or "|" in before
        or ("(" in before and ("=" in before or before[-1] == "("))
        or "\n>" in text
        or "◁" in text
        or ("&" in text and "&" in text[start : start + 20])
    ):
        return None
    try:
        if refused and not start and end == len(text):
            raise ValueError
        value = read_strict(text[start:end])
        repairs: tuple[Repair, ...] = ()
        source = ""
    except ValueError:
        from rewards.extraction.light import read_light

        light = read_light(text, start, end)
        if light is None:
            return None
        value, repairs, source = light
    if len(after) > 11 and may_take_back(after[:240]):
        from rewards.extraction.afterwords import takes_back

        if takes_back(after[:240]):
            return None
    if not value or not (isinstance(value, dict) or any(isinstance(item, dict) for item in value)):
        return None
    return _new(Extraction, (value, repairs, False, (start, end), 1, 0.95 if repairs else 0.98, source, (), ()))
