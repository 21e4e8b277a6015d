"""Comparing two JSON values leaf by leaf: equal values at equal paths, lists of objects matched to each other best-first."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

from rewards.documents.identifiers import VOLATILE_VALUES, is_identifier
from rewards.documents.quantities import read_quantity
from rewards.documents.signs import EMPTY_LIST, EMPTY_OBJECT, FALSE, HIDDEN, TRUE, Sign
from rewards.text.portuguese import compose, fold

MATCHED_PER_ITEM, MATCHED_EXTRA = 4, 16
"""Of a given list of objects the first 4 n + 16 are matched with n expected ones; the others are wrong anyway."""
MATCHING_STEPS = 100_000
"""Comparisons of leaves that the matching of lists may take in all; what is left is paired in order."""

_BEYOND_FLOAT = 2**53
_EXACT_DIGITS = 9
"""From this many digits on, whole numbers are compared exactly."""

_LONGEST_VOLATILE = 50


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
    """When two leaves are equal, and which are left out on both sides. Texts and keys compare composed (NFC).

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
        """A hashable stand-in for a leaf, equal exactly when two leaves are: 1 and 1.0 are, 1 and true are not.

        A container with something in it comes back as it is, and HIDDEN for a leaf that is left out.
        """
        if isinstance(value, str):
            if self.volatile and len(value) <= _LONGEST_VOLATILE and any(kind.match(value) for kind in self.volatile):
                return HIDDEN
            if self.units and (quantity := read_quantity(value, self.units)) is not None:
                return (quantity.kind, self._round(quantity.amount))
            return fold(value) if self.fold_text else compose(value)
        if value is None:
            return None
        if isinstance(value, bool):
            return TRUE if value else FALSE
        if isinstance(value, float):
            if not isfinite(value):
                return Sign("not finite")
            if not value.is_integer() or abs(value) > _BEYOND_FLOAT:
                return self._round(value)
            value = int(value)
        if isinstance(value, int):
            exact = abs(value) < self.whole or self.digits >= _EXACT_DIGITS or abs(value) > _BEYOND_FLOAT
            return value if exact else self._round(value)
        if isinstance(value, (dict, list)):
            if not value:
                return EMPTY_OBJECT if isinstance(value, dict) else EMPTY_LIST
            if self.units and isinstance(value, dict) and (quantity := read_quantity(value, self.units)) is not None:
                return (quantity.kind, self._round(quantity.amount))
            return value
        # CONFLICTING, or what no JSON has: never equal to anything.
        return Sign("unsaid")

    def read_identifier(self, value: Any) -> Any:
        """The same under a key that identifies: a whole number is exact, a text keeps its case, accents and units."""
        if isinstance(value, str) and not self.volatile:
            return compose(value)
        return value if type(value) is int else self.read(value)

    @cached_property
    def verbatim(self) -> bool:
        """Whether every text stands for itself."""
        return not (self.volatile or self.units or self.fold_text)

    @cached_property
    def whole(self) -> int:
        """Integers below it have no digits to be rounded away."""
        return 10**self.digits

    def _round(self, number: float) -> float:
        return float(f"{number:.{self.digits}g}")

    @property
    def tolerant(self) -> bool:
        return self.relative_tolerance > 0 or bool(self.tolerances)

    def same(self, expected: Any, given: Any, key: str | None = None) -> bool:
        """Whether two stand-ins are equal; `key` is the nearest key above them."""
        if expected == given:
            return True
        if not self.tolerant or (key is not None and is_identifier(key) and key not in self.tolerances):
            return False
        allowed = 0.0
        if isinstance(expected, tuple) and isinstance(given, tuple) and expected[0] == given[0]:
            expected, given = expected[1], given[1]
        elif isinstance(expected, (int, float)) and isinstance(given, (int, float)):
            allowed = self.tolerances.get(key, 0.0) if key is not None else 0.0
        else:
            return False
        try:
            allowed = max(allowed, self.relative_tolerance * abs(expected))
            return abs(expected - given) <= allowed * (1 + 1e-9)
        except OverflowError:
            return False


class Flat(NamedTuple):
    """A JSON value made ready to be compared: leaves as stand-ins, what is left out gone, and the number of leaves."""

    value: Any
    size: int


def _without_star(entry: str) -> str:
    return entry.removesuffix(".*")


def flatten(value: Any, rules: LeafRules) -> Flat:
    """Prepare a value once; no recursion, so that it may be as deep as it likes."""
    size = 0
    top = [value]
    stack: list[tuple[Any, Any, Any]] = [([value], top, rules.paths)]
    whole, verbatim = rules.whole, rules.verbatim
    selective = bool(rules.keys) or rules.paths is not None
    while stack:
        source, copy, tree = stack.pop()
        keyed = isinstance(source, dict)
        for at, item in source.items() if keyed else enumerate(source):
            below = tree
            if keyed and selective:
                hidden, below = rules.step(tree, str(at))
                if hidden:
                    del copy[at]
                    continue
            kind = type(item)
            if (kind is str and verbatim and item.isascii()) or (kind is int and -whole < item < whole):
                # Most leaves stand for themselves.
                size += 1
                continue
            leaf = rules.read_identifier(item) if keyed and is_identifier(at) else rules.read(item)
            if leaf is HIDDEN and keyed:
                del copy[at]
            elif isinstance(leaf, (dict, list)):
                if isinstance(leaf, dict) and not all(map(str.isascii, leaf)):
                    leaf = {compose(name): child for name, child in leaf.items()}
                copy[at] = leaf.copy()
                stack.append((leaf, copy[at], below))
            else:
                copy[at] = leaf
                size += leaf is not HIDDEN
    return Flat(top[0], size)


def compare(expected: Flat, given: Flat, rules: LeafRules) -> Comparison:
    """Compare two values that `flatten` prepared with the same rules.

    Linear in the size of `given`, whatever it holds, times the depth of the lists of objects in `expected`.
    """
    right = right_paths = 0
    steps = MatchingSteps(MATCHING_STEPS)
    stack: list[tuple[Any, Any, str | None]] = [(expected.value, given.value, None)]
    while stack:
        one, other, key = stack.pop()
        if isinstance(one, dict):
            if not isinstance(other, dict):
                continue
            for name, child in one.items():
                if name not in other:
                    continue
                found = other[name]
                if isinstance(child, (dict, list)):
                    stack.append((child, found, name))
                elif not isinstance(found, (dict, list)):
                    right_paths += 1
                    right += child == found or rules.same(child, found, name)
        elif isinstance(one, list):
            if isinstance(other, list):
                stack.extend([(one[i], other[j], key) for i, j in pair_items(one, other, rules, steps)])
        elif not isinstance(other, (dict, list)) and one is not HIDDEN and other is not HIDDEN:
            right_paths += 1
            right += rules.same(one, other, key)
    return Comparison(right, right_paths, expected.size, given.size)


class MatchingSteps:
    """What is left of the work that matching lists may take."""

    __slots__ = ("left",)

    def __init__(self, left: int):
        self.left = left


class _Outline(NamedTuple):
    """An item of a list as leaves by path, where paths forget positions in inner lists; each leaf with its nearest key."""

    leaves: dict[int, list[tuple[Any, str | None]]]
    size: int

    def key(self) -> frozenset:
        """Equal for items with the same leaves at the same paths, each as often."""
        return frozenset(
            [
                (path, leaves[0] if len(leaves) == 1 else frozenset(Counter(leaves).items()))
                for path, leaves in self.leaves.items()
            ]
        )


def pair_items(
    expected: Sequence[Any], given: Sequence[Any], rules: LeafRules, steps: MatchingSteps
) -> list[tuple[int, int]]:
    """Positions to be compared: objects with the objects that they are most alike, everything else by its place."""
    shorter = min(len(expected), len(given))
    if not rules.match_lists or len(expected) == len(given) == 1:
        return [(at, at) for at in range(shorter)]
    pairs, wanted, offered = [], [], []
    for at in range(shorter):
        one, other = isinstance(expected[at], dict), isinstance(given[at], dict)
        if one and other and _differ(expected[at], given[at]):
            wanted.append(at)
            offered.append(at)
        elif one == other:
            pairs.append((at, at))
        else:
            (wanted if one else offered).append(at)
    wanted += [at for at in range(shorter, len(expected)) if isinstance(expected[at], dict)]
    most = MATCHED_PER_ITEM * len(wanted) + MATCHED_EXTRA
    rest = (at for at in range(shorter, len(given)) if isinstance(given[at], dict))
    offered = [*offered, *islice(rest, most)][:most]
    return pairs + (_match(expected, wanted, given, offered, rules, steps) if wanted and offered else [])


def _differ(one: Any, other: Any) -> bool:
    try:
        return one != other
    except RecursionError:  # nested deeper than Python compares
        return True


def _match(
    expected: Sequence[Any],
    wanted: list[int],
    given: Sequence[Any],
    offered: list[int],
    rules: LeafRules,
    steps: MatchingSteps,
) -> list[tuple[int, int]]:
    """Pair objects best-first: equal ones, then the most alike, then what is left in order."""
    if len(wanted) == len(offered) == 1:
        return [(wanted[0], offered[0])]
    paths: dict[tuple[int, Any], int] = {}
    lefts = {at: _outline(expected[at], paths) for at in wanted}
    rights = {at: _outline(given[at], paths) for at in offered}
    pairs: list[tuple[int, int]] = []
    same: dict[frozenset, deque[int]] = {}
    for at in wanted:
        same.setdefault(lefts[at].key(), deque()).append(at)
    for at in offered:
        equal = same.get(rights[at].key())
        if equal:
            pairs.append((equal.popleft(), at))
    ones, others = set(wanted), set(offered)
    ones.difference_update(one for one, _ in pairs)
    others.difference_update(other for _, other in pairs)
    scored = []
    for one in sorted(ones):
        for other in sorted(others):
            left, right = lefts[one], rights[other]
            steps.left -= 1 + len(left.leaves)
            if steps.left < 0:
                break
            scored.append((-_likeness(left, right, rules), abs(one - other), one, other))
    for _, _, one, other in sorted(scored):
        if one in ones and other in others:
            pairs.append((one, other))
            ones.discard(one)
            others.discard(other)
    return pairs + list(zip(sorted(ones), sorted(others), strict=False))


def _outline(item: Any, paths: dict[tuple[int, Any], int]) -> _Outline:
    """`paths` numbers the paths, the same for all items: joined, the names of a deep path would be quadratic."""
    leaves: dict[int, list[tuple[Any, str | None]]] = {}
    size = 0
    stack: list[tuple[int, Any, str | None]] = [(0, item, None)]
    while stack:
        path, value, key = stack.pop()
        if isinstance(value, dict):
            for name, child in value.items():
                stack.append((paths.setdefault((path, name), len(paths) + 1), child, name))
        elif isinstance(value, list):
            stack.extend((path, child, key) for child in value)
        elif value is not HIDDEN:
            leaves.setdefault(path, []).append((value, key))
            size += 1
    return _Outline(leaves, size)


def _likeness(left: _Outline, right: _Outline, rules: LeafRules) -> float:
    """Share of equal leaves of two items, a path that both have counting a little too."""
    shared = 0.0
    for path, mine in left.leaves.items():
        theirs = right.leaves.get(path)
        if theirs is None:
            continue
        shared += 0.01 * min(len(mine), len(theirs))
        if len(mine) == len(theirs) == 1:
            (one, key), (other, _) = mine[0], theirs[0]
            shared += one == other or rules.same(one, other, key)
        else:
            shared += (Counter(mine) & Counter(theirs)).total()
    return 2 * shared / (left.size + right.size) if left.size + right.size else 0.0
