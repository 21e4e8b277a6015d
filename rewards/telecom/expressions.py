"""Expressions of intents: JSON, JSON-LD and Turtle that stand as a text within a document, read as what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rewards.documents.units import name_any_unit
from rewards.schemas.rules import depth_within
from rewards.telecom.equals import UNIT_KEYS
from rewards.telecom.graphs import build_graph
from rewards.telecom.turtle import LONGEST, order_key, read_turtle

DEEPEST = 40
"""Levels of an expression; what is deeper stays a text."""

_BRACKETS = ("{", "[")
_LD_KEYS = frozenset(("@context", "@graph", "@value", "@list", "@id"))
_KEPT_LONG = 5_000
_LOOKED_AT = 2_000
_VALUE = "expressionValue"
TURTLE, JSON_LD, GRAPHS = "Turtle", "JSON-LD", "graphs"
_NAMING = ("@type", "expressionLanguage")
_AS_TURTLE = {"JsonLdExpression": "TurtleExpression", JSON_LD: TURTLE}
_IRI = re.compile(r"[A-Za-z_][\w.-]{0,40}:(?!//)[^\s:]{1,200}", re.ASCII)


def read_expression(text: str) -> Any:
    """The object, list or graph that a text writes as JSON, JSON-LD or Turtle; None where it is another text."""
    if len(text) > LONGEST:
        return None
    return _read_short(text) if len(text) <= _KEPT_LONG else _read(text)


def _read(text: str) -> Any:
    stripped = text.strip()
    if stripped[:1] in _BRACKETS:
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, (dict, list)) and depth_within(value, DEEPEST):
            return value
    return read_turtle(stripped)


_read_short = lru_cache(maxsize=1024)(_read)


def expand(value: Any) -> Any:
    """A copy whose texts that are JSON, JSON-LD or Turtle are what they write, in one form for equal graphs.

    The caller makes sure that the value is not deeper than recursion can go.
    """
    if isinstance(value, str):
        inner = read_expression(value) if len(value) > 8 and (value[:1] in _BRACKETS or ":" in value) else None
        return value if inner is None else settle(inner)
    if isinstance(value, dict):
        if not _LD_KEYS.isdisjoint(value):
            return settle(value)
        return {key: expand(child) for key, child in value.items()}
    return [expand(child) for child in value] if isinstance(value, list) else value


def find_notation(value: Any) -> str:
    """`Turtle` or `JSON-LD` where a document's first expression is written so, else empty."""
    stack, left = [value], _LOOKED_AT
    while stack and left:
        item = stack.pop()
        left -= 1
        if isinstance(item, list):
            stack += item
        elif isinstance(item, dict):
            written = item.get(_VALUE)
            if isinstance(written, str):
                read = read_expression(written)
                if read is not None:
                    return JSON_LD if isinstance(read, list) or not _LD_KEYS.isdisjoint(read) else _name_text(written)
            if isinstance(written, dict) and not _LD_KEYS.isdisjoint(written):
                return JSON_LD
            stack += item.values()
    return ""


def _name_text(written: str) -> str:
    return "" if written.lstrip()[:1] in _BRACKETS else TURTLE


def expand_to_graphs(value: Any) -> Any:
    """As `expand`, but JSON-LD takes the form that Turtle is read in, so that one graph in either notation is equal.

    What names the notation, where it is the right name, is Turtle's too.
    """
    if isinstance(value, list):
        return [expand_to_graphs(item) for item in value]
    if not isinstance(value, dict):
        return expand(value)
    expanded = {key: expand_to_graphs(child) for key, child in value.items() if key != _VALUE}
    if _VALUE not in value:
        return expanded
    written = value[_VALUE]
    read = read_expression(written) if isinstance(written, str) else written
    if isinstance(read, dict) and not _LD_KEYS.isdisjoint(read):
        graph = build_graph(settle(read))
        named = {key: _AS_TURTLE.get(str(child), child) for key, child in expanded.items() if key in _NAMING}
        return {**expanded, **named, _VALUE: graph}
    return {**expanded, _VALUE: expand(written)}


def settle(value: Any) -> Any:
    """JSON-LD in one form: prefixes resolved, `@context` gone, `@value` a plain value; anything else as it is."""
    if not isinstance(value, dict) or _LD_KEYS.isdisjoint(value):
        return value
    prefixes: dict[str, str] = {}
    written = value.get("@context", [])
    contexts = written if isinstance(written, list) else [written]
    for context in contexts:
        if isinstance(context, dict):
            prefixes.update(_read_context(context))
    return _settle({key: child for key, child in value.items() if key != "@context"}, prefixes, False)


def _read_context(context: Mapping[str, Any]) -> dict[str, str]:
    """Names by what they stand for; a term may be an object with an @id, and shortened by another term."""
    named = {
        key: iri["@id"] if isinstance(iri, dict) else iri
        for key, iri in context.items()
        if isinstance(iri, str) or (isinstance(iri, dict) and isinstance(iri.get("@id"), str))
    }
    return {
        key: f"{named[iri.partition(':')[0]]}{iri.partition(':')[2]}"
        if ":" in iri and not iri.startswith("@") and iri.partition(":")[0] in named and iri.partition(":")[0] != key
        else iri
        for key, iri in named.items()
    }


def _settle(value: Any, prefixes: dict[str, str], naming: bool) -> Any:
    if isinstance(value, dict):
        if "@value" in value and not isinstance(value["@value"], (dict, list)):
            return _read_value(value)
        members = {
            _resolve(key, prefixes): _settle(child, prefixes, key in ("@type", "@id", "type"))
            for key, child in value.items()
        }
        return members["@id"] if len(members) == 1 and "@id" in members else members
    if isinstance(value, list):
        items = [_settle(child, prefixes, naming) for child in value]
        if len(items) == 1:
            return items[0]
        return sorted(items, key=order_key) if all(not isinstance(item, (dict, list)) for item in items) else items
    return _resolve(value, prefixes) if isinstance(value, str) and (naming or _IRI.fullmatch(value)) else value


def _read_value(value: dict[str, Any]) -> Any:
    plain, kind = value["@value"], str(value.get("@type", ""))
    # A member beside it is none of JSON-LD's, but the commonest way in which a unit is written there.
    beside = next((value[key] for key in UNIT_KEYS if isinstance(value.get(key), str)), kind)
    unit = re.split(r"[#/:]", beside)[-1] if "://" in beside or ":" in beside else beside
    if isinstance(plain, (str, int, float)) and not isinstance(plain, bool) and name_any_unit(unit) is not None:
        return f"{plain} {unit}"
    if isinstance(plain, str) and re.search(r"(integer|decimal|double|float|int|long)$", kind):
        try:
            return json.loads(plain)
        except ValueError:
            return plain
    return plain


def _resolve(name: str, prefixes: dict[str, str]) -> str:
    if name.startswith("@"):
        return name
    prefix, colon, rest = name.partition(":")
    if colon:
        return f"{prefixes[prefix]}{rest}" if prefix in prefixes else name
    return prefixes.get(name, f"{prefixes['@vocab']}{name}" if "@vocab" in prefixes else name)
