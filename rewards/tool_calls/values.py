"""JSON and nearly JSON at a place in a text: read whole where it is strict, mended where its brackets close."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from rewards.answers import CONFLICTING

_LONGEST_INTEGER = 4_000
"""Digits up to which Python turns a text into an integer without being asked; longer ones are compared as texts."""

_BRACKET = re.compile(r"[\[\]{}]|\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|(?<=[\s:,\[{(=])'(?:[^'\\]|\\.)*+(?:'|\Z)", re.DOTALL)
_LONG_REST = 4_000
# Glaive's calls hold their arguments as JSON between single quotes.
_QUOTED = re.compile(r"\{\s*\"name\"\s*:\s*\"(?P<name>[^\"\\\n]{1,200})\"\s*,\s*\"arguments\"\s*:\s*'\s*(?=\{)")
_QUOTED_END = re.compile(r"\s*'\s*\}")
_CLOSERS = {"{": "}", "[": "]"}


class FoundValue(NamedTuple):
    """A value and where it ends; `repaired` and `clean` as in a call."""

    value: Any
    end: int
    repaired: bool = False
    clean: bool = True


def _keep_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which a key that is given two values holds neither."""
    collected = dict(pairs)
    if len(collected) != len(pairs):
        seen: dict[str, Any] = {}
        for key, item in pairs:
            # By their writing: 1 and true are equal in Python.
            collected[key] = CONFLICTING if key in seen and repr(seen[key]) != repr(item) else item
            seen[key] = collected[key]
    return collected


def _read_integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else digits


_DECODER = json.JSONDecoder(
    object_pairs_hook=_keep_pairs, parse_int=_read_integer, parse_constant=lambda name: CONFLICTING
)


def read_json(written: str) -> Any:
    """One strict JSON value with its integers exact; CONFLICTING where the text is none."""
    try:
        value, end = _DECODER.raw_decode(written)
    except (ValueError, RecursionError):
        return CONFLICTING
    return value if end == len(written) else CONFLICTING


class Ahead:
    """Searches of one pattern at rising places: what was found, or that nothing comes any more, is remembered."""

    __slots__ = ("_found", "_from", "_search", "_text")

    def __init__(self, pattern: re.Pattern[str], text: str):
        self._search, self._text = pattern.search, text
        self._from = -1
        self._found: re.Match[str] | None = None

    def find(self, place: int, end: int | None = None) -> re.Match[str] | None:
        """The first match that starts at `place` or later, and before `end`."""
        found = self._found
        if self._from < 0 or place < self._from or (found is not None and found.start() < place):
            found = self._found = self._search(self._text, place)
            self._from = place
        return None if found is None or (end is not None and found.start() >= end) else found


class ValueReader:
    """Reads values out of one text; what fails is paid from a budget, so that all of it stays linear."""

    def __init__(self, text: str):
        self.text = text
        self.left = 4 * len(text) + 10_000
        self._rests = 2
        self._ahead: dict[re.Pattern[str], Ahead] = {}

    def find(self, pattern: re.Pattern[str], place: int, end: int | None = None) -> re.Match[str] | None:
        """The first match of a pattern from `place` on that starts before `end`; cheap to ask again further on."""
        ahead = self._ahead.get(pattern)
        if ahead is None:
            ahead = self._ahead[pattern] = Ahead(pattern, self.text)
        return ahead.find(place, end)

    def strict(self, place: int) -> FoundValue | None:
        """The JSON object or list that starts at `place`; None where there is none, or the budget is spent."""
        if self.left <= 0:
            return None
        try:
            value, end = _DECODER.raw_decode(self.text, place)
        except RecursionError:
            self.left = 0
            return None
        except ValueError as error:
            self.left -= getattr(error, "pos", len(self.text)) - place + 20
            return self._quoted(place)
        return FoundValue(value, end) if isinstance(value, (dict, list)) else None

    def _quoted(self, place: int) -> FoundValue | None:
        """`{"name": "f", "arguments": '{"a": 1}'}`; None where it is something else."""
        opened = _QUOTED.match(self.text, place)
        if opened is None:
            return None
        try:
            arguments, end = _DECODER.raw_decode(self.text, opened.end())
        except (ValueError, RecursionError) as error:
            self.left -= getattr(error, "pos", len(self.text)) - place
            return None
        closed = _QUOTED_END.match(self.text, end)
        return FoundValue({"name": opened["name"], "arguments": arguments}, closed.end()) if closed else None

    def any(self, place: int, limit: int | None = None) -> FoundValue | None:
        """The value that starts at `place`, mended where it must be; `limit` is where it ends at the latest."""
        found = self.strict(place)
        if found is not None:
            return found
        end = self.closing(place)
        if end is None:
            # A text that is cut off is cut off once.
            if limit is None or (limit - place > _LONG_REST and self._rests <= 0):
                return None
            self._rests -= limit - place > _LONG_REST
            end = limit
        return self.mend(place, end)

    def mend(self, place: int, end: int) -> FoundValue | None:
        from rewards.answers import read_answer
        from rewards.types import Completion

        if self.left <= 0:
            return None
        self.left -= end - place
        completion = Completion(self.text[place:end])
        reading = completion.extraction
        if reading.value is None:
            return None
        kinds = {getattr(repair.kind, "value", repair.kind) for repair in reading.repairs} - {"records"}
        guessed = reading.truncated or any(
            getattr(repair.kind, "structural", False)
            for repair in reading.repairs
            if getattr(repair.kind, "value", repair.kind) != "records"
        )
        return FoundValue(read_answer(completion).value, end, bool(kinds), not guessed)

    def closing(self, place: int) -> int | None:
        """Where the bracket at `place` closes, as far as quotes can be trusted; None where it does not."""
        if self.left <= 0:
            return None
        stack: list[str] = []
        for match in _BRACKET.finditer(self.text, place):
            mark = match[0]
            if mark in _CLOSERS:
                stack.append(_CLOSERS[mark])
            elif mark in ("}", "]"):
                if not stack or stack.pop() != mark:
                    break
                if not stack:
                    return match.end()
        self.left -= len(self.text) - place
        return None
