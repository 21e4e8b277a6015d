"""A graph written as JSON-LD in the form that Turtle is read in: by subject, with blank nodes where they are named."""

from __future__ import annotations

from typing import Any

from rewards.telecom.turtle import close_objects, inline_blanks, sort_objects


def build_graph(settled: Any) -> dict[str, Any]:
    """{subject: {predicate: object or list of objects}} of JSON-LD whose prefixes are resolved; those without an @id under "[]".

    A node that stands within another goes to its own subject, and leaves its name behind.
    """
    subjects: dict[str, dict[str, list[Any]]] = {}
    unnamed: list[Any] = []
    roots = settled.get("@graph", settled) if isinstance(settled, dict) and "@id" not in settled else settled
    for node in roots if isinstance(roots, list) else [roots]:
        read = _read_node(node, subjects)
        if isinstance(read, dict) and read:
            unnamed.append(read)
    graph: dict[str, Any] = {name: close_objects(members) for name, members in subjects.items() if members}
    if unnamed:
        graph["[]"] = sort_objects(unnamed)
    return inline_blanks(graph)


def _read_node(value: Any, subjects: dict[str, dict[str, list[Any]]]) -> Any:
    """A value as an object of Turtle; named nodes are noted under their names. Never deeper than the expression was."""
    if isinstance(value, list):
        return [_read_node(item, subjects) for item in value]
    if isinstance(value, str):
        inner = value.strip()
        return inner[1:-1].strip() if len(inner) > 1 and inner[0] == inner[-1] == "'" else value
    if not isinstance(value, dict):
        return value
    if "@list" in value:
        items = value["@list"]
        return {"@list": [_read_node(item, subjects) for item in (items if isinstance(items, list) else [items])]}
    members: dict[str, list[Any]] = {}
    for predicate, child in value.items():
        if predicate == "@id":
            continue
        read = _read_node(child, subjects)
        members.setdefault(predicate, []).extend(read if isinstance(read, list) else [read])
    name = value.get("@id")
    if not isinstance(name, str):
        return close_objects(members)
    known = subjects.setdefault(name, {})
    for predicate, objects in members.items():
        known.setdefault(predicate, []).extend(objects)
    return name
