"""What stands behind an extreme or the first of a list: the rows it was chosen from, which tell more than the one chosen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from rewards.sql.ties import find_clauses, resolve_key, split_items, without_direction

_EXTREMES = {"max": True, "min": False}
_NOISE = 1e-6
_FEW_LABELS = 3
_DECIMALS = 4
"""To which numbers are rounded before rows are compared: adding up in another order must not make others of them."""


class Extreme(NamedTuple):
    """`sql` selects every label with its measure; `measure` is what is ordered by, `greatest` whether the most wins.

    `ranked` is the same without labels that are counted or added up, `keys` what is ordered by in all.
    """

    sql: str
    measure: tuple[str, ...]
    greatest: bool
    ranked: str = ""
    keys: tuple[tuple[str, ...], ...] = ()


@lru_cache(maxsize=4096)
def find_extreme(tokens: tuple[str, ...]) -> Extreme | None:
    """The choice that a statement ends in: the one MAX or MIN of its select list, or ORDER BY one key with a LIMIT."""
    places = find_clauses(tokens)
    if places is None:
        return None
    select, source, order = places
    written = split_items(tokens[select + 1 : source])
    items = [_strip(item) for item in written]
    if order is None:
        return _find_aggregate(tokens, select, source, items)
    if "limit" not in tokens[order:] or "offset" in tokens[order:] or "," in tokens[len(tokens) - 2 :]:
        return None
    keys = split_items(tokens[order + 2 : order + tokens[order:].index("limit")])
    measure = resolve_key(without_direction(keys[0]), written)
    # An extreme of itself, SELECT price ... ORDER BY price, has no other label.
    labels = [(*label, ",") for label in items if label != measure]
    plain = [label for label in labels if "(" not in label]
    sql, ranked = (
        " ".join(
            (
                *tokens[:select],
                "select",
                "distinct",
                *(token for label in each for token in label),
                *measure,
                *tokens[source:order],
            )
        )
        for each in (labels, plain)
    )
    rest = tuple(_unqualify(resolve_key(tuple(token for token in key if token != "asc"), written)) for key in keys[1:])
    return Extreme(sql, _unqualify(measure), "desc" in keys[0], ranked, rest)


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


def compare_orders(right: Iterable[tuple], given: Iterable[tuple], same_direction: bool) -> Literal["other", "unknown"]:
    """Whether two statements that order by different words put two of the same labels the other way round."""
    sides = []
    for rows in (right, given):
        measures: dict[tuple, Any] = {}
        for row in rows:
            if row and row[-1] is not None and measures.setdefault(row[:-1], row[-1]) != row[-1]:
                return "unknown"  # a label of several rows
        sides.append(measures)
    first, second = sides
    if first.keys() != second.keys() or len(first) < _FEW_LABELS or () in first:
        return "unknown"
    if any(len({isinstance(value, str) for value in side.values()}) > 1 for side in sides):
        return "unknown"
    ranked = sorted(first, key=lambda label: first[label])
    others = [second[label] for label in ranked]
    if not same_direction:
        ranked, others = ranked[::-1], others[::-1]
    # What stands before a strictly lesser one must not be the greater on the other side.
    most = None
    at = 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and not _is_apart(first[ranked[at]], first[ranked[end]]):
            end += 1
        group = others[at:end]
        if most is not None and min(group) < most and _is_apart(min(group), most):
            return "other"
        most = max(group) if most is None else max(most, *group)
        at = end
    return "unknown"


def _is_apart(one: Any, other: Any) -> bool:
    """Whether two measures differ by more than adding up in another order may change."""
    if isinstance(one, str) or isinstance(other, str):
        return one != other
    return abs(one - other) > _NOISE * max(abs(one), abs(other))


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
