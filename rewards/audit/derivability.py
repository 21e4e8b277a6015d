"""Whether a reference follows from its prompt: each leaf of a JSON reference is stated there, inferable, or neither."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from rewards.types import Example

STATED, INFERABLE, UNDERIVABLE, MADE_UP = "stated", "inferable", "underivable", "made_up"

_ENUMERATION = 24
"""Most different values that a field may have for its values to count as a known enumeration."""
_MOST_LEAVES = 5_000
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[-−–]?(?:R\$|US\$|[$€£])?\s?\d[\d.,_'’\u00a0\u202f]*(?<=\d)(?:[eE][-+]?\d+)?\s?%?")
_MADE_UP = re.compile(
    r"[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"  # UUID
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d\S*"  # time stamp
    r"|[a-z][a-z0-9+.-]*://\S+"  # link
    r"|(?=.{8})(?=(?:\D*\d){3})[\w:.@/#-]*[A-Za-z_:@/#-][\w:.@/#-]*",  # urn:slice:00412, ORD-2291-7, /intents/4411
    re.ASCII,
)
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[t ]00:00(?::00(?:\.0+)?)?(?:z|[+-]\d\d:?\d\d)?", re.ASCII)
_SCALES = (1.0, 100.0, 0.01, 1e3, 1e-3, 1e6, 1e-6, 1e9, 1e-9)
"""A percentage may be meant as a share, and kbit/s as Gbit/s."""
_NUMERAL_WORDS = (
    "zero nenhum nenhuma", "um uma one", "dois duas two", "tres three", "quatro four", "cinco five", "seis six",
    "sete seven", "oito eight", "nove nine", "dez ten", "onze eleven", "doze twelve", "treze thirteen",
    "catorze quatorze fourteen", "quinze fifteen", "dezesseis sixteen", "dezessete seventeen", "dezoito eighteen",
    "dezenove nineteen", "vinte twenty",
)  # fmt: skip
_NUMERALS = {word: value for value, words in enumerate(_NUMERAL_WORDS) for word in words.split()}
_NOTHING = frozenset(
    (
        "", "none", "null", "nil", "na", "n/a", "n.a", "unknown", "unspecified", "not available", "not applicable",
        "not specified", "nenhum", "nenhuma", "nada", "nao informado", "nao informada", "nao consta", "nao se aplica",
    )
)  # fmt: skip
"""Texts that say that there is no value, folded and without marks at their ends."""


class FieldCount(NamedTuple):
    """How many leaves of one field are stated in their prompts, inferable, neither, or made up (identifiers, links, times)."""

    stated: int
    inferable: int
    underivable: int
    made_up: int

    @property
    def leaves(self) -> int:
        """Leaves that were looked at, of whatever kind."""
        return sum(self)

    @property
    def missing_share(self) -> float:
        """The share of leaves that do not follow from the prompt."""
        return (self.underivable + self.made_up) / self.leaves if self.leaves else 0.0


def measure_derivability(examples: Iterable[Example]) -> dict[str, dict[str, FieldCount]]:
    """By task and field, for the references that are strict JSON objects or lists; a field is a dotted path, lists as `[]`.

    A text is stated when it, or all its words and numbers, stand in the prompt; a number when the prompt has it in any
    notation, unit scale or small numeral. True, false, null and empty containers are inferable, as is every value of a
    field that takes few values over the rows of its task: those can be learnt. So are 0 and the texts that stand for nothing
    ("none", "N/A", "-"): by convention they say that the prompt names no such thing. Of the rest, what has the form of an
    identifier, a link or a time stamp is made up; another value may still be known or computed.
    """
    by_task: dict[str, list[tuple[Example, list[tuple[str, Any]]]]] = defaultdict(list)
    for example in examples:
        leaves = _leaves_of(example)
        if leaves:
            by_task[example.task].append((example, leaves))
    return {task: _measure(rows) for task, rows in sorted(by_task.items())}


def summarise(fields: Mapping[str, FieldCount]) -> dict[str, Any]:
    """One task's counts for JSON: leaves, their shares, and each field that is not wholly derivable."""
    total = FieldCount(*(sum(column) for column in zip(*fields.values(), strict=True)))
    return {
        "leaves": total.leaves,
        "stated": round(total.stated / total.leaves, 4),
        "inferable": round(total.inferable / total.leaves, 4),
        "underivable": round(total.underivable / total.leaves, 4),
        "made_up": round(total.made_up / total.leaves, 4),
        "underivable_fields": {
            name: round(count.missing_share, 4) for name, count in fields.items() if count.missing_share
        },
    }


def _measure(rows: Sequence[tuple[Example, list[tuple[str, Any]]]]) -> dict[str, FieldCount]:
    known = _find_enumerations(leaves for _, leaves in rows)
    counts: dict[str, Counter] = defaultdict(Counter)
    for example, leaves in rows:
        prompt = _Prompt(example)
        for field, value in leaves:
            counts[field][_judge(prompt, value, field in known)] += 1
    kinds = (STATED, INFERABLE, UNDERIVABLE, MADE_UP)
    return {field: FieldCount(*(count[kind] for kind in kinds)) for field, count in sorted(counts.items())}


def _find_enumerations(rows: Iterable[list[tuple[str, Any]]]) -> set[str]:
    """Fields whose values come from a small set: at most a few, each seen in three rows on average."""
    values: dict[str, Counter] = defaultdict(Counter)
    for leaves in rows:
        for field, value in leaves:
            values[field][repr(value)] += 1
    return {field for field, seen in values.items() if len(seen) <= _ENUMERATION and seen.total() >= 3 * len(seen)}


def _judge(prompt: _Prompt, value: Any, enumerated: bool) -> str:
    if value is None or isinstance(value, bool | dict | list) or value == "":
        return INFERABLE
    if prompt.states(value):
        return STATED
    if value == 0 or (isinstance(value, str) and _fold(value).strip(" .-–—/") in _NOTHING):
        return INFERABLE
    if enumerated:
        return INFERABLE
    return MADE_UP if isinstance(value, str) and _MADE_UP.fullmatch(value) else UNDERIVABLE


class _Prompt:
    """What a prompt says, looked up in the ways a reference may repeat it."""

    def __init__(self, example: Example):
        self._text = _fold("\n".join(str(turn.get("content", "")) for turn in example.prompt))
        self._words: frozenset[str] | None = None
        self._numbers: frozenset[float] | None = None

    def states(self, value: str | int | float) -> bool:
        if isinstance(value, str):
            folded = _fold(value)
            if folded in self._text:
                return True
            # The date of a time stamp stands for itself: midnight is what systems add to a day.
            words = _WORD.findall(_MIDNIGHT.sub(r"\1", folded))
            return bool(words) and all(word in self.words or self._has_digits(word) for word in words)
        return self._has_number(value)

    @property
    def words(self) -> frozenset[str]:
        if self._words is None:
            self._words = frozenset(_WORD.findall(self._text))
        return self._words

    @property
    def numbers(self) -> frozenset[float]:
        if self._numbers is None:
            self._numbers = frozenset(_read_numbers(self._text, self.words))
        return self._numbers

    def _has_digits(self, word: str) -> bool:
        """Whether a group of digits, such as the month of a date, stands in the prompt with or without leading zeros."""
        return word.isdecimal() and len(word) <= 15 and float(word) in self.numbers

    def _has_number(self, value: int | float) -> bool:
        try:
            wanted = float(value)
        except OverflowError:
            return str(value) in self._text
        numbers = self.numbers
        return any(_significant(wanted * scale) in numbers for scale in _SCALES)


def _read_numbers(text: str, words: Iterable[str]) -> Iterator[float]:
    """Every number of a text in each reading that its notation allows: `1.234` is 1234 in Portuguese and 1.234 in code."""
    for written in {match[0].strip() for match in _NUMBER.finditer(text)}:
        yield from _readings(written)
    for word in words:
        if word in _NUMERALS:
            yield float(_NUMERALS[word])


@lru_cache(maxsize=65_536)
def _readings(written: str) -> frozenset[float]:
    """The readings of one number with both signs; dates and amounts come again in row after row."""
    from rewards.extraction import as_number

    if len(written) > 40:
        return frozenset()
    if written.isdecimal() and written.isascii() and len(written) <= 15:
        value = _significant(float(written))
        return frozenset((value, -value))
    readings = [as_number(written)]
    bare = written.strip("-−–r$us€£% ")
    for plain in {bare, bare.replace(",", "."), bare.replace(".", "").replace(",", ".")}:
        try:
            readings.append(float(plain))
        except ValueError:
            continue
    # 2018-03-05 and 10.0.0.1 are not numbers, but each of their groups may be asked for.
    readings.extend(float(group) for group in re.findall(r"\d{1,15}", written))
    found = {_significant(float(reading)) for reading in readings if isinstance(reading, int | float)}
    return frozenset(found | {-reading for reading in found})


def _significant(value: float) -> float:
    return float(f"{value:.9g}")


def _fold(text: str) -> str:
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(text.casefold().split())


def _leaves_of(example: Example) -> list[tuple[str, Any]]:
    """Field and value of each leaf; [] for a reference that is not a JSON object or list."""
    text = (example.reference or "").strip()
    if text[:1] not in ("{", "["):
        return []
    try:
        root = orjson.loads(text)
    except ValueError:
        return []
    leaves: list[tuple[str, Any]] = []
    stack = [("", root)]
    while stack and len(leaves) < _MOST_LEAVES:
        path, value = stack.pop()
        if isinstance(value, dict) and value:
            stack.extend((f"{path}.{key}" if path else key, child) for key, child in reversed(value.items()))
        elif isinstance(value, list) and value:
            stack.extend((f"{path}[]", child) for child in reversed(value))
        else:
            leaves.append((path, value))
    return leaves
