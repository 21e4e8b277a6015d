"""Files that hold schemas: OpenAPI 3, Swagger 2 and JSON Schema, and where their components stand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from rewards.errors import UserError
from rewards.schemas.nodes import escape

_DRAFT_07 = "http://json-schema.org/draft-07/schema#"
_DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class SchemaFile:
    """A file that was read: what it is, and where its components stand."""

    path: Path
    document: Mapping[str, Any]
    kind: Literal["openapi3", "openapi31", "swagger2", "schema"]

    @property
    def folder(self) -> str | None:
        """JSON pointer to the components, without `#`; None for a JSON Schema file without any."""
        if self.kind == "schema":
            return next((f"/{key}" for key in ("definitions", "$defs") if key in self.document), None)
        return "/definitions" if self.kind == "swagger2" else "/components/schemas"

    @property
    def draft(self) -> str:
        """The JSON Schema draft that its schemas follow, as a `$schema` address."""
        if self.kind == "schema" and isinstance(self.document.get("$schema"), str):
            return self.document["$schema"]
        return _DRAFT_2020 if self.kind in ("openapi31", "schema") else _DRAFT_07

    @property
    def definitions_keyword(self) -> str:
        """Where that draft keeps shared schemas: `$defs`, or `definitions` up to draft 7."""
        return "definitions" if re.search(r"draft-0\d", self.draft) else "$defs"

    @property
    def ignores_siblings(self) -> bool:
        """Whether what stands beside a `$ref` does not count."""
        return self.kind in ("openapi3", "swagger2") or "draft-0" in self.draft

    def components(self) -> list[str]:
        """The names of the schemas that the file defines, sorted."""
        found = self.look_up(self.folder) if self.folder else None
        return sorted(found) if isinstance(found, Mapping) else []

    def look_up(self, pointer: str) -> Any:
        """What stands at a JSON pointer; None where nothing does."""
        value: Any = self.document
        for step in pointer.split("/")[1:]:
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value

    def find_component(self, name: str | None) -> Place:
        """The place of a schema by its name or `#/...` pointer; of the whole file for none. Raises UserError where there is none."""
        names = self.components()
        if name is None or name in ("", "#"):
            if self.kind == "schema":
                return Place(self, "")
            raise UserError(f"{self.path}: name a component; there are: {_list(names)}")
        if name.startswith("#/"):
            if self.look_up(name[1:]) is not None:
                return Place(self, name[1:])
        elif name in names:
            return Place(self, f"{self.folder}/{escape(name)}")
        elif self.kind == "schema" and name in (self.document.get("title"), self.path.stem):
            return Place(self, "")
        near = get_close_matches(name.rpartition("/")[2], names, n=3, cutoff=0.5)
        near += [each for each in names if each.casefold() == name.casefold() and each not in near]
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {_list(names)}"
        raise UserError(f"{self.path}: no component '{name}'; {hint}")


@dataclass(frozen=True)
class Place:
    """A schema in a file; `pointer` is empty for the whole file."""

    source: SchemaFile
    pointer: str

    def schema(self) -> Any:
        return self.source.look_up(self.pointer)

    @property
    def key(self) -> tuple[Path, str]:
        return self.source.path, self.pointer


def read_schema_file(path: Path) -> SchemaFile:
    """Read an OpenAPI, Swagger or JSON Schema file, in JSON or YAML; UserError for anything else."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); name an OpenAPI, Swagger or JSON Schema file"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text; name an OpenAPI, Swagger or JSON Schema file") from None
    document = _parse(path, text)
    if not isinstance(document, Mapping):
        raise UserError(f"{path}: holds a {type(document).__name__}, not an OpenAPI, Swagger or JSON Schema object")
    if "swagger" in document:
        return SchemaFile(path, document, "swagger2")
    version = document.get("openapi")
    if version is not None:
        newer = re.match(r"3\.[1-9]", str(version))
        return SchemaFile(path, document, "openapi31" if newer else "openapi3")
    if isinstance(document.get("components"), Mapping) and "schemas" in document["components"]:
        # A shared file of components, as OpenAPI documents refer to.
        return SchemaFile(path, document, "openapi3")
    return SchemaFile(path, document, "schema")


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        if path.suffix.lower() == ".json":
            raise UserError(f"{path}: not strict JSON ({error}); fix the file") from None
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # absent without libyaml
        """Dates stay text, as JSON has them."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: neither JSON nor YAML ({' '.join(str(error).split())[:200]}); fix the file") from None


def _list(names: list[str]) -> str:
    return (", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")) or "none"
