"""Outlining a statement into its clauses, and how alike two outlines are: a light look at tokens, no grammar."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rewards.sql.tokens import name_of
from rewards.text.portuguese import list_words


@dataclass(frozen=True, slots=True)
class Outline:
    """The top-level clauses of a statement as bags of normalised texts.

    `constant`: the select list names no column and counts no rows, so that its result would be made up.
    """

    select: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    constant: bool = True


@lru_cache(maxsize=4096)
def outline(tokens: tuple[str, ...]) -> Outline:
    """Split the last top-level SELECT into its select list, its AND-ed conditions, and grouping, order and limit."""
    clauses: dict[str, list[list[str]]] = {"select": [[]], "where": [[]], "tail": [[]], "": [[]]}
    current, depth, between = "", 0, False
    for token in _drop_qualifiers(tokens):
        depth += (token == "(") - (token == ")")
        if depth <= 0:
            if token == "select":
                clauses = {"select": [[]], "where": [[]], "tail": [[]], "": [[]]}
                current = "select"
                continue
            if token in ("from", "union", "except", "intersect"):
                current = ""
                continue
            if token in ("where", "having"):
                current = "where"
                clauses["where"].append([])
                continue
            if token in ("group", "order", "limit"):
                current = "tail"
                clauses["tail"].append([token])
                continue
            if (token == "," and current in ("select", "tail")) or (
                token == "and" and current == "where" and not between
            ):
                clauses[current].append([clauses["tail"][-1][0]] if current == "tail" and clauses["tail"][-1] else [])
                continue
            if token == "and":
                between = False
        if token == "between":
            between = True
        clauses[current][-1].append(token)
    select, where, tail = (_join(clauses[name]) for name in ("select", "where", "tail"))
    return Outline(select, where, tail, constant=not any(_names_data(item) for item in clauses["select"]))


def _drop_qualifiers(tokens: tuple[str, ...]) -> list[str]:
    """`t.column` as `column`."""
    kept: list[str] = []
    for index, token in enumerate(tokens):
        if token == "." or (index + 1 < len(tokens) and tokens[index + 1] == "."):
            continue
        kept.append(token)
    return kept


def _join(items: list[list[str]]) -> tuple[str, ...]:
    joined = []
    for item in items:
        if len(item) > 2 and item[-2] == "as":
            item = item[:-2]
        # ASC is what an order is anyway.
        text = " ".join(token for token in item if token not in ("by", "asc", "distinct"))
        if "distinct" in item:
            text = f"distinct {text}"
        if text:
            joined.append(text)
    return tuple(joined)


_DATALESS = frozenset(
    list_words("distinct all case when then else end as and or not null is in like between cast true false")
)
_VALUES = frozenset(list_words("null true false end )"))
"""Words after which a further one is what the value is called."""


_COUNTING = frozenset(
    list_words("count sum total group_concat string_agg row_number rank dense_rank ntile percent_rank cume_dist")
)
"""Functions of which a constant argument still counts the rows."""


def _names_data(tokens: Sequence[str]) -> bool:
    """Whether a select item depends on rows: it names a column, or counts rows."""
    is_type = False
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else ""
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        # What stands after AS is a type, or what the item is called.
        is_type = before == "as" or (is_type and token not in ("(", ")"))
        if token in _COUNTING and following == "(":
            return True
        if token == "*" and before in ("", "("):
            return True
        if is_type or (index and not following and (before in _VALUES or before[0] == "'" or before[0].isdigit())):
            continue
        if token[0] == '"' or (re.match(r"[^\W\d]", token) and following != "(" and token not in _DATALESS):
            return True
    return False


@lru_cache(maxsize=4096)
def likeness(right: Outline, given: Outline) -> float:
    """How much of the right statement's clauses another one has, 0..1; a clause that both lack is left out."""
    weights = ((0.3, right.select, given.select), (0.4, right.where, given.where), (0.3, right.tail, given.tail))
    present = [(weight, wanted, found) for weight, wanted, found in weights if wanted or found]
    total = sum(weight for weight, _, _ in present)
    return sum(weight * _overlap(wanted, found) for weight, wanted, found in present) / total if total else 0.0


def _overlap(wanted: tuple[str, ...], found: tuple[str, ...]) -> float:
    """F1 of two bags of items; an item that only starts alike, such as the right column with another value, is half."""
    left, right = Counter(wanted), Counter(found)
    exact = left & right
    starts = Counter(item.split(" ")[0] for item in (left - exact).elements())
    other_starts = Counter(item.split(" ")[0] for item in (right - exact).elements())
    shared = exact.total() + 0.5 * (starts & other_starts).total()
    size = left.total() + right.total()
    return 2 * shared / size if size else 0.0


@lru_cache(maxsize=4096)
def named_columns(tokens: tuple[str, ...]) -> frozenset[str]:
    """The columns, without their tables, that a statement compares with a text or a number: `id = 1`, `name IN ('x')`."""
    found = set()
    for at, token in enumerate(tokens[1:-1], 1):
        if token in ("=", "in", "like", "is"):
            after = tokens[at + 2] if tokens[at + 1] == "(" and at + 2 < len(tokens) else tokens[at + 1]
            if after[0] == "'" or after[0].isdigit():
                found.add(name_of(tokens[at - 1]))
    return frozenset(found)


@lru_cache(maxsize=4096)
def words_of(tokens: tuple[str, ...]) -> frozenset[str]:
    """The words, names and quoted values of a statement, folded, as domain terms are compared with them."""
    return frozenset(word for token in tokens for word in re.findall(r"\w+", token.casefold()))
