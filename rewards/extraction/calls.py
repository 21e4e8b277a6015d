"""What a constructor call in a Python, JavaScript or Mongo dump stands for."""

from __future__ import annotations

from typing import Any

from rewards.extraction.scalars import read_bare

_NUMBERS = frozenset(
    [
        "Decimal",
        "decimal.Decimal",
        "float",
        "int",
        "NumberInt",
        "NumberLong",
        "NumberDecimal",
        "Fraction",
        "Int64",
        "Long",
    ]
)
_MAPPINGS = frozenset(
    ["OrderedDict", "collections.OrderedDict", "dict", "defaultdict", "collections.defaultdict", "Counter", "Map"]
)
_LISTS = frozenset(
    [
        "list",
        "tuple",
        "set",
        "frozenset",
        "array",
        "np.array",
        "numpy.array",
        "deque",
        "collections.deque",
        "Set",
        "dict_keys",
        "dict_values",
        "dict_items",
        "odict_keys",
        "odict_values",
    ]
)


def resolve_call(name: str, arguments: Any, source: str) -> Any:
    """The value of `name(arguments)`: a number, an object, a list, the one argument, or the source text."""
    if name.startswith("-"):
        value = resolve_call(name[1:], arguments, source)
        return -value if isinstance(value, int | float) else value
    last = name.rsplit(".", 1)[-1]
    if isinstance(arguments, dict):
        return arguments
    if name in _NUMBERS or (
        name.startswith(("np.", "numpy.")) and last.rstrip("0123456789_") in ("int", "uint", "float")
    ):
        if len(arguments) == 1:
            return read_bare(arguments[0].strip())[0] if isinstance(arguments[0], str) else arguments[0]
    elif name in _MAPPINGS:
        for argument in reversed(arguments):
            if isinstance(argument, dict):
                return argument
            pairs = resolve_pairs(argument)
            if pairs is not None:
                return pairs
        return {}
    elif name == "str" and len(arguments) == 1 and isinstance(arguments[0], int | float):
        return str(arguments[0])
    elif name == "bool" and len(arguments) == 1:
        return bool(arguments[0])
    elif name in _LISTS:
        return next((argument for argument in arguments if isinstance(argument, list)), [])
    elif len(arguments) == 1 and last[:1] != "" and not last.startswith(("date", "time")):
        return arguments[0]
    return source.strip()


def takes_options(name: str) -> bool:
    """True for a call whose keywords say how its argument is kept, not what it is."""
    last = name.lstrip("-").rsplit(".", 1)[-1]
    return last in ("tensor", "Tensor", "Series", "Parameter", "Variable") or last in _LISTS or name in _NUMBERS


def resolve_pairs(value: Any) -> dict[str, Any] | None:
    """[["a", 1], ["b", 2]] as an object; None where it is not such a list."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value):
        return None
    return {key: item for key, item in value}
