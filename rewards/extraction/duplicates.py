"""Keys that an answer gives twice with two different values, judged on what was read: not on texts, comments or decimals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from rewards.extraction.repairs import Extraction, Path

LONGEST_CHECKED = 100_000
"""Characters up to which strict JSON is read again for keys that come twice."""

# What ends a key, in strict JSON; inside a text it may stand too, which the exact reading then finds out.
_KEY_END = re.compile(r'"\s*:')


def find_duplicates(text: str, reading: Extraction, keys: int | None = None) -> tuple[Path, ...]:
    """The paths of the keys that `reading`, which is of `text`, has with two different values; the last value is the one read.

    `keys` is the number of keys in all its objects, where the caller has counted them.
    """
    if reading.value is None or reading.span is None:
        return ()
    start, end = reading.span
    if reading.repairs and not reading.source:
        return reading.duplicates
    written = reading.source or text[start:end]
    if len(written) > LONGEST_CHECKED:
        return ()
    keys = count_keys(reading.value) if keys is None else keys
    # Strict JSON has as many ends of keys as its reading has keys; a text without other colons is looked at no closer.
    if written.count(":") == keys or len(_KEY_END.findall(written)) == keys:
        return ()
    return repeated_in(written)


def repeated_in(written: str) -> tuple[Path, ...]:
    """The paths of the keys that strict JSON gives two different values."""
    found: list[tuple[int, str]] = []
    kept: list[dict[str, Any]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        # Kept alive, so that no other object takes its identity.
        kept.append(collected)
        for key, item in pairs:
            # By their writing: 1 and true are equal in Python.
            if key in collected and repr(collected[key]) != repr(item):
                found.append((id(collected), key))
            collected[key] = item
        return collected

    try:
        value = json.loads(written, object_pairs_hook=collect)
    except (ValueError, RecursionError):
        return ()
    return locate(value, found)


def locate(root: Any, repeated: Iterable[tuple[int, str]]) -> tuple[Path, ...]:
    """The paths in `root` of (identity of an object, key) pairs, once for each time a key came again."""
    wanted: dict[int, list[str]] = {}
    for owner, key in repeated:
        wanted.setdefault(owner, []).append(key)
    paths: list[Path] = []
    stack: list[tuple[Any, Path]] = [(root, ())]
    while stack and len(paths) < 1_000:
        item, path = stack.pop()
        children: Iterable[tuple[str | int, Any]] = ()
        if isinstance(item, dict):
            paths.extend((*path, key) for key in wanted.get(id(item), ()) if key in item)
            children = item.items()
        elif isinstance(item, list):
            children = enumerate(item)
        if len(path) < 64:
            stack.extend(
                reversed([(child, (*path, name)) for name, child in children if isinstance(child, dict | list)])
            )
    return tuple(paths)


def count_keys(value: Any) -> int:
    """The keys of all objects in a value, however deep."""
    keys, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            keys += len(item)
            stack += [child for child in item.values() if isinstance(child, (dict, list))]
        elif isinstance(item, list):
            stack += [child for child in item if isinstance(child, (dict, list))]
    return keys
