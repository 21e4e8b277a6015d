"""The answer of a completion as a reward may trust it: no reasoning, and nothing that was said twice in contradiction."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from rewards.extraction.duplicates import find_duplicates
from rewards.extraction.reasoning import split_reasoning
from rewards.types import Completion


class _Unsaid:
    """A leaf that equals nothing: its key was given two values, or a number that is none."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "CONFLICTING"


CONFLICTING: Final = _Unsaid()


class Answer(NamedTuple):
    """`value` is the reading with CONFLICTING where it contradicts itself; `doubted` tells of another answer beside it."""

    value: Any
    doubted: bool = False
    repeated: int = 0


def skip_reasoning(text: str) -> str:
    """What stands after the reasoning; nothing where the reasoning never ends."""
    return split_reasoning(text).answer


def read_answer(completion: Completion) -> Answer:
    """The completion's JSON, read once for all functions.

    A key written twice with two values holds CONFLICTING, and so does every null where NaN or an infinity was written.
    `doubted` is True when the text offers a second object that gives a key of the first another value.
    """
    return _read_counted(completion)[0]


def count_leaves(completion: Completion) -> int:
    """The scalars and empty containers of the completion's answer, counted when it is read."""
    return _read_counted(completion)[1]


def _read_counted(completion: Completion) -> tuple[Answer, int]:
    known = completion.__dict__.get("counted_answer")
    if known is None:
        known = completion.__dict__["counted_answer"] = _read(completion)
    return known


def _read(completion: Completion) -> tuple[Answer, int]:
    reading = completion.extraction
    if reading.value is None or reading.span is None:
        return Answer(reading.value), count_all(reading.value)[1]
    value = reading.value
    keys, leaves = count_all(value)
    repeated = find_duplicates(completion.text, reading, keys)
    if any(repair.kind == "non_finite" for repair in reading.repairs):
        value = _replace(value, lambda key, item: item is None)
    if repeated:
        value = _replace_at(value, repeated)
    doubted = any(_contradicts(_first_object(reading.value), _first_object(rival)) for rival in reading.rivals)
    if value is not reading.value:
        leaves = count_all(value)[1]
    return Answer(value, doubted, len(repeated)), leaves


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


def _replace_at(value: Any, paths: tuple[tuple[str | int, ...], ...]) -> Any:
    """A copy in which CONFLICTING stands at each of `paths`."""
    value = _replace(value, lambda key, item: False)
    for path in paths:
        owner = value
        for name in path[:-1]:
            owner = owner[name]
            if owner is CONFLICTING:
                break
        else:
            owner[path[-1]] = CONFLICTING
    return value


def _replace(value: Any, unsaid: Any) -> Any:
    """A copy in which CONFLICTING stands for each leaf or member that `unsaid(key, item)` names; as deep as it may be."""
    top: list[Any] = [None]
    stack: list[tuple[Any, Any, Any, Any]] = [(value, top, 0, None)]
    while stack:
        item, place, at, key = stack.pop()
        if unsaid(key, item):
            place[at] = CONFLICTING
        elif isinstance(item, dict):
            place[at] = copy = dict.fromkeys(item)
            stack.extend((child, copy, name, name) for name, child in item.items())
        elif isinstance(item, list):
            place[at] = copied = [None] * len(item)
            stack.extend((child, copied, index, None) for index, child in enumerate(item))
        else:
            place[at] = item
    return top[0]


def _contradicts(chosen: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether the other object gives a key of the chosen one another value."""
    if not chosen or not other:
        return False
    return any(key in chosen and not _is_same(chosen[key], item) for key, item in other.items())


def _is_same(one: Any, other: Any) -> bool:
    """Equality of JSON values: 5 is 5.0, 1 is not true, and the order of keys says nothing; beyond 200 levels by writing."""
    stack = [(one, other, 0)]
    while stack:
        a, b, depth = stack.pop()
        if isinstance(a, dict) and isinstance(b, dict) and depth < 200:
            if a.keys() != b.keys():
                return False
            stack.extend((item, b[key], depth + 1) for key, item in a.items())
        elif isinstance(a, list) and isinstance(b, list) and depth < 200:
            if len(a) != len(b):
                return False
            stack.extend((x, y, depth + 1) for x, y in zip(a, b, strict=True))
        elif (depth < 200 and (isinstance(a, bool) != isinstance(b, bool) or a != b)) or (
            depth >= 200 and repr(a) != repr(b)
        ):
            return False
    return True


def _first_object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    return value if isinstance(value, dict) else None
