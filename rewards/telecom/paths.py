"""The places of a JSON value without list positions, and what a layer reward asks of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from math import fsum
from typing import Any, NamedTuple

from rewards.answers import CONFLICTING
from rewards.schemas.values import comparable

Path = tuple[str, ...]
"""The keys that lead to a place; every item of a list is at the same place."""

TYPOS: Mapping[str, str] = {"successProbility": "successProbability"}
"""Keys misspelt in published schemas, and how they are meant; a space at the end of a key is another such slip."""


class ValuePlaces(NamedTuple):
    """Of each place, the kinds of values and the leaves that stand there."""

    kinds: Mapping[Path, frozenset[str]]
    leaves: Mapping[Path, Counter]


def find_places(value: Any, only: Container[Path] | None = None) -> ValuePlaces:
    """Every place of a value, or those of `only`, its top left out; no recursion, so that it may be as deep as it likes."""
    kinds: dict[Path, set[str]] = defaultdict(set)
    leaves: dict[Path, Counter] = defaultdict(Counter)
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, holder = stack.pop()
        keyed = isinstance(holder, dict)
        pairs: Iterable[tuple[Any, Any]] = (
            holder.items() if keyed else enumerate(holder if isinstance(holder, list) else ())
        )
        for key, item in pairs:
            here = (*path, key) if keyed else path
            inner = isinstance(item, (dict, list))
            if inner:
                stack.append((here, item))
            if (only is not None and here not in only) or (inner and not keyed):
                continue
            kinds[here].add(_kind_of(item))
            if not inner and item is not CONFLICTING:
                leaves[here][comparable(item)] += 1
    return ValuePlaces({path: frozenset(found) for path, found in kinds.items()}, leaves)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    if value is None or value is CONFLICTING or (isinstance(value, (str, dict, list)) and not value):
        return "empty"
    kinds: dict[type, str] = {dict: "object", list: "list", str: "text"}
    return kinds.get(type(value), "number")


def count_leaves(value: Any) -> int:
    """The number of scalars and empty containers in a value, however deep."""
    count, stack = 0, [value]
    while stack:
        item = stack.pop()
        if item and isinstance(item, (dict, list)):
            stack.extend(item.values() if isinstance(item, dict) else item)
        else:
            count += 1
    return count


def share_present(wanted: Iterable[Path], expected: ValuePlaces, given: ValuePlaces) -> float | None:
    """The share of places that hold a value of a kind that the expected one has there; None where none is wanted."""
    wanted = list(wanted)
    if not wanted:
        return None
    return sum(bool(expected.kinds[path] & given.kinds.get(path, frozenset())) for path in wanted) / len(wanted)


def share_equal(wanted: Iterable[Path], expected: ValuePlaces, given: ValuePlaces) -> float | None:
    """The mean over places of how far they hold the same values; a value too many costs as much as a missing one."""
    shares = []
    for path in wanted:
        right, said = expected.leaves[path], given.leaves.get(path, Counter())
        shares.append((right & said).total() / max(right.total(), said.total()))
    # The paths come in an order of their hashes, which differs between processes: fsum does not depend on it.
    return fsum(shares) / len(shares) if shares else None


def last_key(path: Path) -> str | None:
    """The key that a place stands under; None for a document that is a value, or a list of values, itself."""
    return path[-1] if path else None


def normalise_keys(value: Any, typos: Mapping[str, str] = TYPOS) -> Any:
    """A copy with the published typos set right; where a key stands both ways with two values neither counts."""
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        for key, child in value.items():
            name = typos.get(key.strip(), key.strip())
            child = normalise_keys(child, typos)
            if name in copy and (
                copy[name] is CONFLICTING or child is CONFLICTING or comparable(copy[name]) != comparable(child)
            ):
                child = CONFLICTING
            copy[name] = child
        return copy
    return [normalise_keys(child, typos) for child in value] if isinstance(value, list) else value


def mask_leaves(reference: Any, answer: Any, is_masked: Callable[[Path, Any], bool]) -> tuple[Any, Any]:
    """Both values without the reference's masked leaves.

    Of the answer's leaves at the same place as many are left out as the reference has masked ones there, first those
    that equal none of the others.
    """
    kept: dict[Path, Counter] = defaultdict(Counter)
    masked: Counter = Counter()

    def prune_reference(path: Path, leaf: Any) -> bool:
        if is_masked(path, leaf):
            masked[path] += 1
            return True
        kept[path][comparable(leaf)] += 1
        return False

    def prune_answer(path: Path, leaf: Any) -> bool:
        known = comparable(leaf)
        if kept[path][known] > 0:
            kept[path][known] -= 1
            return False
        if masked[path] > 0:
            masked[path] -= 1
            return True
        return False

    return _prune(reference, (), prune_reference), _prune(answer, (), prune_answer)


_GONE = object()


def _prune(value: Any, path: Path, is_gone: Callable[[Path, Any], bool]) -> Any:
    pruned = _prune_inner(value, path, is_gone)
    return {} if pruned is _GONE else pruned


def _prune_inner(value: Any, path: Path, is_gone: Callable[[Path, Any], bool]) -> Any:
    if isinstance(value, dict) and value:
        children = ((key, _prune_inner(child, (*path, key), is_gone)) for key, child in value.items())
        kept = {key: child for key, child in children if child is not _GONE}
        return kept or _GONE
    if isinstance(value, list) and value:
        items = [child for item in value if (child := _prune_inner(item, path, is_gone)) is not _GONE]
        return items or _GONE
    return _GONE if is_gone(path, value) else value
