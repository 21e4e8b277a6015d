"""The answer of a completion as a reward may trust it: no reasoning, and nothing that was said twice in contradiction."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, Final, NamedTuple

from rewards.types import Completion

_LONGEST_CHECKED = 100_000
"""Letters up to which repeated keys are looked for; a longer answer earns next to nothing anyway."""

# What ends a key, in strict JSON; inside a text it may stand too, which the exact reading then finds out.
_KEY_END = re.compile(r'"\s*:')
_LOOSE_KEY = re.compile(r"""(?:"([^"\\\n]{1,80})"|'([^'\\\n]{1,80})'|[{,]\s*([^\W\d]\w{0,79}))\s*:""")


class _Unsaid:
    """A leaf that equals nothing: its key was given two values, or a number that is none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSAID"


UNSAID: Final = _Unsaid()


class Answer(NamedTuple):
    """`value` is the reading with UNSAID where it contradicts itself; `doubted` tells of another answer beside it."""

    value: Any
    doubted: bool = False
    repeated: int = 0


def skip_reasoning(text: str) -> str:
    """What stands after the reasoning; nothing where the reasoning never ends."""
    if "</think>" in text:
        return text.rpartition("</think>")[2]
    return "" if "<think>" in text else text


def read_answer(completion: Completion) -> Answer:
    """The completion's JSON, read once for all functions.

    A key written twice with two values holds UNSAID, and so does every null where NaN or an infinity was written.
    `doubted` is True when the text offers a second object that gives a key of the first another value.
    """
    return _read_counted(completion)[0]


def count_leaves(completion: Completion) -> int:
    """The scalars and empty containers of the completion's answer, counted when it is read."""
    return _read_counted(completion)[1]


def _read_counted(completion: Completion) -> tuple[Answer, int]:
    known = completion.__dict__.get("answer")
    if known is None:
        known = completion.__dict__["answer"] = _read(completion)
    return known


def _read(completion: Completion) -> tuple[Answer, int]:
    reading = completion.extraction
    if reading.value is None or reading.span is None:
        return Answer(reading.value), count_all(reading.value)[1]
    start, end = reading.span
    written = completion.text[start:end] if end - start <= _LONGEST_CHECKED else ""
    value, repeated = reading.value, 0
    keys, leaves = count_all(value)
    if reading.repairs:
        if any(getattr(repair.kind, "value", repair.kind) == "non_finite" for repair in reading.repairs):
            value = _replace(value, lambda key, item: item is None)
        spare = _spare_keys(value, written)
        if spare:
            repeated = len(spare)
            value = _replace(value, lambda key, item: key in spare)
    elif written and _may_repeat(written, keys):
        value, repeated = _read_exactly(written, value)
    if value is not reading.value:
        _, leaves = count_all(value)
    doubted = reading.candidates > 1 and _is_doubted(completion.text, reading.value, start, end)
    return Answer(value, doubted, repeated), leaves


def count_all(value: Any) -> tuple[int, int]:
    """The keys of a value's objects, and its leaves: scalars and empty containers; however deep."""
    keys, leaves, stack = 0, 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            keys += len(item)
            children = [child for child in item.values() if isinstance(child, (dict, list))]
        elif isinstance(item, list):
            children = [child for child in item if isinstance(child, (dict, list))]
        else:
            leaves += 1
            continue
        leaves += len(item) - len(children) if item else 1
        stack += children
    return keys, leaves


def _may_repeat(written: str, keys: int) -> bool:
    """Whether strict JSON has more ends of keys than its reading has keys; a text without other colons is no closer looked at."""
    return written.count(":") != keys and len(_KEY_END.findall(written)) != keys


def _read_exactly(written: str, value: Any) -> tuple[Any, int]:
    """Strict JSON read again with an eye on keys that come twice."""
    repeated = 0

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        collected: dict[str, Any] = {}
        for key, item in pairs:
            # By their writing: 1 and true are equal in Python.
            if key in collected and repr(collected[key]) != repr(item):
                repeated += 1
                item = UNSAID
            collected[key] = item
        return collected

    try:
        exact = json.loads(written, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return value, 0
    return (exact, repeated) if repeated else (value, 0)


def _spare_keys(value: Any, written: str) -> frozenset[str]:
    """Keys that a repaired text writes more often than its reading has them."""
    found = Counter(one or other or bare for one, other, bare in _LOOSE_KEY.findall(written))
    if not found:
        return frozenset()
    kept: Counter = Counter()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            kept.update(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return frozenset(key for key, count in kept.items() if found[key] > count)


def _replace(value: Any, unsaid: Any) -> Any:
    """A copy in which UNSAID stands for each leaf or member that `unsaid(key, item)` names; as deep as it may be."""
    top: list[Any] = [None]
    stack: list[tuple[Any, Any, Any, Any]] = [(value, top, 0, None)]
    while stack:
        item, place, at, key = stack.pop()
        if unsaid(key, item):
            place[at] = UNSAID
        elif isinstance(item, dict):
            place[at] = copy = dict.fromkeys(item)
            stack.extend((child, copy, name, name) for name, child in item.items())
        elif isinstance(item, list):
            place[at] = copied = [None] * len(item)
            stack.extend((child, copied, index, None) for index, child in enumerate(item))
        else:
            place[at] = item
    return top[0]


def _is_doubted(text: str, value: Any, start: int, end: int) -> bool:
    """Whether what stands before or after the reading offers an object with the same keys and other values."""
    from rewards.extraction import extract_json

    chosen = _first_object(value)
    if not chosen:
        return False
    for rest in (text[:start], text[end:]):
        if "{" not in rest:
            continue
        other = _first_object(extract_json(rest[:_LONGEST_CHECKED]).value)
        if other and any(key in chosen and repr(chosen[key]) != repr(item) for key, item in other.items()):
            return True
    return False


def _first_object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    return value if isinstance(value, dict) else None
