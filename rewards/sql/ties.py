"""Telling whether a LIMIT cuts through a tie, so that which row it keeps is up to the database."""

from __future__ import annotations

from functools import lru_cache

_DIRECTIONS = frozenset({"asc", "desc", "nulls", "first", "last"})


@lru_cache(maxsize=4096)
def probe_ties(tokens: tuple[str, ...]) -> tuple[str, int] | None:
    """A statement that gives the order keys of one row more than a top-level LIMIT keeps, and how many it keeps.

    The keys may be names of the select list or its positions. None where the statement does not end in ORDER BY ...
    LIMIT number, or joins several SELECTs.
    """
    if len(tokens) < 6 or tokens[-2] != "limit" or not tokens[-1].isdigit():
        return None
    places = find_clauses(tokens)
    if places is None:
        return None
    select, source, order = places
    if order is None:
        return None
    items = split_items(tokens[select + 1 : source])
    keys: list[str] = []
    order_by: list[str] = []
    for written in split_items(tokens[order + 2 : -2]):
        key = without_direction(written)
        if not key:
            return None
        meant = resolve_key(key, items)
        keys += [*meant, ","]
        order_by += [*meant, *written[len(key) :], ","]
    kept = int(tokens[-1])
    body = (*tokens[source:order], "order", "by", *order_by[:-1], "limit")
    return " ".join((*tokens[:select], "select", *keys[:-1], *body, str(kept + 1))), kept


def find_clauses(tokens: tuple[str, ...]) -> tuple[int, int, int | None] | None:
    """Where the one top-level SELECT, its FROM and its ORDER BY, if any, stand."""
    depth, found = 0, {}
    for at, token in enumerate(tokens):
        depth += (token == "(") - (token == ")")
        if depth:
            continue
        if token in ("union", "except", "intersect"):
            return None
        if token in ("select", "from", "order") and token not in found:
            found[token] = at
    if not {"select", "from"} <= set(found) or not found["select"] < found["from"] < found.get("order", len(tokens)):
        return None
    return found["select"], found["from"], found.get("order")


def split_items(tokens: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Items between the commas at the top."""
    items: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token == "(") - (token == ")")
        if token == "," and not depth:
            items.append([])
        else:
            items[-1].append(token)
    return [tuple(item) for item in items]


def without_direction(key: tuple[str, ...]) -> tuple[str, ...]:
    while key and key[-1] in _DIRECTIONS:
        key = key[:-1]
    return key


def resolve_key(key: tuple[str, ...], items: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The expression that a key stands for: a position, or a name that the select list gives."""
    if len(key) != 1:
        return key
    if key[0].isdigit() and 1 <= int(key[0]) <= len(items):
        item = items[int(key[0]) - 1]
        item = item[1:] if item[:1] == ("distinct",) else item
        if len(item) > 2 and item[-2] == "as":
            return item[:-2]
        return item
    for item in items:
        item = item[1:] if item[:1] == ("distinct",) else item
        if len(item) > 2 and item[-1] == key[0] and item[-2] == "as":
            return item[:-2]
        if len(item) > 1 and item[-1] == key[0] and item[-2] in (")",):
            return item[:-1]
    return key
