"""Comparing two JSON values leaf by leaf: equal values at equal paths, lists of objects matched to each other best-first."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, NamedTuple

from rewards.functions.answers import UNSAID
from rewards.functions.portuguese import fold
from rewards.functions.quantities import read_quantity

MATCHED_PER_ITEM, MATCHED_EXTRA = 4, 16
"""Of a given list of objects the first 4 n + 16 are matched with n expected ones; the others are wrong anyway."""

MATCHING_STEPS = 100_000
"""Comparisons of leaves that the matching of lists may take in all; what is left is paired in order."""

_BEYOND_FLOAT = 2**53
_LONGEST_VOLATILE = 50
_UUID = re.compile(
    r"(?:urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z", re.ASCII | re.IGNORECASE
)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?\s?(?:Z|[+-][0-9]{2}:?[0-9]{2})?\Z",
    re.ASCII,
)
VOLATILE_VALUES: Mapping[str, re.Pattern[str]] = {"uuid": _UUID, "time": _TIME}
"""Kinds of values that nobody can know: UUIDs, and ISO-8601 dates with a time of day."""

_INNER: Any = object()
_HIDDEN: Any = object()


class Comparison(NamedTuple):
    """Counts of leaves: right in path and value, right in path, expected, and given."""

    right: int
    right_paths: int
    expected: int
    given: int

    @property
    def precision(self) -> float:
        return self.right / self.given if self.given else float(not self.expected)

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else float(not self.given)

    @property
    def field_f1(self) -> float:
        return _f1(self.right, self.expected, self.given)

    @property
    def key_f1(self) -> float:
        return _f1(self.right_paths, self.expected, self.given)

    @property
    def exact(self) -> bool:
        return self.right == self.expected == self.given


def _f1(shared: int, expected: int, given: int) -> float:
    return 2 * shared / (expected + given) if expected + given else 1.0


@dataclass(frozen=True)
class LeafRules:
    """When two leaves are equal, and which are left out on both sides.

    `ignore` holds bare keys, left out anywhere, and dotted paths from the top (`a.b`, `*` for any key), list positions not
    counted; `key.*` is the same as `key`. `ignore_values` names kinds of VOLATILE_VALUES. Two numbers are equal to `digits`
    significant digits, within the share `relative_tolerance` of the expected one, or within the absolute tolerance of
    their key. `units` names kinds of quantities, so that `10 ms` equals `0.01 s`.
    """

    ignore: tuple[str, ...] = ()
    ignore_values: tuple[str, ...] = ()
    digits: int = 9
    fold_text: bool = False
    relative_tolerance: float = 0.0
    tolerances: Mapping[str, float] = field(default_factory=dict)
    units: frozenset[str] = frozenset()
    match_lists: bool = True

    @cached_property
    def keys(self) -> frozenset[str]:
        return frozenset(entry for entry in map(_without_star, self.ignore) if "." not in entry)

    @cached_property
    def paths(self) -> dict[str, Any] | None:
        """The dotted paths as a tree of keys; a leaf of the tree is an empty dict, so that deep values stay linear."""
        tree: dict[str, Any] = {}
        for entry in map(_without_star, self.ignore):
            if "." in entry:
                node = tree
                for key in entry.split("."):
                    node = node.setdefault(key, {})
        return tree or None

    @cached_property
    def volatile(self) -> tuple[re.Pattern[str], ...]:
        return tuple(VOLATILE_VALUES[kind] for kind in self.ignore_values)

    def step(self, tree: dict[str, Any] | None, key: str) -> tuple[bool, dict[str, Any] | None]:
        """Whether the member `key` is left out, and the tree of paths below it."""
        if key in self.keys:
            return True, None
        if tree is None:
            return False, None
        below = tree.get(key, tree.get("*"))
        return below == {}, below or None

    def read(self, value: Any) -> Any:
        """A hashable stand-in that is equal exactly when two leaves are: 1 and 1.0 are, 1 and true are not.

        _INNER for a container with something in it, _HIDDEN for a leaf that is left out.
        """
        if isinstance(value, str):
            if self.volatile and len(value) <= _LONGEST_VOLATILE and any(kind.match(value) for kind in self.volatile):
                return _HIDDEN
            if self.units and (quantity := read_quantity(value, self.units)) is not None:
                return (quantity.kind, self._round(quantity.amount))
            return ("text", fold(value) if self.fold_text else value)
        if value is None or isinstance(value, bool):
            return ("literal", str(value))
        if isinstance(value, int) and abs(value) > _BEYOND_FLOAT:
            return ("number", value)
        if isinstance(value, (int, float)) and isfinite(value):
            return ("number", self._round(value))
        if isinstance(value, (dict, list)) and value:
            if self.units and isinstance(value, dict) and (quantity := read_quantity(value, self.units)) is not None:
                return (quantity.kind, self._round(quantity.amount))
            return _INNER
        return ("nothing", None if value is UNSAID else type(value).__name__)

    def _round(self, number: float) -> float:
        return (
            number if isinstance(number, int) and abs(number) < 10**self.digits else float(f"{number:.{self.digits}g}")
        )

    @property
    def tolerant(self) -> bool:
        return self.relative_tolerance > 0 or bool(self.tolerances)

    def same(self, expected: tuple, given: tuple, key: str | None = None) -> bool:
        """Whether two stand-ins are equal; `key` is the nearest key above them."""
        if expected == given:
            return expected[1] is not None
        if not self.tolerant or expected[0] != given[0] or expected[0] in ("text", "literal", "nothing"):
            return False
        allowed = self.tolerances.get(key, 0.0) if key is not None and expected[0] == "number" else 0.0
        try:
            allowed = max(allowed, self.relative_tolerance * abs(expected[1]))
            return abs(expected[1] - given[1]) <= allowed * (1 + 1e-9)
        except OverflowError:
            return False


def _without_star(entry: str) -> str:
    return entry.removesuffix(".*")


def compare(expected: Any, given: Any, rules: LeafRules, expected_size: int | None = None) -> Comparison:
    """Compare two JSON values; `expected_size` spares counting the leaves of a value that is compared often.

    Linear in the size of `given`, whatever it holds, times the depth of the lists of objects in `expected`.
    """
    size = count_leaves(expected, rules) if expected_size is None else expected_size
    right = right_paths = 0
    steps = _Steps(MATCHING_STEPS)
    stack: list[tuple[Any, Any, Any, str | None]] = [(expected, given, rules.paths, None)]
    while stack:
        one, other, tree, key = stack.pop()
        leaf, said = rules.read(one), rules.read(other)
        if leaf is _INNER and said is _INNER:
            if isinstance(one, dict) and isinstance(other, dict):
                for name, child in one.items():
                    if name in other:
                        hidden, below = rules.step(tree, name)
                        if not hidden:
                            stack.append((child, other[name], below, name))
            elif isinstance(one, list) and isinstance(other, list):
                stack.extend((one[i], other[j], tree, key) for i, j in _pair_items(one, other, rules, steps))
        elif leaf not in (_INNER, _HIDDEN) and said not in (_INNER, _HIDDEN):
            right_paths += 1
            right += rules.same(leaf, said, key)
    return Comparison(right, right_paths, size, count_leaves(given, rules))


def count_leaves(value: Any, rules: LeafRules) -> int:
    """Number of leaves that are compared; an empty container is one."""
    return sum(1 for _ in _leaves(value, rules))


def _leaves(value: Any, rules: LeafRules) -> Iterator[Any]:
    stack: list[tuple[Any, Any]] = [(value, rules.paths)]
    while stack:
        item, tree = stack.pop()
        leaf = rules.read(item)
        if leaf is _HIDDEN:
            continue
        if leaf is not _INNER:
            yield leaf
        elif isinstance(item, dict):
            for key, child in item.items():
                hidden, below = rules.step(tree, key)
                if not hidden:
                    stack.append((child, below))
        else:
            stack.extend((child, tree) for child in item)


class _Steps:
    """What is left of the work that matching lists may take."""

    __slots__ = ("left",)

    def __init__(self, left: int):
        self.left = left


class _Outline(NamedTuple):
    """An item of a list as a bag of leaves whose paths forget positions in inner lists."""

    leaves: Mapping[tuple[int, ...] | int, Sequence[tuple]]
    size: int

    def key(self) -> frozenset:
        return frozenset((path, frozenset(Counter(leaves).items())) for path, leaves in self.leaves.items())


def _pair_items(
    expected: Sequence[Any], given: Sequence[Any], rules: LeafRules, steps: _Steps
) -> list[tuple[int, int]]:
    """Positions to be compared: objects with the objects that they are most alike, everything else by its place."""
    if not rules.match_lists or (len(expected) == 1 and len(given) == 1):
        return [(at, at) for at in range(min(len(expected), len(given)))]
    wanted = [at for at, item in enumerate(expected) if isinstance(item, dict)]
    offered = [at for at, item in enumerate(given) if isinstance(item, dict)]
    pairs = [
        (at, at)
        for at, (one, other) in enumerate(zip(expected, given, strict=False))
        if not isinstance(one, dict) and not isinstance(other, dict)
    ]
    if wanted and offered:
        pairs += _match(
            expected, wanted, given, offered[: MATCHED_PER_ITEM * len(wanted) + MATCHED_EXTRA], rules, steps
        )
    return pairs


def _match(
    expected: Sequence[Any],
    wanted: list[int],
    given: Sequence[Any],
    offered: list[int],
    rules: LeafRules,
    steps: _Steps,
) -> list[tuple[int, int]]:
    """Pair objects best-first: equal ones, then the most alike, then what is left in order."""
    paths: dict[tuple[int, Any], int] = {}
    lefts = {at: _outline(expected[at], rules, paths) for at in wanted}
    rights = {at: _outline(given[at], rules, paths) for at in offered}
    pairs: list[tuple[int, int]] = []
    same: dict[frozenset, deque[int]] = {}
    for at in wanted:
        same.setdefault(lefts[at].key(), deque()).append(at)
    for at in offered:
        equal = same.get(rights[at].key())
        if equal:
            pairs.append((equal.popleft(), at))
    wanted = [at for at in wanted if at not in {one for one, _ in pairs}]
    offered = [at for at in offered if at not in {other for _, other in pairs}]
    scored = []
    for one in wanted:
        for other in offered:
            left, right = lefts[one], rights[other]
            steps.left -= 1 + min(len(left.leaves), len(right.leaves))
            if steps.left < 0:
                break
            scored.append((-_likeness(left, right, rules), abs(one - other), one, other))
    ones, others = set(wanted), set(offered)
    for _, _, one, other in sorted(scored):
        if one in ones and other in others:
            pairs.append((one, other))
            ones.discard(one)
            others.discard(other)
    return pairs + list(zip(sorted(ones), sorted(others), strict=False))


def _outline(item: Any, rules: LeafRules, paths: dict[tuple[int, Any], int]) -> _Outline:
    leaves: dict[int, list[tuple]] = {}
    size = 0
    stack: list[tuple[int, Any, str | None]] = [(0, item, None)]
    while stack:
        path, value, key = stack.pop()
        leaf = rules.read(value)
        if leaf is _HIDDEN:
            continue
        if leaf is not _INNER:
            leaves.setdefault(path, [(leaf, key)]) if path not in leaves else leaves[path].append((leaf, key))
            size += 1
        elif isinstance(value, dict):
            for name, child in value.items():
                if name not in rules.keys:
                    stack.append((paths.setdefault((path, name), len(paths) + 1), child, name))
        else:
            stack.extend((path, child, key) for child in value)
    return _Outline(leaves, size)


def _likeness(left: _Outline, right: _Outline, rules: LeafRules) -> float:
    """Share of equal leaves of two items, a path that both have counting a little too."""
    if len(left.leaves) > len(right.leaves):
        smaller, larger, turned = right.leaves, left.leaves, True
    else:
        smaller, larger, turned = left.leaves, right.leaves, False
    shared = 0.0
    for path, mine in smaller.items():
        theirs = larger.get(path)
        if theirs is None:
            continue
        shared += 0.01 * min(len(mine), len(theirs))
        if len(mine) == len(theirs) == 1:
            (one, key), (other, _) = (theirs[0], mine[0]) if turned else (mine[0], theirs[0])
            shared += rules.same(one, other, key)
        else:
            shared += (Counter(mine) & Counter(theirs)).total()
    return 2 * shared / (left.size + right.size) if left.size + right.size else 0.0
