"""A nested config as key paths and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, ...]


def flatten(value: Mapping[str, Any], above: Key = ()) -> dict[Key, Any]:
    """A nested mapping as key paths and values; lists and empty mappings are values.

    Paths are tuples, not dotted strings: a key such as a reward's name may have dots of its own.
    """
    leaves: dict[Key, Any] = {}
    for name, inner in value.items():
        # An empty section is a setting too: dropped, a config that empties one would look like one that says nothing.
        # Lists are not taken apart, since a list in a config replaces the one below it as a whole.
        if isinstance(inner, Mapping) and inner:
            leaves |= flatten(inner, (*above, name))
        else:
            leaves[(*above, name)] = inner
    return leaves
