"""A JSON Schema compiled into rules that give a verdict, and the share of them that a value keeps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from rewards.errors import UserError
from rewards.schemas.keywords import KEYWORDS
from rewards.schemas.nodes import Broken, Node, Rule, escape, make_assertion, same_value
from rewards.schemas.unknown_keys import find_unknown

MAX_DEPTH = 32
"""Deeper values are refused unread: no schema that describes an answer needs more, and recursion has an end."""

_DRAFTS = {
    "draft-06": 7,
    "draft-07": 7,
    "2019-09": 2019,
    "2020-12": 2020,
}
_UNSUPPORTED = ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")


class Judgement(NamedTuple):
    """`share` in 0..1 is 1.0 exactly when the value is `valid`; `broken` holds the first broken rules.

    It is the mean over the rules of the top, where each key's value and all items of a list are one rule, worth the same
    mean over their own times FAULTY when not 1.

    `unknown` are JSON pointers of keys that the schema names nowhere, also where it tolerates them; `keys` counts all
    keys of the objects whose keys it names.
    """

    valid: bool
    share: float
    broken: tuple[Broken, ...]
    unknown: tuple[str, ...]
    keys: int


class Schema:
    """A compiled schema, drafts 6, 7, 2019-09 and 2020-12; `format` is an annotation, as jsonschema has it by default.

    Raises UserError with every fault: a reference that leads nowhere or in a circle, a bad pattern, a keyword of the
    wrong type, one that is not supported.
    """

    def __init__(self, document: Any, name: str = "schema"):
        builder = Builder(document, name)
        self._root = builder.node(document, "#")
        builder.finish()

    def is_valid(self, value: Any) -> bool:
        """The verdict alone; what is nested deeper than MAX_DEPTH is not valid."""
        return depth_within(value, MAX_DEPTH) and self._root.check(value)

    def judge(self, value: Any) -> Judgement:
        if not depth_within(value, MAX_DEPTH):
            return Judgement(False, 0.0, (Broken("", "depth", f"nested deeper than {MAX_DEPTH}"),), (), 0)
        unknown: list[str] = []
        keys = find_unknown([self._root], value, "", unknown)
        if self._root.check(value):
            return Judgement(True, 1.0, (), tuple(unknown), keys)
        broken: list[Broken] = []
        kept, rules = self._root.grade(value, "", broken)
        # A mean over very many items may round to 1 although one of them is wrong.
        return Judgement(False, min(kept / rules if rules else 0.0, 0.9999), tuple(broken), tuple(unknown), keys)


class Builder:
    """Turns a document into nodes; a node is made once for each place, so that references may be recursive."""

    def __init__(self, document: Any, name: str):
        self.document, self.name = document, name
        self.problems: list[str] = []
        self.nodes: dict[str, Node] = {}
        self.identified: dict[str, str] = {}
        self.draft = 2020
        if isinstance(document, Mapping):
            self.draft = self._read_draft(document.get("$schema"))
        self._index(document, "#")

    def finish(self) -> None:
        for place, node in self.nodes.items():
            if _leads_to(node, node):
                self.problems.append(f"{self.name}: {place}: refers to itself without an end; cut the circle")
            node.seal()
        if self.problems:
            raise UserError(self.problems)

    def node(self, schema: Any, place: str) -> Node:
        if place in self.nodes:
            return self.nodes[place]
        node = self.nodes[place] = Node()
        if schema is True:
            return node
        if schema is False:
            node.rules.append(make_assertion("false", lambda value: False, lambda value: "nothing is allowed here"))
            return node
        if not isinstance(schema, Mapping):
            self._fault(place, f"{type(schema).__name__} is no schema; write an object, true or false")
            return node
        if "$ref" in schema:
            self._refer(node, schema["$ref"], place)
            if self.draft == 7:
                return node
        for keyword in _UNSUPPORTED:
            if keyword in schema:
                self._fault(
                    f"{place}/{keyword}", "not supported; write the rule with additionalProperties, items or $ref"
                )
        for keyword, build in KEYWORDS.items():
            if keyword in schema:
                try:
                    build(self, node, schema, place)
                except (TypeError, ValueError, AttributeError, re.error) as error:
                    self._fault(f"{place}/{keyword}", f"malformed ({error})")
        return node

    def child(self, schema: Mapping, place: str, *keys: str) -> Node:
        value: Any = schema
        for key in keys:
            value = value[key]
            place = f"{place}/{escape(key)}"
        return self.node(value, place)

    def _fault(self, place: str, text: str) -> None:
        self.problems.append(f"{self.name}: {place}: {text}")

    def _read_draft(self, identifier: Any) -> int:
        if identifier is None:
            return 2020
        for name, draft in _DRAFTS.items():
            if isinstance(identifier, str) and name in identifier:
                return draft
        self._fault("#/$schema", f"{identifier!r} is not supported; allowed are {', '.join(_DRAFTS)}")
        return 2020

    def _index(self, value: Any, place: str) -> None:
        """Where `$id` and `$anchor` stand; data inside enum and const is no schema."""
        if isinstance(value, Mapping):
            for keyword in ("$id", "$anchor"):
                if isinstance(value.get(keyword), str):
                    found = value[keyword] if keyword == "$id" else f"#{value[keyword]}"
                    self.identified.setdefault(found.removesuffix("#") or "#", place)
            for key, child in value.items():
                if key not in ("enum", "const", "default", "examples"):
                    self._index(child, f"{place}/{escape(str(key))}")
        elif isinstance(value, list):
            for index, child in enumerate(value):
                self._index(child, f"{place}/{index}")

    def _refer(self, node: Node, reference: Any, place: str) -> None:
        if not isinstance(reference, str):
            self._fault(f"{place}/$ref", f"{reference!r} is no text")
            return
        target = self._find(reference)
        if target is None:
            self._fault(f"{place}/$ref", f"{reference!r} is not in this document; make it one with schema import")
            return
        inner = self.node(*target)
        node.same.append(inner)
        node.rules.append(Rule(lambda value: inner.valid(value), lambda *all_of_it: inner.grade(*all_of_it)))

    def _find(self, reference: str) -> tuple[Any, str] | None:
        base, _, fragment = reference.partition("#")
        start = "#" if not base else self.identified.get(base)
        if start is None:
            return None
        if fragment and not fragment.startswith("/"):
            anchored = self.identified.get(f"#{fragment}")
            return None if anchored is None else (self._walk(anchored), anchored)
        place = start + unquote(fragment)
        found = self._walk(place)
        return None if found is _NOTHING else (found, place)

    def _walk(self, place: str) -> Any:
        value = self.document
        for key in place.split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return _NOTHING
        return value


_NOTHING = object()


def _leads_to(start: Node, goal: Node) -> bool:
    """Whether judging a value with `start` would come to judge the same value with `goal` again."""
    seen: set[int] = set()
    pending = list(same_value(start))
    while pending:
        node = pending.pop()
        if node is goal:
            return True
        if id(node) not in seen:
            seen.add(id(node))
            pending.extend(same_value(node))
    return False


def depth_within(value: Any, limit: int) -> bool:
    """Whether no object or list stands deeper than `limit` others; level by level, so that any depth will do."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return True
    return False
