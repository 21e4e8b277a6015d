"""JSON values as JSON Schema sees them: their types, and when two are equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.schemas.nodes import Check


def comparable(value: Any) -> Any:
    """A hashable stand-in, equal exactly when two JSON values are: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return ("boolean", value)
    if isinstance(value, dict):
        return ("object", frozenset((key, comparable(child)) for key, child in value.items()))
    if isinstance(value, list):
        return ("array", tuple(comparable(child) for child in value))
    return value


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_array(value: Any) -> bool:
    return isinstance(value, list)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_number(value: Any) -> bool:
    """True is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """1.0 is one, true is not."""
    return type(value) is int or (isinstance(value, float) and value.is_integer())


TYPES: Mapping[str, Check] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": is_text,
    "array": is_array,
    "object": is_object,
    "number": is_number,
    "integer": is_integer,
}
"""What a value of each type of JSON Schema is."""

_SURE: Mapping[Check, tuple[str, ...]] = {
    is_text: ("string",),
    is_array: ("array",),
    is_object: ("object",),
    is_number: ("number", "integer"),
}


def unless_sure(applies: Check, schema: Mapping) -> Check | None:
    """None where the schema's type has been checked before its other rules are, and says that the rule applies."""
    return None if schema.get("type") in _SURE[applies] else applies
