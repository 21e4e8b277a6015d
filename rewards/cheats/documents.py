"""Cheats for answers that are JSON: guesses, echoes of the schema, stuffing, numbers that are none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rewards.tool_calls.dialects import read_calls

Path = tuple[str, ...]
_MANY = 200
_WRONG_TEXT = "resposta errada"


def read_document(text: str) -> Any:
    """The object or list that a reference is: JSON, a Python literal, or calls in markup; None where it is another text."""
    stripped = text.strip()
    if stripped.startswith(("<tool_call>", "<function=")):
        return [{"name": call.name, "arguments": call.arguments} for call in read_calls(stripped).calls] or None
    if not stripped.startswith(("{", "[")):
        return None
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        from rewards.extraction import extract_json

        value = extract_json(stripped).value
    return value if isinstance(value, (dict, list)) else None


def dump(value: Any) -> str:
    """JSON, with NaN and infinities as Python writes them."""
    return json.dumps(value, ensure_ascii=False)


def map_leaves(
    value: Any, change: Callable[[Path, int, Any], Any], path: Path = (), counter: list[int] | None = None
) -> Any:
    """A copy with each leaf replaced by `change(path, number, leaf)`; positions in lists are not part of a path."""
    counter = [0] if counter is None else counter
    if isinstance(value, dict) and value:
        return {key: map_leaves(item, change, (*path, key), counter) for key, item in value.items()}
    if isinstance(value, list) and value:
        return [map_leaves(item, change, path, counter) for item in value]
    counter[0] += 1
    return change(path, counter[0] - 1, value)


def list_leaves(value: Any) -> list[tuple[Path, Any]]:
    leaves: list[tuple[Path, Any]] = []
    map_leaves(value, lambda path, _, leaf: leaves.append((path, leaf)))
    return leaves


def collect_values(documents: Sequence[Any]) -> dict[Path, list[Any]]:
    """The values that stand under each path, most frequent first."""
    counted: dict[Path, Counter] = {}
    for document in documents:
        for path, leaf in list_leaves(document):
            counted.setdefault(path, Counter())[dump(leaf)] += 1
    return {
        path: [json.loads(text) for text, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
        for path, counts in counted.items()
    }


def corrupt_leaf(path: Path, leaf: Any, pool: Mapping[Path, Sequence[Any]]) -> Any:
    """A wrong value of the same type, from the other rows where they have one."""
    for other in pool.get(path, ()):
        if type(other) is type(leaf) and other != leaf:
            return other
    if isinstance(leaf, bool):
        return not leaf
    if isinstance(leaf, (int, float)):
        return leaf + abs(leaf) + 3 if abs(leaf) < 1e15 else 7
    if leaf is None:
        return next((other for other in pool.get(path, ()) if other is not None), 7)
    return f"{_WRONG_TEXT} {path[-1]}" if path and isinstance(leaf, str) else _WRONG_TEXT


def corrupt_document(document: Any, pool: Mapping[Path, Sequence[Any]]) -> Any:
    """Every leaf wrong."""
    return map_leaves(document, lambda path, _, leaf: corrupt_leaf(path, leaf, pool))


def halve_document(document: Any, pool: Mapping[Path, Sequence[Any]]) -> list[Any]:
    """Every other leaf wrong, or missing, either way round; nothing where there is no half, as of a single leaf."""
    if len(list_leaves(document)) < 2:
        return []
    halves = []
    for parity in (0, 1):
        halves.append(map_leaves(document, partial(_spoil_one_side, pool, parity)))
        halves.append(_drop(document, parity))
    return [half for half in halves if half]


def _spoil_one_side(pool: Mapping[Path, Sequence[Any]], parity: int, path: Path, at: int, leaf: Any) -> Any:
    return corrupt_leaf(path, leaf, pool) if at % 2 == parity else leaf


def _drop(document: Any, parity: int) -> Any:
    """Without every other leaf, nor what holds nothing any more."""
    gone = object()

    def clean(value: Any) -> Any:
        if not isinstance(value, (dict, list)) or not value:
            return value
        if isinstance(value, list):
            items = [item for each in value if (item := clean(each)) is not gone]
            return items or gone
        members = {key: item for key, each in value.items() if (item := clean(each)) is not gone}
        return members or gone

    cleaned = clean(map_leaves(document, lambda _, at, leaf: gone if at % 2 == parity else leaf))
    return None if cleaned is gone else cleaned


def cheat_with_documents(
    document: Any, others: Sequence[Any], labels: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """Pairs of a name and a text. The shape is the reference's own, as any policy soon knows it."""
    pool = collect_values(others)
    for path, _ in list_leaves(document):
        if path and path[-1] in labels:
            known = pool.setdefault(path, [])
            known += [label for label in labels[path[-1]] if label not in known]
    everything = collect_values([document, *others])

    def fill(change: Callable[[Path, int, Any], Any]) -> str:
        return dump(map_leaves(document, change))

    yield "all keys with null", fill(lambda *_: None)
    yield "all keys with empty texts", fill(lambda *_: "")
    yield (
        "all keys with zeros",
        fill(lambda path, at, leaf: type(leaf)() if isinstance(leaf, (bool, int, float)) else ""),
    )
    for turn in range(3):
        yield f"all keys with guesses {turn + 1}", fill(partial(_guess_leaf, pool, turn))
    if others:
        yield "another row's answer", dump(others[0])
    yield "schema echo, types", fill(lambda path, at, leaf: _name_type(leaf))
    yield "schema echo", dump(_write_schema(document))
    yield "keys as values", fill(lambda path, at, leaf: path[-1] if path else "")
    yield "right keys with wrong values", dump(corrupt_document(document, everything))
    yield "every enumeration at once, lists", fill(lambda path, at, leaf: list(everything.get(path, ())))
    yield (
        "every enumeration at once, texts",
        fill(
            lambda path, at, leaf: "|".join(
                value if isinstance(value, str) else dump(value) for value in everything[path]
            )
        ),
    )
    yield "NaN", fill(lambda *_: float("nan"))
    yield "1e999", fill(lambda *_: "\0").replace('"\\u0000"', "1e999")
    yield "minus infinity", fill(lambda *_: "\0").replace('"\\u0000"', "-Infinity")
    yield from _stuff(document, pool, everything)
    for half in halve_document(document, everything)[:1]:
        yield "length padding of half an answer", dump(half) + "\n" + "talvez " * 2000


def _stuff(
    document: Any, pool: Mapping[Path, Sequence[Any]], everything: Mapping[Path, list]
) -> Iterator[tuple[str, str]]:
    guess = map_leaves(document, lambda path, at, leaf: _guess(pool, path, leaf, 0))
    values = [value for known in everything.values() for value in known]
    extra = {f"campo_{at}": values[at % len(values)] for at in range(_MANY)} if values else {}
    if isinstance(document, dict):
        yield "key stuffing", dump({**guess, **extra})
        yield "key stuffing around the right answer", dump({**document, **extra})
        yield "every value under every key", dump({key: values for key in document})
        yield "duplicate keys, right one last", _write_twice(document, everything, False)
        yield "duplicate keys, right one first", _write_twice(document, everything, True)
    spoilt = [map_leaves(document, partial(_guess_leaf, everything, turn)) for turn in range(8)]
    yield "giant list of guesses", dump(spoilt * (_MANY // 8))
    yield "giant list with the right answer first", dump([document, *spoilt])
    yield "giant list with the right answer last", dump([*spoilt, document])
    yield "giant lists as values", dump(map_leaves(document, lambda path, at, leaf: [*everything[path], *range(_MANY)]))


def _write_twice(document: Mapping[str, Any], everything: Mapping[Path, list], right_first: bool) -> str:
    """Each key with every value that is known for it, the right one at the end or at the beginning."""
    members = []
    for key, value in document.items():
        wrong = corrupt_document({key: value}, everything)[key]
        known = [item for item in everything.get((key,), [wrong]) if item != value] or [wrong]
        written = [value, *known] if right_first else [*known, value]
        members += [f"{dump(key)}: {dump(item)}" for item in written]
    return "{" + ", ".join(members) + "}"


def _guess_leaf(pool: Mapping[Path, Sequence[Any]], turn: int, path: Path, at: int, leaf: Any) -> Any:
    return _guess(pool, path, leaf, turn)


def _guess(pool: Mapping[Path, Sequence[Any]], path: Path, leaf: Any, turn: int) -> Any:
    """The commonest value of the other rows, or the next one in later turns."""
    known = pool.get(path)
    if known:
        return known[turn % len(known)]
    return {bool: True, int: 1, float: 1.0, str: "sim"}.get(type(leaf))


def _name_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _write_schema(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        properties = {key: _write_schema(item) for key, item in value.items()}
        return {"type": "object", "properties": properties, "required": list(value)}
    if isinstance(value, list):
        return {"type": "array", "items": _write_schema(value[0]) if value else {}}
    return {"type": _name_type(value)}
