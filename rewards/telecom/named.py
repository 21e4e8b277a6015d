"""Identifiers that a comparison of documents leaves out as made up, but that this row's prompt tells, or that name an object."""

from __future__ import annotations

import re
from collections.abc import Collection

from rewards.telecom.paths import Path, ValuePlaces, last_key

_OBJECT = "objectInstance"
_MADE_UP = re.compile(r"[0-9a-f]{8}", re.ASCII | re.IGNORECASE)
_WORD_CHARACTER = re.compile(r"[\w-]")
_SHORTEST = 3


def find_named(places: ValuePlaces, volatile: Collection[str], prompt: str) -> frozenset[Path]:
    """The places under volatile keys whose texts the prompt states, or that are names of managed objects not made up.

    `ManagedElement=1,GNBDUFunction=1` says what is configured; `ManagedElement=9f3a62c1` is drawn anew for each row.
    """
    return frozenset(
        path
        for path, leaves in places.leaves.items()
        if (key := last_key(path)) in volatile and leaves and all(_is_known(key, leaf, prompt) for leaf in leaves)
    )


def _is_known(key: str | None, leaf: object, prompt: str) -> bool:
    if not isinstance(leaf, str):
        return False
    if key == _OBJECT and "=" in leaf and not _MADE_UP.search(leaf):
        return True
    return len(leaf) >= _SHORTEST and _stands_in(leaf, prompt)


def _stands_in(leaf: str, prompt: str) -> bool:
    """Whether the prompt has the text as a word of its own."""
    at = prompt.find(leaf)
    while at >= 0:
        before, after = prompt[at - 1 : at] if at else "", prompt[at + len(leaf) : at + len(leaf) + 1]
        if not _WORD_CHARACTER.match(before) and not _WORD_CHARACTER.match(after):
            return True
        at = prompt.find(leaf, at + 1)
    return False
