"""Our own JSON Schemas, one a telecom layer, written from the field facts of the standards; and their compiler."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.schemas.nodes import Broken
from rewards.schemas.rules import Judgement, Schema
from rewards.schemas.verdict import Shelf

__all__ = ["Broken", "Judgement", "Schema", "Shelf", "compile_text", "list_schemas", "read_schema", "schema_text"]

_FOLDER = Path(__file__).parent


@cache
def list_schemas() -> tuple[str, ...]:
    """The names of our own schemas."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@lru_cache(maxsize=32)
def schema_text(name: str) -> str:
    """The JSON text of one of ours; raises KeyError for a name that `list_schemas` does not give."""
    if name not in list_schemas():
        raise KeyError(name)
    return (_FOLDER / f"{name}.json").read_text(encoding="utf-8")


def read_schema(name: str) -> dict[str, Any]:
    """One of ours as a document."""
    return json.loads(schema_text(name))


@lru_cache(maxsize=64)
def compile_text(text: str, name: str = "schema", formats: bool = False, shelf: Shelf | None = None) -> Schema:
    """A schema compiled from its JSON text, once a process; raises UserError with everything that is wrong with it.

    `formats` makes `format` a rule; `shelf` is where other schemas that it refers to may lie.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: not strict JSON ({error}); a schema is a JSON object") from None
    return Schema(document, name, formats, shelf)
