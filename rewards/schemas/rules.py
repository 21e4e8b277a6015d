"""A JSON Schema compiled into rules: jsonschema-rs gives the verdict, and these the share of them that a value keeps."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from rewards.errors import UserError
from rewards.schemas.keywords import KEYWORDS
from rewards.schemas.nodes import Broken, Rule, SchemaNode, escape, make_assertion, same_value
from rewards.schemas.places import NOTHING, SchemaPlaces
from rewards.schemas.unknown_keys import find_unknown
from rewards.schemas.verdict import (
    HEAVY_CHARACTERS,
    SLOW_TEXTS,
    Pattern,
    SchemaVerdict,
    Shelf,
    check_schema,
    find_draft,
    is_heavy,
    is_slow,
)

MAX_DEPTH = 32
"""Deeper values are refused unread: no schema that describes an answer needs more, and recursion has an end."""

_UNREAD = (
    "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "contentEncoding", "contentMediaType",
)  # fmt: skip
_SHOWN_UNREAD = 3


class Judgement(NamedTuple):
    """`share` in 0..1 is 1.0 exactly when the value is `valid`; `broken` holds the first broken rules.

    It is the mean over the rules of the top, where each key's value and all items of a list are one rule, worth the same
    mean over their own times FAULTY when not 1. The keywords of the schema that are not graded are together one rule more.

    `unknown` are JSON pointers of keys that the schema names nowhere, also where it tolerates them; `keys` counts all
    keys of the objects whose keys it names.
    """

    valid: bool
    share: float
    broken: tuple[Broken, ...]
    unknown: tuple[str, ...]
    keys: int


class Schema:
    """A compiled schema, drafts 4 to 2020-12; `format` is a rule where `formats` says so, and else an annotation.

    `shelf` is where other schemas that it refers to may lie. `unread` names the keywords that the share does not grade.
    Raises UserError with every fault: what is not a schema of its draft, a reference that leads nowhere or in a circle, a bad
    pattern.
    """

    def __init__(self, document: Any, name: str = "schema", formats: bool = False, shelf: Shelf | None = None):
        problems = check_schema(document, name)
        if problems:
            raise UserError(problems)
        try:
            builder = Builder(document, name, formats)
            self._root, self._recall = builder.node(document, "#"), builder.recall
            builder.finish()
        except RecursionError:
            raise UserError(f"{name}: #: nested too deep to be read as a schema") from None
        try:
            self._verdict = SchemaVerdict(document, name, formats, shelf)
        except UserError as error:
            raise UserError(builder.lost or error.problems) from None
        builder.unread.update(dict.fromkeys(place for place, _ in builder.lost_places))
        self.unread = tuple(builder.unread)
        self._unread_keywords = frozenset(place.rpartition("/")[2] for place in self.unread)
        self._slow = any(is_slow(pattern) for pattern in builder.patterns)
        self._heavy = any(is_heavy(pattern) for pattern in builder.patterns)

    def is_valid(self, value: Any) -> bool:
        """The verdict alone; what is nested deeper than MAX_DEPTH is not valid."""
        return self._refuse(value) is None and self._verdict.is_valid(value)

    def judge(self, value: Any) -> Judgement:
        """Whether a value is valid, the share of the rules that it keeps (0..1), and what it breaks."""
        refused = self._refuse(value)
        if refused is not None:
            return Judgement(False, 0.0, (refused,), (), 0)
        with self._recall:
            return self._judge(value)

    def _judge(self, value: Any) -> Judgement:
        unknown: list[str] = []
        keys = find_unknown([self._root], value, "", unknown)
        if self._verdict.is_valid(value):
            return Judgement(True, 1.0, (), tuple(unknown), keys)
        broken: list[Broken] = []
        kept, rules = self._root.grade(value, "", broken)
        if self.unread:
            kept, rules = self._grade_unread(value, kept, rules, broken)
        if not broken:
            fault = next(iter(self._verdict.list_faults(value, _MANY)), None)
            broken = [Broken(*fault)] if fault else broken
        # A mean over very many items may round to 1 although one of them is wrong.
        return Judgement(False, min(kept / rules if rules else 0.0, 0.9999), tuple(broken), tuple(unknown), keys)

    def _grade_unread(self, value: Any, kept: float, rules: float, broken: list[Broken]) -> tuple[float, float]:
        """All keywords that are not graded as one rule: broken where the verdict blames one, or where nothing else is broken."""
        from rewards.answers import count_all

        faults = self._verdict.list_faults(value, count_all(value)[1])
        blamed = [fault for fault in faults if fault.keyword in self._unread_keywords]
        if not blamed and broken:
            return kept + 1.0, rules + 1.0
        named = ", ".join(self.unread[:_SHOWN_UNREAD]) + (", ..." if len(self.unread) > _SHOWN_UNREAD else "")
        for fault in blamed[:1] or faults[:1]:
            broken.append(Broken(fault.place, fault.keyword, f"{fault.message} (one rule for {named})"))
        return kept, rules + 1.0

    def _refuse(self, value: Any) -> Broken | None:
        if not depth_within(value, MAX_DEPTH):
            return Broken("", "depth", f"nested deeper than {MAX_DEPTH}")
        texts, characters = count_texts(value) if self._slow or self._heavy else (0, 0)
        if self._slow and texts > SLOW_TEXTS:
            return Broken("", "pattern", f"more than {SLOW_TEXTS} texts, for a pattern that looks around")
        if self._heavy and characters > HEAVY_CHARACTERS:
            return Broken(
                "", "pattern", f"more than {HEAVY_CHARACTERS} characters, for a pattern of nested repetitions"
            )
        return None


_MANY = 1 << 30


class Recall(threading.local):
    """What references said of the parts of the value at hand: recursion through alternatives asks the same again and again."""

    def __init__(self) -> None:
        self._valid: dict[tuple[int, int], bool] = {}
        self._grades: dict[tuple[int, int], tuple[float, float]] = {}

    def __enter__(self) -> None:
        self._forget()

    def __exit__(self, *_: object) -> None:
        # The values are known by their addresses, which others take over.
        self._forget()

    def _forget(self) -> None:
        self._valid.clear()
        self._grades.clear()

    def remember(self, node: SchemaNode) -> Rule:
        """The rule of a reference to a node."""

        def valid(value: Any) -> bool:
            if not isinstance(value, (dict, list)):
                return node.valid(value)
            key = (id(node), id(value))
            known = self._valid.get(key)
            if known is None:
                known = self._valid[key] = node.valid(value)
            return known

        def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
            if not isinstance(value, (dict, list)):
                return node.grade(value, place, broken)
            key = (id(node), id(value))
            known = self._grades.get(key)
            if known is None:
                known = self._grades[key] = node.grade(value, place, broken)
            return known

        return Rule(valid, grade)


class Builder:
    """Turns a document into nodes; a node is made once for each place, so that references may be recursive.

    `unread` holds the places of keywords that are not graded, `lost` what to say of references that lead nowhere here.
    """

    def __init__(self, document: Any, name: str, formats: bool = False):
        self.document, self.name, self.formats = document, name, formats
        self.problems: list[str] = []
        self.lost_places: list[tuple[str, str]] = []
        self.nodes: dict[str, SchemaNode] = {}
        self.unread: dict[str, None] = {}
        self.patterns: set[str] = set()
        self.recall = Recall()
        self.draft = _GRADED_DRAFTS.get(find_draft(document) or 2020, 2020)
        self.places = SchemaPlaces(document, self.draft)

    @property
    def lost(self) -> list[str]:
        return [
            f"{self.name}: {place}: {said!r} is not in this document; make it one with schema import"
            for place, said in self.lost_places
        ]

    def finish(self) -> None:
        for place, node in self.nodes.items():
            if _leads_to(node, node):
                self.problems.append(f"{self.name}: {place}: refers to itself without an end; cut the circle")
            node.seal()
        if self.problems:
            raise UserError(self.problems)

    def node(self, schema: Any, place: str) -> SchemaNode:
        if place in self.nodes:
            return self.nodes[place]
        node = self.nodes[place] = SchemaNode()
        if schema is True:
            return node
        if schema is False:
            node.rules.append(make_assertion("false", lambda value: False, lambda value: "nothing is allowed here"))
            return node
        if not isinstance(schema, Mapping):
            return node
        if "$ref" in schema:
            self._refer(node, schema["$ref"], place)
            if self.draft == 7:
                return node
        for keyword in _UNREAD:
            if keyword in schema:
                self.leave_unread(place, keyword)
        if self.formats and "format" in schema:
            self.leave_unread(place, "format")
        for keyword, build in KEYWORDS.items():
            if keyword in schema:
                try:
                    build(self, node, schema, place)
                except (TypeError, ValueError, AttributeError, KeyError, re.error):
                    self.leave_unread(place, keyword)
        return node

    def leave_unread(self, place: str, keyword: str) -> None:
        """Note a keyword that the share cannot grade; the verdict heeds it all the same."""
        self.unread[f"{place}/{keyword}"] = None

    def pattern(self, text: str) -> Pattern:
        self.patterns.add(text)
        return Pattern(text)

    def child(self, schema: Mapping, place: str, *keys: str) -> SchemaNode:
        value: Any = schema
        for key in keys:
            value = value[key]
            place = f"{place}/{escape(key)}"
        return self.node(value, place)

    def _refer(self, node: SchemaNode, reference: Any, place: str) -> None:
        target = self.places.find(str(reference), place)
        found = NOTHING if target is None else self.places.walk(target)
        if target is None or found is NOTHING:
            self.lost_places.append((f"{place}/$ref", str(reference)))
            return
        inner = self.node(found, target)
        node.same.append(inner)
        node.rules.append(self.recall.remember(inner))


# Drafts 4 and 6 differ from 7 in nothing that is graded.
_GRADED_DRAFTS = {4: 7, 6: 7, 7: 7, 2019: 2019, 2020: 2020}


def _leads_to(start: SchemaNode, goal: SchemaNode) -> bool:
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


def count_texts(value: Any) -> tuple[int, int]:
    """The texts and keys of a value, and their characters; however deep."""
    texts, characters, stack = 0, 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            texts += len(item)
            characters += sum(map(len, item))
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, str):
            texts += 1
            characters += len(item)
    return texts, characters
