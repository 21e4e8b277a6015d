"""The keys of a value that its schema names nowhere, also where it tolerates them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rewards.schemas.nodes import SchemaNode, escape


def _expand(nodes: Iterable[SchemaNode], value: Any) -> list[SchemaNode]:
    """The schemas and every one that they apply to the same value; of alternatives those that fit, else all."""
    flat: list[SchemaNode] = []
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        flat.append(node)
        pending.extend(node.same)
        if node.branches:
            pending.extend([inner for inner in node.branches if inner.valid(value)] or node.branches)
        if node.conditional is not None:
            test, then, otherwise = node.conditional
            pending.extend(inner for inner in ((then,) if test.valid(value) else (otherwise,)) if inner is not None)
    return flat


def find_unknown(nodes: list[SchemaNode], value: Any, place: str, unknown: list[str]) -> int:
    """Adds the places of unknown keys to `unknown`; comes back with the number of keys that were looked up."""
    keys = 0
    if len(nodes) == 1 and (inside := nodes[0].inside) is not None and isinstance(value, dict):
        (node,) = nodes
        if value.keys() <= node.named.keys():
            # The common case: all keys are named, and few of them hold objects.
            for key, child in value.items() if inside else ():
                if key in inside and isinstance(child, (dict, list)):
                    keys += find_unknown([node.named[key]], child, f"{place}/{escape(key)}", unknown)
            return keys + len(value)
    if isinstance(value, list) and value:
        listing = [node.lists for node in _expand(nodes, value) if node.lists is not None]
        for index, item in enumerate(value if listing else ()):
            if not isinstance(item, (dict, list)):
                continue
            inner = _distinct([found for lists in listing if (found := lists(index)) is not None])
            if inner:
                keys += find_unknown(inner, item, f"{place}/{index}", unknown)
    elif isinstance(value, dict) and value:
        flat = _expand(nodes, value)
        naming = [node for node in flat if node.named or node.patterns]
        extra = [node.extra for node in flat if node.extra is not None and node.extra.says_something()]
        for key, child in value.items():
            inner = [node.named[key] for node in naming if key in node.named]
            inner += [found for node in naming for pattern, found in node.patterns if pattern.search(key)]
            inner = _distinct(inner) if inner else extra
            keys += bool(naming or extra)
            if inner:
                if isinstance(child, (dict, list)):
                    keys += find_unknown(inner, child, f"{place}/{escape(key)}", unknown)
            elif naming:
                unknown.append(f"{place}/{escape(key)}")
    return keys


def _distinct(nodes: list[SchemaNode]) -> list[SchemaNode]:
    return nodes if len(nodes) < 2 else list({id(node): node for node in nodes}.values())
