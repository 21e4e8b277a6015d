"""What a node of a JSON Schema allows, in words a person would use, and what was probably meant by a value it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rewards.writing.writable import clean_message

Schema = dict[str, Any]
ANYTHING = "any value"
_WIDEST = 60


def describe(schema: Schema, root: Schema) -> str:
    """What a JSON Schema node allows, in words: `a whole number of at least 2`."""
    words: list[str] = []
    for option in options_of(schema, root):
        words += [show_value(value) for value in option["enum"]] if "enum" in option else [_describe_one(option, root)]
    words = list(dict.fromkeys(words))
    return ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]


def _describe_one(schema: Schema, root: Schema) -> str:
    if "const" in schema:
        return show_value(schema["const"])
    kind = schema.get("type")
    if kind == "boolean":
        return "true or false"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _describe_range(schema)
    if kind == "array":
        places = schema.get("prefixItems")
        if places and schema.get("maxItems") == len(places):
            kinds = list(dict.fromkeys(describe(place, root) for place in places))
            return f"a list of {len(places)} entries, {kinds[0] + ' each' if len(kinds) == 1 else ', '.join(kinds)}"
        items = schema.get("items", {})
        return f"a list {_describe_count(schema, 'Items', 'entries')}whose entries are {describe(items, root)}"
    if kind == "object":
        if "properties" in schema:
            return f"a section with the keys {', '.join(schema['properties'])}"
        return "a mapping of names to values"
    if kind == "string":
        if schema.get("format") == "path":
            return "a path"
        return f"a string {_describe_count(schema, 'Length', 'characters')}".rstrip()
    return "null" if kind == "null" else ANYTHING


def _describe_count(schema: Schema, what: str, unit: str) -> str:
    """Least and most entries or characters: `of at least 2 entries `; empty where any number will do."""
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if high is None:
        return "" if not low else "that is not empty " if low == 1 else f"of at least {low} {unit} "
    if low == high:
        return f"of {low} {unit} "
    return f"of {low} to {high} {unit} " if low else f"of at most {high} {unit} "


def _describe_range(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        bounds = [f"from {low} to {high}"]
    else:
        bounds = [
            f"{word} {bound}"
            for word, bound in (("of at least", low), ("above", above), ("up to", high), ("below", below))
            if bound is not None
        ]
    step = schema.get("multipleOf")
    return (" " + " and ".join(bounds) if bounds else "") + (f", a multiple of {step}" if step is not None else "")


def hint(value: Any, schema: Schema, root: Schema) -> str:
    """What to write instead, as the end of a line; empty where nothing is near."""
    kinds = {option.get("type") for option in options_of(schema, root)}
    if isinstance(value, str):
        if "boolean" in kinds and value.lower() in ("yes", "on", "no", "off", "y", "n"):
            return (
                f"; YAML's {value} is a string here, write {'true' if value.lower() in ('yes', 'on', 'y') else 'false'}"
            )
        if "boolean" in kinds and value.lower() in ("true", "false"):
            return "; write it without quotes"
        if kinds & {"integer", "number"}:
            return _hint_number(value, kinds)
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return f"; write {int(value)}"
    return ""


def _hint_number(text: str, kinds: set[str | None]) -> str:
    for cleaned, reason in (
        (text.replace("_", ""), "numbers have no underscores, write {}"),
        (text.replace(",", "."), "numbers have a decimal point, write {}"),
        (text, "write it without quotes"),
    ):
        if cleaned == text and "quotes" not in reason:
            continue
        try:
            number = float(cleaned)
        except ValueError:
            continue
        whole = "number" not in kinds
        if whole and not number.is_integer():
            return ""
        return "; " + reason.format(cleaned)
    return ""


def options_of(schema: Schema, root: Schema) -> list[Schema]:
    """The node, or the alternatives it is made of, without references."""
    schema = resolve(schema, root)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if not alternatives:
        return [schema]
    return [inner for option in alternatives for inner in options_of(option, root)]


def resolve(schema: Schema, root: Schema) -> Schema:
    """The node itself, where it only refers to another."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def leaves_of(schema: Schema, root: Schema, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key below a node: its dotted path and its last part."""
    for option in options_of(schema, root):
        for name, inner in option.get("properties", {}).items():
            shown = f"{prefix}.{name}" if prefix else name
            yield shown, name
            yield from leaves_of(inner, root, shown)


def show_value(value: Any) -> str:
    """A refused value on one line, cut where it is long."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):  # keys of other types, integers of thousands of digits, depth
        text = clean_message(value, _WIDEST)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
