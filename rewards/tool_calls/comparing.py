"""Comparing one call with another: arguments as leaves, once both sides have their types."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from rewards.answers import CONFLICTING
from rewards.documents.leaves import LeafRules, compare, flatten
from rewards.tool_calls.calls import Call
from rewards.tool_calls.child_tags import list_children
from rewards.tool_calls.values import read_json

_WORDS = {"true": True, "false": False, "null": None, "none": None}
_LOOSE = re.compile(r"[ ,./\-_*^]")


@dataclass(frozen=True)
class ArgumentRules(LeafRules):
    """Leaves of arguments: integers are exact at any length, as identifiers must be; other numbers to 9 digits."""

    @property
    def whole(self) -> int:
        return _NO_LIMIT

    def read(self, value: Any) -> Any:
        if type(value) is int:
            return value
        if type(value) is float and isfinite(value) and value.is_integer():
            return int(value)
        return super().read(value)


_NO_LIMIT = 1 << 64


class Pair(NamedTuple):
    """Leaves of two calls: right, expected and given; a call without arguments counts as one leaf."""

    right: int
    expected: int
    given: int

    @property
    def exact(self) -> bool:
        return self.right == self.expected == self.given


def compare_calls(right: Call, said: Call, rules: LeafRules) -> Pair:
    """Two calls of one function, after typing: a dialect without types says what the other side's types make of it."""
    given = said.arguments
    if right.allowed is not None:
        expected, given = _choose(right.allowed, said)
    elif right.typed and not said.typed:
        expected = right.arguments
        given = {key: type_like(expected.get(key, CONFLICTING), value) for key, value in given.items()}
    elif said.typed and not right.typed:
        expected = {key: type_like(given.get(key, CONFLICTING), value) for key, value in right.arguments.items()}
    elif right.typed:
        expected = right.arguments
    else:
        expected = {key: _type_pair(value, given.get(key, CONFLICTING)) for key, value in right.arguments.items()}
        given = {key: _type_pair(value, right.arguments.get(key, CONFLICTING)) for key, value in given.items()}
    counted = compare(flatten(expected, rules), flatten(given, rules), rules)
    # Members around the call are nobody's arguments, unless the reference has such members too.
    offered = counted.given + max(0, said.surplus - right.surplus)
    if not counted.expected and not offered:
        return Pair(1, 1, 1)
    return Pair(counted.right, counted.expected or 1, offered or 1)


def count_leaves(call: Call, rules: LeafRules) -> int:
    """The leaves of a call that has no partner."""
    if call.allowed is not None:
        arguments: Any = {key: values[0] for key, values in call.allowed.items() if "" not in values}
    elif call.typed:
        arguments = call.arguments
    else:
        arguments = {key: type_like(CONFLICTING, value) for key, value in call.arguments.items()}
    return (flatten(arguments, rules).size + call.surplus) or 1


def type_like(model: Any, written: Any) -> Any:
    """A text as the value that it writes, where the other side has no text there; CONFLICTING: nothing is known of it."""
    if not isinstance(written, str) or isinstance(model, str):
        return written
    stripped = written.strip()
    if isinstance(model, bool) or model is None:
        return _WORDS.get(stripped.lower(), written)
    if model is CONFLICTING and not stripped.startswith(("{", "[")):
        return written
    if isinstance(model, (dict, list)) and stripped.startswith("<"):
        return _type_tags(model, stripped, written)
    value = read_json(stripped)
    if value is CONFLICTING and isinstance(model, (dict, list)):
        from rewards.extraction import extract_json

        value = extract_json(stripped).value
    if model is CONFLICTING and not isinstance(value, (dict, list)):
        return written
    return written if value is None or value is CONFLICTING else value


def _type_tags(model: dict[str, Any] | list[Any], tags: str, written: str) -> Any:
    """An object or a list whose members are tags of their own; the text where it is something else."""
    children = list_children(tags)
    if not children:
        return written
    if isinstance(model, list):
        known = [*model, *[CONFLICTING] * len(children)]
        return [type_like(one, text) for one, (_, text) in zip(known, children, strict=False)]
    return {key: type_like(model.get(key, CONFLICTING), text) for key, text in children}


def _type_pair(written: Any, other: Any) -> Any:
    """Where neither side has types: containers and the words true, false and null are what they write, numbers are texts."""
    if not isinstance(written, str) or written == other:
        return written
    word = written.strip().lower()
    return _WORDS[word] if word in _WORDS else type_like(CONFLICTING, written)


def _choose(allowed: Any, said: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the allowed values those that were given, else the first; an argument that may be left out is not expected."""
    expected: dict[str, Any] = {}
    given = dict(said.arguments)
    for key, values in allowed.items():
        if key not in given:
            if "" not in values:
                expected[key] = values[0]
            continue
        for value in values:
            typed = given[key] if said.typed else type_like(_model(value), given[key])
            if _fits(value, typed):
                expected[key] = given[key] = typed
                break
        else:
            expected[key] = next((value for value in values if value != ""), "")
    return expected, given


def _model(value: Any) -> Any:
    return value if value is not None else None


def _fits(option: Any, value: Any) -> bool:
    """Whether a value is one that BFCL's checker takes: texts without case and punctuation, objects member by member."""
    if isinstance(option, str) and isinstance(value, str):
        return option == value or _loosen(option) == _loosen(value)
    if isinstance(option, bool) or isinstance(value, bool):
        return option is value
    if isinstance(option, dict) and isinstance(value, dict):
        for key, values in option.items():
            values = values if isinstance(values, list) else [values]
            if key not in value:
                if "" not in values:
                    return False
            elif not any(_fits(each, value[key]) for each in values):
                return False
        return value.keys() <= option.keys()
    if isinstance(option, list) and isinstance(value, list):
        return len(option) == len(value) and all(map(_fits, option, value))
    return type(option) in (int, float, type(None)) and option == value


def _loosen(text: str) -> str:
    return _LOOSE.sub("", text).lower().replace("'", '"')
