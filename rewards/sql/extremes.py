"""What stands behind an extreme or the first of a list: the rows it was chosen from, which tell more than the one chosen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from rewards.sql.ties import find_clauses, resolve_key, split_items, without_direction

_EXTREMES = {"max": True, "min": False}
_NOISE = 1e-6
_DECIMALS = 4
"""To which numbers are rounded before rows are compared: adding up in another order must not make others of them."""


class Extreme(NamedTuple):
    """`sql` selects every label with its measure; `measure` is what is ordered by, `greatest` whether the most wins."""

    sql: str
    measure: tuple[str, ...]
    greatest: bool


@lru_cache(maxsize=4096)
def find_extreme(tokens: tuple[str, ...]) -> Extreme | None:
    """The choice that a statement ends in: the one MAX or MIN of its select list, or ORDER BY one key with a LIMIT."""
    places = find_clauses(tokens)
    if places is None:
        return None
    select, source, order = places
    items = [_strip(item) for item in split_items(tokens[select + 1 : source])]
    if order is None:
        return _find_aggregate(tokens, select, source, items)
    if "limit" not in tokens[order:]:
        return None
    written = split_items(tokens[order + 2 : order + tokens[order:].index("limit")])[0]
    measure = resolve_key(without_direction(written), items)
    # An extreme of itself, SELECT price ... ORDER BY price, has no other label.
    labels = [(*label, ",") for label in items if label != measure]
    chosen = (*tokens[:select], "select", "distinct", *(token for label in labels for token in label), *measure)
    return Extreme(" ".join((*chosen, *tokens[source:order])), _unqualify(measure), "desc" in written)


def _find_aggregate(tokens: tuple[str, ...], select: int, source: int, items: list[tuple[str, ...]]) -> Extreme | None:
    item, rest = items[0], tokens[source:]
    depth = 0
    for token in rest:
        depth += (token == "(") - (token == ")")
        if not depth and token in ("group", "having", "limit"):
            return None
    if len(items) != 1 or len(item) < 4 or item[0] not in _EXTREMES or item[1] != "(" or item[-1] != ")":
        return None
    inner = item[2:-1]
    if len(split_items(inner)) != 1 or not _is_balanced(inner):
        return None
    sql = " ".join((*tokens[:select], "select distinct", *inner, *rest))
    return Extreme(sql, _unqualify(inner), _EXTREMES[item[0]])


def _is_balanced(tokens: Iterable[str]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if depth < 0:
            return False
    return not depth


def _strip(item: tuple[str, ...]) -> tuple[str, ...]:
    """A select item without DISTINCT and its name."""
    item = item[1:] if item[:1] == ("distinct",) else item
    return item[:-2] if len(item) > 2 and item[-2] == "as" else item


def _unqualify(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """`t . column` as `column`, and every way to count rows as one."""
    kept = tuple(
        token for at, token in enumerate(tokens) if token != "." and (at + 1 == len(tokens) or tokens[at + 1] != ".")
    )
    return ("count", "(", "*", ")") if kept in (("count", "(", "1", ")"), ("sum", "(", "1", ")")) else kept


def compare_choices(
    right: Iterable[tuple], given: Iterable[tuple], greatest: bool
) -> Literal["same", "other", "unknown"]:
    """Whether two statements chose from the same rows, of which the last column is the measure.

    Rows that only one has may stand behind all those that both have, where no choice reaches: `WHERE total > 0`. `other`
    where they stand among them, or where a label that both have has another measure.
    """
    mine, theirs = _round(right), _round(given)
    if mine == theirs:
        return "same"
    if not mine or not theirs or len({isinstance(row[-1], str) for row in mine | theirs}) > 1:
        return "unknown"
    first, second = ({row[:-1]: row[-1] for row in side} for side in (mine, theirs))
    if () not in first and len(first) == len(mine) and len(second) == len(theirs):
        shared = [(first[label], second[label]) for label in first if label in second]
        if any(one != other for one, other in shared):
            return "unknown" if _are_proportional(shared) else "other"
    both, single = mine & theirs, mine ^ theirs
    if not both:
        return "unknown"
    last = (min if greatest else max)(row[-1] for row in both)
    behind = all(row[-1] <= last if greatest else row[-1] >= last for row in single)
    return "unknown" if behind else "other"


def _are_proportional(pairs: list[tuple]) -> bool:
    """Whether every second number is the first times one factor, as of a measure in cents."""
    if any(isinstance(value, str) or not value for pair in pairs for value in pair):
        return False
    factors = [other / one for one, other in pairs]
    return max(factors) - min(factors) <= _NOISE * max(map(abs, factors))


def _round(rows: Iterable[tuple]) -> set[tuple]:
    return {
        tuple(round(value, _DECIMALS) if isinstance(value, float) else value for value in row)
        for row in rows
        if row and row[-1] is not None
    }
