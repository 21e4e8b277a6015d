"""A nested config as key paths and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Key = tuple[str, ...]


def flatten(value: Mapping[str, Any], above: Key = ()) -> dict[Key, Any]:
    """A nested mapping as key paths and values; lists and empty mappings are values."""
    leaves: dict[Key, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            leaves |= flatten(inner, (*above, name))
        else:
            leaves[(*above, name)] = inner
    return leaves
