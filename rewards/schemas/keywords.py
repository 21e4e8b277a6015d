"""What each keyword of JSON Schema asks, drafts 6 to 2020-12."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

from rewards.schemas.combinations import apply_when, build_all, build_any, build_if, build_not
from rewards.schemas.nodes import Broken, Build, Check, Rule, SchemaNode, escape, make_assertion, report, show
from rewards.schemas.values import TYPES, comparable, is_array, is_number, is_object, is_text, unless_sure


def _build_type(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    names = [schema["type"]] if isinstance(schema["type"], str) else list(schema["type"])
    unknown = [name for name in names if name not in TYPES]
    if unknown:
        raise ValueError(f"no such type: {unknown[0]!r}")
    checks = [TYPES[name] for name in names]
    node.typed = make_assertion(
        "type",
        checks[0] if len(checks) == 1 else lambda value: any(check(value) for check in checks),
        lambda value: f"{show(value)} is not of type {' or '.join(names)}",
    )


def _build_enum(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    allowed = list(schema["enum"])
    known = {comparable(value) for value in allowed}
    shown = ", ".join(show(value) for value in allowed[:8]) + (", ..." if len(allowed) > 8 else "")
    node.rules.append(
        make_assertion(
            "enum",
            lambda value: (value if type(value) is str else comparable(value)) in known,
            lambda value: f"{show(value)} is none of {shown}",
        )
    )


def _build_const(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    right = comparable(schema["const"])
    node.rules.append(
        make_assertion(
            "const",
            lambda value: comparable(value) == right,
            lambda value: f"{show(value)} is not {show(schema['const'])}",
        )
    )


def _bound(keyword: str, applies: Check, holds: Callable[[Any, Any], bool], words: str) -> Build:
    def build(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
        limit = schema[keyword]
        if isinstance(limit, bool):
            # Draft 4's exclusive bounds are flags on the others.
            builder.leave_unread(place, keyword)
            return
        node.rules.append(
            make_assertion(
                keyword,
                lambda value: holds(value, limit),
                lambda value: f"{show(value)} {words} {limit}",
                unless_sure(applies, schema),
            )
        )

    return build


def _build_multiple(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    unit = schema["multipleOf"]
    exact = Fraction(repr(unit))

    def holds(value: Any) -> bool:
        if isinstance(value, int) and isinstance(unit, int):
            return not value % unit
        # As decimals: 0.07 is a multiple of 0.01, which it is not in binary.
        return (Fraction(value if isinstance(value, int) else repr(value)) / exact).denominator == 1

    node.rules.append(
        make_assertion("multipleOf", holds, lambda value: f"{show(value)} is not a multiple of {unit}", is_number)
    )


def _build_pattern(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    search = builder.pattern(schema["pattern"]).search
    node.rules.append(
        make_assertion(
            "pattern",
            search,
            lambda value: f"{show(value)} does not match {schema['pattern']}",
            unless_sure(is_text, schema),
        )
    )


def _build_required(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    keys = list(schema["required"])
    wanted = frozenset(keys)

    def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
        if not isinstance(value, dict):
            return 0.0, 0.0
        missing = [key for key in keys if key not in value]
        for key in missing:
            report(broken, place, "required", f"lacks {key}")
        # A missing key loses its own rule and what its value could have kept.
        return float(len(keys) - len(missing)), float(len(keys) + len(missing))

    node.rules.append(Rule(lambda value: not isinstance(value, dict) or wanted <= value.keys(), grade))


def _build_keys(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    """properties, patternProperties and additionalProperties in one rule, as each depends on the others."""
    if node.named or node.patterns or node.extra is not None:
        return
    node.named = {key: builder.child(schema, place, "properties", key) for key in schema.get("properties", {})}
    node.patterns = [
        (builder.pattern(pattern), builder.child(schema, place, "patternProperties", pattern))
        for pattern in schema.get("patternProperties", {})
    ]
    closed = schema.get("additionalProperties") is False
    if "additionalProperties" in schema and not closed:
        node.extra = builder.child(schema, place, "additionalProperties")
    named, patterns, extra = node.named, node.patterns, node.extra

    def nodes_of(key: str) -> list[SchemaNode] | None:
        found = [named[key]] if key in named else []
        found += [inner for pattern, inner in patterns if pattern.search(key)]
        if found:
            return found
        if closed:
            return None
        return [extra] if extra is not None else []

    def valid(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for key, child in value.items():
            nodes = nodes_of(key)
            if nodes is None or not all(inner.check(child) for inner in nodes):
                return False
        return True

    def valid_without_patterns(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for key, child in value.items():
            inner = named.get(key, extra)
            if inner is None:
                if closed:
                    return False
            elif not inner.check(child):
                return False
        return True

    def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
        kept = rules = 0.0
        if not isinstance(value, dict):
            return kept, rules
        surplus, good = 0, 0.0
        for key, child in value.items():
            nodes = nodes_of(key)
            if nodes is None:
                rules += 1.0
                report(broken, place, "additionalProperties", f"{key[:60]} is not allowed")
                continue
            for inner in nodes:
                share = inner.share(child, f"{place}/{escape(key)}", broken)
                if key in named:
                    kept += share
                    rules += 1.0
                else:
                    surplus += 1
                    good += share
        if surplus:
            # However many free keys: together they are one rule, so that easy ones cannot hide a broken one.
            kept += good / surplus
            rules += 1.0
        return kept, rules

    node.rules.append(Rule(valid if patterns else valid_without_patterns, grade))


def _build_items(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    """items, prefixItems and additionalItems; all items together are one rule, however many."""
    if node.lists is not None:
        return
    first = "prefixItems" if builder.draft == 2020 else "items"
    leading = schema.get(first)
    leading = (
        [builder.node(inner, f"{place}/{first}/{index}") for index, inner in enumerate(leading)]
        if isinstance(leading, list)
        else []
    )
    rest = "items" if builder.draft == 2020 or not isinstance(schema.get("items"), list) else "additionalItems"
    others = builder.child(schema, place, rest) if rest in schema else None

    def node_at(index: int) -> SchemaNode | None:
        return leading[index] if index < len(leading) else others

    node.lists = node_at

    def valid(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        for inner, item in zip(leading, value, strict=False):
            if not inner.check(item):
                return False
        if others is not None:
            check = others.check
            for item in value[len(leading) :] if leading else value:
                if not check(item):
                    return False
        return True

    def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
        if not isinstance(value, list) or not value:
            return 0.0, 0.0
        total = 0.0
        for index, item in enumerate(value):
            inner = node_at(index)
            total += 1.0 if inner is None else inner.share(item, f"{place}/{index}", broken)
        return total / len(value), 1.0

    node.rules.append(Rule(valid, grade))


def _build_unique(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    if not schema["uniqueItems"]:
        return
    node.rules.append(
        make_assertion(
            "uniqueItems",
            lambda value: len({comparable(item) for item in value}) == len(value),
            lambda value: "repeats an item",
            is_array,
        )
    )


def _build_contains(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    inner = builder.child(schema, place, "contains")
    counted = builder.draft >= 2019
    low = schema.get("minContains", 1) if counted else 1
    high = schema.get("maxContains") if counted else None

    def holds(value: Any) -> bool:
        count = sum(inner.valid(item) for item in value)
        return count >= low and (high is None or count <= high)

    node.rules.append(
        make_assertion("contains", holds, lambda value: "holds too few or too many of the required items", is_array)
    )


def _build_names(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
    inner = builder.child(schema, place, "propertyNames")
    node.rules.append(
        make_assertion(
            "propertyNames",
            lambda value: all(inner.valid(key) for key in value),
            lambda value: "has a key that is not allowed as a name",
            is_object,
        )
    )


def _build_dependent(keyword: str) -> Build:
    def build(builder: Any, node: SchemaNode, schema: Mapping, place: str) -> None:
        # As jsonschema has it: `dependencies` up to draft 7, the other two from 2019-09 on.
        if (keyword == "dependencies") != (builder.draft == 7):
            return
        for key, needed in schema[keyword].items():
            has_key = partial(_has_key, key)
            if isinstance(needed, list):
                words = f"{key} needs {', '.join(needed)}"
                node.rules.append(make_assertion(keyword, partial(_has_keys, needed), partial(_say, words), has_key))
            else:
                inner = builder.child(schema, place, keyword, key)
                node.applied.append(inner)
                node.rules.append(apply_when(has_key, inner))

    return build


def _say(words: str, value: Any) -> str:
    return words


def _has_key(key: str, value: Any) -> bool:
    return isinstance(value, dict) and key in value


def _has_keys(keys: list[str], value: Any) -> bool:
    return all(key in value for key in keys)


KEYWORDS: dict[str, Build] = {
    "type": _build_type,
    "enum": _build_enum,
    "const": _build_const,
    "required": _build_required,
    "properties": _build_keys,
    "patternProperties": _build_keys,
    "additionalProperties": _build_keys,
    "propertyNames": _build_names,
    "minProperties": _bound(
        "minProperties", is_object, lambda value, least: len(value) >= least, "has fewer keys than"
    ),
    "maxProperties": _bound("maxProperties", is_object, lambda value, most: len(value) <= most, "has more keys than"),
    "dependencies": _build_dependent("dependencies"),
    "dependentRequired": _build_dependent("dependentRequired"),
    "dependentSchemas": _build_dependent("dependentSchemas"),
    "prefixItems": _build_items,
    "items": _build_items,
    "contains": _build_contains,
    "minItems": _bound("minItems", is_array, lambda value, least: len(value) >= least, "has fewer items than"),
    "maxItems": _bound("maxItems", is_array, lambda value, most: len(value) <= most, "has more items than"),
    "uniqueItems": _build_unique,
    "minLength": _bound("minLength", is_text, lambda value, least: len(value) >= least, "is shorter than"),
    "maxLength": _bound("maxLength", is_text, lambda value, most: len(value) <= most, "is longer than"),
    "pattern": _build_pattern,
    "minimum": _bound("minimum", is_number, operator.ge, "is below"),
    "maximum": _bound("maximum", is_number, operator.le, "is above"),
    "exclusiveMinimum": _bound("exclusiveMinimum", is_number, operator.gt, "is not above"),
    "exclusiveMaximum": _bound("exclusiveMaximum", is_number, operator.lt, "is not below"),
    "multipleOf": _build_multiple,
    "allOf": build_all,
    "anyOf": build_any("anyOf"),
    "oneOf": build_any("oneOf"),
    "not": build_not,
    "if": build_if,
}
