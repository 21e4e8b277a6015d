"""Where the parts of a schema stand: references, anchors, and the identifiers that each is resolved against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

from rewards.schemas.nodes import escape

NOTHING: Any = object()
"""What stands at a place where nothing does."""

_DATA = frozenset({"enum", "const", "default", "examples"})
_DEEPEST = 200


class SchemaPlaces:
    """The identifiers of a document; a place is `#` and a JSON pointer into it."""

    def __init__(self, document: Any, draft: int):
        self.document, self._draft = document, draft
        self._bases: dict[str, str] = {}
        self._resources: dict[str, str] = {"": "#"}
        self._anchors: dict[tuple[str, str], str] = {}
        self._index(document, "#", "", 0)

    def find(self, reference: str, place: str) -> str | None:
        """Where a reference that stands at `place` leads within the document; None where it leads out of it."""
        base, fragment = urldefrag(_join(self._base_of(place), reference))
        start = self._resources.get(base)
        if start is None:
            return None
        if fragment and not fragment.startswith("/"):
            return self._anchors.get((base, unquote(fragment)))
        return start + unquote(fragment)

    def walk(self, place: str) -> Any:
        value = self.document
        for key in place.split("/")[1:]:
            key = key.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return NOTHING
        return value

    def _base_of(self, place: str) -> str:
        while place not in self._bases:
            place = place.rpartition("/")[0]
            if not place:
                return ""
        return self._bases[place]

    def _index(self, value: Any, place: str, base: str, depth: int) -> None:
        """Data inside enum and const is not a schema."""
        if depth > _DEEPEST:
            return
        if isinstance(value, Mapping):
            base = self._identify(value, place, base)
            for key, child in value.items():
                if key not in _DATA:
                    self._index(child, f"{place}/{escape(str(key))}", base, depth + 1)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                self._index(child, f"{place}/{index}", base, depth + 1)

    def _identify(self, schema: Mapping[str, Any], place: str, base: str) -> str:
        """The base of a schema; up to draft 7 an `$id` beside a `$ref` does not count, and `#name` is an anchor."""
        identifier = schema.get("$id", schema.get("id") if self._draft == 7 and place == "#" else None)
        if isinstance(identifier, str) and not (self._draft == 7 and "$ref" in schema):
            absolute, fragment = urldefrag(_join(base, identifier))
            if fragment and self._draft == 7:
                self._anchors.setdefault((absolute, fragment), place)
            if not identifier.startswith("#"):
                base = absolute
                self._bases[place] = base
                self._resources.setdefault(base, place)
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(schema.get(keyword), str):
                self._anchors.setdefault((base, schema[keyword]), place)
        return base


def _join(base: str, reference: str) -> str:
    try:
        if base.startswith("urn:"):
            return base + reference if reference.startswith("#") else reference
        return urljoin(base, reference)
    except ValueError:
        return reference
