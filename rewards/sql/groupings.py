"""By which columns a statement groups, and of which it takes each value once: a light look at tokens, no grammar."""

from __future__ import annotations

from functools import lru_cache

from rewards.sql.ties import split_items
from rewards.sql.tokens import name_of

_ENDS = frozenset({"having", "order", "limit", "union", "except", "intersect", "window"})


@lru_cache(maxsize=4096)
def list_grouped(tokens: tuple[str, ...]) -> frozenset[str]:
    """Columns, without their tables, that stand alone in a GROUP BY or PARTITION BY."""
    found = set()
    for at, token in enumerate(tokens[:-2]):
        if token in ("group", "partition") and tokens[at + 1] == "by":
            for item in split_items(_until_end(tokens[at + 2 :])):
                if item and "(" not in item:
                    found.add(name_of(item[-1]))
    return frozenset(found)


@lru_cache(maxsize=4096)
def list_distinct(tokens: tuple[str, ...]) -> frozenset[str]:
    """Columns, without their tables, that an aggregate takes each value of once: `SUM(DISTINCT total)`."""
    found = set()
    for at in range(len(tokens) - 3):
        if tokens[at + 1] == "(" and tokens[at + 2] == "distinct":
            item = _until_end(tokens[at + 3 :])
            if item and (len(item) == 1 or item[1:2] == (".",)):
                found.add(name_of(item[-1]))
    return frozenset(found)


@lru_cache(maxsize=4096)
def list_counted(tokens: tuple[str, ...]) -> frozenset[str]:
    """Columns, without their tables, of which values are counted: `COUNT(gnp)`."""
    found = set()
    for at in range(len(tokens) - 3):
        if tokens[at] == "count" and tokens[at + 1] == "(":
            item = _until_end(tokens[at + 2 :])
            if item and (len(item) == 1 or (item[1:2] == (".",) and len(item) == 3)):
                found.add(name_of(item[-1]))
    return frozenset(found)


def _until_end(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Up to where the clause, or the bracket around it, ends."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth < 0 or (not depth and token in _ENDS):
            return tokens[:at]
    return tokens
