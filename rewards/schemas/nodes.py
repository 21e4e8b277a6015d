"""The compiled form of a JSON Schema: nodes, and the rules that each holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rewards.schemas.verdict import Pattern

FAULTY = 0.75
"""Factor for a value that breaks a rule, at each level: else a fault far down would cost next to nothing at the top."""

_MAX_BROKEN = 50


class Broken(NamedTuple):
    """One rule that is not kept: `place` is a JSON pointer into the value, empty for the top."""

    place: str
    keyword: str
    message: str

    def __str__(self) -> str:
        return f"{self.place or 'top'}: {self.message}"


Check = Callable[[Any], bool]
Grade = Callable[[Any, str, list[Broken]], tuple[float, float]]


class Rule(NamedTuple):
    valid: Check
    grade: Grade


class SchemaNode:
    """One schema: its rules, and what it says about keys, for finding the unknown ones."""

    __slots__ = (
        "applied", "branches", "check", "conditional", "extra", "inside", "lists", "named", "patterns", "rules", "same", "typed",
    )  # fmt: skip

    def __init__(self) -> None:
        self.typed: Rule | None = None
        self.rules: list[Rule] = []
        self.named: dict[str, SchemaNode] = {}
        self.patterns: list[tuple[Pattern, SchemaNode]] = []
        self.extra: SchemaNode | None = None
        self.lists: Callable[[int], SchemaNode | None] | None = None
        self.same: list[SchemaNode] = []
        self.branches: list[SchemaNode] = []
        self.applied: list[SchemaNode] = []
        self.conditional: tuple[SchemaNode, SchemaNode | None, SchemaNode | None] | None = None
        self.check: Check = self.valid
        self.inside: frozenset[str] | None = None

    def seal(self) -> None:
        """Makes ready for many values what will not change any more: `check`, which is `valid` in fewer calls, and `inside`."""
        checks = [rule.valid for rule in ([] if self.typed is None else [self.typed]) + self.rules]
        if len(checks) == 1:
            self.check = checks[0]
        elif len(checks) == 2:
            first, second = checks
            self.check = lambda value: first(value) and second(value)
        elif len(checks) == 3:
            first, second, third = checks
            self.check = lambda value: first(value) and second(value) and third(value)
        if self.named and not (self.patterns or self.same or self.branches or self.conditional is not None):
            self.inside = frozenset(key for key, node in self.named.items() if node.looks_inside())

    def looks_inside(self) -> bool:
        """Whether it may say something about the keys of an object, or of those in a list."""
        return bool(
            self.named or self.patterns or self.same or self.branches or self.extra or self.lists or self.conditional
        )

    def valid(self, value: Any) -> bool:
        """Whether the value keeps every rule of this node and of those below it."""
        if self.typed is not None and not self.typed.valid(value):
            return False
        # A plain loop: a generator costs more than most rules.
        for rule in self.rules:  # noqa: SIM110
            if not rule.valid(value):
                return False
        return True

    def grade(self, value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
        """Rules kept and rules that apply; a value of the wrong type keeps none of the others."""
        kept = rules = 0.0
        if self.typed is not None:
            kept, rules = self.typed.grade(value, place, broken)
            if not kept:
                return kept, rules
            if isinstance(value, (dict, list)):
                # A pair of braces is not a merit: an object earns what its keys earn.
                kept = rules = 0.0
        for rule in self.rules:
            good, all_of_it = rule.grade(value, place, broken)
            kept += good
            rules += all_of_it
        return kept, rules

    def says_something(self) -> bool:
        return self.typed is not None or bool(self.rules)

    def share(self, value: Any, place: str, broken: list[Broken]) -> float:
        """What a value earns of the one rule that it is to what stands above it."""
        kept, rules = self.grade(value, place, broken)
        return 1.0 if kept == rules else FAULTY * kept / rules


Build = Callable[[Any, SchemaNode, Mapping, str], None]
"""Adds to a node what one keyword asks: from the builder, the node, the schema, and the place of the schema."""


def escape(key: str) -> str:
    """A key as one step of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def make_assertion(keyword: str, valid: Check, describe: Callable[[Any], str], applies: Check | None = None) -> Rule:
    """A rule that holds or does not, of weight 1 where it applies."""

    def check(value: Any) -> bool:
        return not applies(value) or valid(value)  # type: ignore[misc]

    def grade(value: Any, place: str, broken: list[Broken]) -> tuple[float, float]:
        if applies is not None and not applies(value):
            return 0.0, 0.0
        if valid(value):
            return 1.0, 1.0
        report(broken, place, keyword, describe(value))
        return 0.0, 1.0

    return Rule(valid if applies is None else check, grade)


def show(value: Any) -> str:
    try:
        text = repr(value) if not isinstance(value, (dict, list)) else type(value).__name__
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a very long integer"
    return text if len(text) <= 60 else text[:57] + "..."


def report(broken: list[Broken], place: str, keyword: str, message: str) -> None:
    if len(broken) < _MAX_BROKEN:
        broken.append(Broken(place, keyword, message))


def same_value(node: SchemaNode) -> Iterator[SchemaNode]:
    yield from node.same
    yield from node.branches
    yield from node.applied
    if node.conditional is not None:
        yield from (inner for inner in node.conditional if inner is not None)
