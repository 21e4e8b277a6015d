"""Formulas of final answers: the value of those with roots and pi, and one way of writing those that are only compared."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_LONGEST = 200
_DEEPEST = 24
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<name>\\[a-zA-Z]+|π|√)|(?P<mark>[-+*/^(){}\[\]·×]))"
)
_SYNONYMS = (
    ("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\left", ""), ("\\right", ""), ("\\cdot", "*"), ("\\times", "*"), ("·", "*"), ("×", "*"),
    ("−", "-"), ("–", "-"), ("π", "\\pi"), ("∞", "\\infty"), ("√", "\\sqrt"), ("≤", "\\le"), ("≥", "\\ge"), ("\\leq", "\\le"),
    ("\\geq", "\\ge"), ("∪", "\\cup"), ("±", "\\pm"), ("²", "^2"), ("³", "^3"), ("**", "^"),
)  # fmt: skip
_LONE = re.compile(r"\{([a-zA-Z0-9])\}")
_COMMAND_END = re.compile(r"(\\[a-zA-Z]++)(?=[0-9])")
_LATEX_SPACE = re.compile(r"(?<!\\)\\[!,;: ]|\\(?:quad|qquad)(?![a-zA-Z])|~")


class _NotAValueError(Exception):
    """A formula that is no number, or one that is left to be worked out."""


class _Number(NamedTuple):
    value: float
    irrational: bool


def write_plainly(formula: str) -> str:
    """A formula without spaces and with one spelling of each sign, for comparing it as a text."""
    text = _LATEX_SPACE.sub("", formula)
    for written, plain in _SYNONYMS:
        text = text.replace(written, plain)
    return _LONE.sub(r"\1", "".join(text.split()))


def evaluate(formula: str) -> float | None:
    r"""The value of a number with roots or pi, `2\sqrt{3}`; None for every other text.

    Sums and products of plain numbers are no answers but what was to be worked out, and have none.
    """
    if len(formula) > _LONGEST or not ("\\sqrt" in formula or "√" in formula or "\\pi" in formula or "π" in formula):
        return None
    text = _LATEX_SPACE.sub(" ", formula)
    for written, plain in _SYNONYMS:
        text = text.replace(written, plain)
    text = _COMMAND_END.sub(r"\1 ", text)
    tokens = []
    place = 0
    text = text.strip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return None
        tokens.append(token[0].strip())
        place = token.end()
    try:
        reader = _Reader(tokens)
        found = reader.sum(0)
        if reader.place < len(tokens) or not found.irrational or not math.isfinite(found.value):
            return None
        return found.value
    except (_NotAValueError, ZeroDivisionError, OverflowError, ValueError, IndexError):
        return None


class _Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.place = 0

    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, token: str) -> bool:
        if self.next() != token:
            return False
        self.place += 1
        return True

    def sum(self, depth: int) -> _Number:
        if depth > _DEEPEST:
            raise _NotAValueError
        sign = -1.0 if self.take("-") else 1.0
        first = self.product(depth)
        total = _Number(sign * first.value, first.irrational)
        while (mark := self.next()) in ("+", "-"):
            self.place += 1
            other = self.product(depth)
            if not total.irrational and not other.irrational:
                raise _NotAValueError
            total = _Number(total.value + (other.value if mark == "+" else -other.value), True)
        return total

    def product(self, depth: int) -> _Number:
        total = self.power(depth)
        while (mark := self.next()) not in ("", "+", "-", ")", "}", "]"):
            if mark in ("*", "/"):
                self.place += 1
            other = self.power(depth)
            if mark != "/" and not total.irrational and not other.irrational:
                raise _NotAValueError
            value = total.value / other.value if mark == "/" else total.value * other.value
            total = _Number(value, total.irrational or other.irrational)
        return total

    def power(self, depth: int) -> _Number:
        base = self.atom(depth)
        if not self.take("^"):
            return base
        exponent = self.atom(depth)
        if not base.irrational or abs(exponent.value) > 20:
            raise _NotAValueError
        return _Number(base.value**exponent.value, True)

    def atom(self, depth: int) -> _Number:
        token = self.next()
        self.place += 1
        if token in ("(", "{"):
            inner = self.sum(depth + 1)
            if not self.take(")" if token == "(" else "}"):
                raise _NotAValueError
            return inner
        if token == "\\pi":
            return _Number(math.pi, True)
        if token == "\\frac":
            above, below = self.short(depth), self.short(depth)
            return _Number(above.value / below.value, above.irrational or below.irrational)
        if token == "\\sqrt":
            degree = 2.0
            if self.take("["):
                degree = self.atom(depth).value
                if not self.take("]"):
                    raise _NotAValueError
            value = self.short(depth).value ** (1 / degree)
            if isinstance(value, complex) or abs(value - round(value)) < 1e-12:
                raise _NotAValueError
            return _Number(value, True)
        if token[:1].isdigit() or token[:1] == ".":
            return _Number(float(token), False)
        raise _NotAValueError

    def short(self, depth: int) -> _Number:
        """What stands behind a command without braces is one digit."""
        token = self.next()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.atom(depth + 1)
