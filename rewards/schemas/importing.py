"""Making a self-contained JSON Schema out of one component of an OpenAPI 3, Swagger 2 or JSON Schema file."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from rewards.errors import UserError
from rewards.schemas.files import Place, SchemaFile, read_schema_file
from rewards.schemas.nodes import escape
from rewards.schemas.rules import Schema
from rewards.screen.command_line import BAD_INPUT, print_problem

Direction = Literal["request", "response"]
Missing = Literal["anything", "refuse"]

_MAPS = ("properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    "additionalProperties", "additionalItems", "items", "not", "if", "then", "else", "contains", "propertyNames",
    "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip
_DATA = (
    "type", "enum", "const", "required", "format", "pattern", "title", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties",
    "maxProperties", "minContains", "maxContains", "dependentRequired",
)  # fmt: skip


def import_component(
    path: str | Path,
    component: str | None = None,
    *,
    direction: Direction = "request",
    discriminators: bool = True,
    missing: Missing = "anything",
) -> dict[str, Any]:
    """The JSON Schema of one component and all it refers to: draft 2020-12 from OpenAPI 3.1, else draft-07.

    `component` is a name, or a JSON pointer such as `#/components/schemas/Intent`; without one a JSON Schema file gives
    its top. `direction` request frees read-only properties from being required, response write-only ones. A component
    with a discriminator becomes one that applies the named subtype too. Where a file that is referred to is not there
    anything is allowed, and a `$comment` says so; with `missing` refuse it is an error. Raises UserError with every
    problem: an unreadable file, no such component with the nearest names, a reference that leads nowhere.
    """
    return _import(Path(path), component, _Importer(direction, discriminators, missing))


def _import(path: Path, component: str | None, importer: _Importer) -> dict[str, Any]:
    source = importer.source = read_schema_file(path)
    start = source.find_component(component)
    name = importer.name_of(start)
    importer.demand(name, start, own=False)
    while importer.pending:
        importer.translate_next()
    if importer.problems:
        raise UserError(sorted(set(importer.problems)))
    keyword = source.definitions_keyword
    top = importer.finished[name]
    pointer = f"#/{keyword}/{escape(name)}"
    document: dict[str, Any] = {"$schema": source.draft, "title": name}
    if pointer in importer.referred or not isinstance(top, dict):
        document["allOf"] = [{"$ref": pointer}]
    else:
        document.update(importer.finished.pop(name))
    if importer.finished:
        document[keyword] = {each: importer.finished[each] for each in sorted(importer.finished)}
    Schema(document, f"{path}: {name}")
    return document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `schema import`, for a command that takes it in."""
    parser.add_argument("file", metavar="FILE", help="an OpenAPI 3, Swagger 2 or JSON Schema file, JSON or YAML")
    parser.add_argument("--component", metavar="NAME", help="the schema to import; not needed for a JSON Schema file")
    parser.add_argument("--output", metavar="FILE", help="where to write it; default: standard output")
    parser.add_argument("--direction", choices=("request", "response"), default="request", help="who writes it")
    parser.add_argument("--no-discriminators", action="store_true", help="leave subtypes out of account")
    parser.add_argument(
        "--missing",
        choices=("anything", "refuse"),
        default="anything",
        help="what a reference to an absent file allows",
    )
    parser.add_argument("--list", action="store_true", help="print the names of the components instead")


def run(arguments: argparse.Namespace) -> int:
    """Carry out `schema import` with what `add_arguments` declared; 0 when written, 2 after a user's mistakes."""
    try:
        if getattr(arguments, "list", False):
            print("\n".join(read_schema_file(Path(arguments.file)).components()))
            return 0
        importer = _Importer(
            getattr(arguments, "direction", "request"),
            not getattr(arguments, "no_discriminators", False),
            getattr(arguments, "missing", "anything"),
        )
        document = _import(Path(arguments.file), arguments.component, importer)
        for line in sorted(set(importer.warnings)):
            print_problem(f"warning: {line}")
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        output = getattr(arguments, "output", None)
        if output:
            try:
                Path(output).write_text(text, encoding="utf-8")
            except OSError as error:
                raise UserError(
                    f"{output}: cannot be written ({error.strerror}); name a file in a folder that exists"
                ) from None
        else:
            sys.stdout.write(text)
    except UserError as error:
        print_problem("\n".join(f"error: {line}" for line in error.problems))
        return BAD_INPUT
    return 0


@dataclass
class _Importer:
    """Translates schema after schema; each one that is referred to becomes a definition, once."""

    direction: Direction
    discriminators: bool
    missing: Missing
    source: SchemaFile = field(init=False)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    pending: list[tuple[str, Place, bool]] = field(default_factory=list)
    finished: dict[str, Any] = field(default_factory=dict)
    referred: set[str] = field(default_factory=set)
    _names: dict[tuple[Path, str], str] = field(default_factory=dict)
    _demanded: set[str] = field(default_factory=set)
    _files: dict[Path, SchemaFile | None] = field(default_factory=dict)

    def name_of(self, place: Place) -> str:
        """The name of a place's definition, its last step unless another place has taken that."""
        if place.key not in self._names:
            title = place.schema().get("title") if isinstance(place.schema(), Mapping) else None
            last = place.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
            name = wanted = unquote(last) or (title if isinstance(title, str) and title else place.source.path.stem)
            taken = set(self._names.values())
            count = 2
            while name in taken:
                name, count = f"{wanted}_{count}", count + 1
            self._names[place.key] = name
        return self._names[place.key]

    def demand(self, name: str, place: Place, *, own: bool) -> None:
        if name not in self._demanded:
            self._demanded.add(name)
            self.pending.append((name, place, own))

    def translate_next(self) -> None:
        name, place, own = self.pending.pop()
        schema = place.schema()
        if not own and self._dispatches(place):
            self.finished[name] = self._dispatch(place)
        else:
            self.finished[name] = self._translate(schema, place, place.pointer, inherits=True)

    def _reference(self, place: Place, *, own: bool) -> dict[str, str]:
        """A reference to a definition: to what a component itself says if `own`, else to its named subtype too."""
        name = self.name_of(place)
        if own and self._dispatches(place):
            name = f"{name}.own"
        self.demand(name, place, own=own)
        pointer = f"#/{self.source.definitions_keyword}/{escape(name)}"
        self.referred.add(pointer)
        return {"$ref": pointer}

    def _dispatches(self, place: Place) -> bool:
        schema = place.schema()
        return self.discriminators and isinstance(schema, Mapping) and "discriminator" in schema

    def _dispatch(self, place: Place) -> dict[str, Any]:
        """What a component itself says, and for each named subtype what that says."""
        schema = place.schema()
        key, targets = self._subtypes(place, schema["discriminator"])
        rules: list[Any] = [self._reference(place, own=True)]
        for value, target in targets.items():
            if target.key == place.key:
                continue
            test = {"properties": {key: {"const": value}}, "required": [key]}
            rules.append({"if": test, "then": self._reference(target, own=True)})
        return {"allOf": rules}

    def _subtypes(self, place: Place, discriminator: Any) -> tuple[str, dict[str, Place]]:
        """The discriminating key, and the component that each of its values names."""
        targets: dict[str, Place] = {}
        folder = place.source.folder or ""
        if isinstance(discriminator, str):
            key: Any = discriminator
            mapping: dict[str, Any] = {}
        else:
            key, mapping = discriminator.get("propertyName"), discriminator.get("mapping") or {}
        if not isinstance(key, str):
            self.problems.append(f"{place.source.path}: #{place.pointer}/discriminator: lacks propertyName")
            return "", targets
        for value, written in mapping.items():
            # A mapping may give a bare component name instead of a reference.
            plain = re.fullmatch(r"[\w.-]+", written) and f"{folder}/{escape(written)}"
            target = (
                Place(place.source, plain)
                if plain and place.source.look_up(plain) is not None
                else self._find(place, written, f"{place.pointer}/discriminator")
            )
            if target is not None:
                targets[str(value)] = target
        if not mapping:
            for name in place.source.components():
                other = Place(place.source, f"{folder}/{escape(name)}")
                if place.key in self._parents(other):
                    targets[name] = other
        return key, targets

    def _parents(self, place: Place) -> set[tuple[Path, str]]:
        """Every component that one is built upon by allOf, however far."""
        found: set[tuple[Path, str]] = set()
        pending = [place]
        while pending:
            schema = pending.pop().schema()
            members = schema.get("allOf") if isinstance(schema, Mapping) else None
            for member in members if isinstance(members, list) else ():
                written = member.get("$ref") if isinstance(member, Mapping) else None
                if isinstance(written, str) and written.startswith("#/"):
                    parent = Place(place.source, written[1:])
                    if parent.key not in found:
                        found.add(parent.key)
                        pending.append(parent)
        return found

    def _find(self, place: Place, written: Any, where: str) -> Place | None:
        """Where a reference leads; None, with a problem or a warning, where it leads nowhere."""
        spot = f"{place.source.path}: #{where}"
        if not isinstance(written, str):
            self.problems.append(f"{spot}: the reference {written!r} is not text")
            return None
        file, _, pointer = written.partition("#")
        source: SchemaFile | None = place.source
        if file:
            source = self._open(place.source.path.parent / file) if "://" not in file else None
            if source is None:
                absent = f"{spot}: refers to {written}, and {file} is not there"
                if self.missing == "refuse":
                    self.problems.append(f"{absent}; put the file there or use --missing anything")
                else:
                    self.warnings.append(f"{absent}; anything is allowed there")
                return None
        assert source is not None
        pointer = "" if pointer == "/" else pointer
        if (pointer and not pointer.startswith("/")) or source.look_up(pointer) is None:
            names = source.components()
            near = get_close_matches(pointer.rpartition("/")[2], names, n=2, cutoff=0.6)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            self.problems.append(f"{spot}: {written} leads nowhere{hint}")
            return None
        return Place(source, pointer)

    def _open(self, path: Path) -> SchemaFile | None:
        path = path.resolve()
        if path not in self._files:
            self._files[path] = read_schema_file(path) if path.is_file() else None
        return self._files[path]

    def _translate(self, schema: Any, place: Place, where: str, *, inherits: bool = False) -> Any:
        """One schema in plain JSON Schema. `inherits`: references in its allOf are to supertypes alone."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            self.problems.append(
                f"{place.source.path}: #{where}: {type(schema).__name__} is not a schema; write an object"
            )
            return True
        if "$ref" in schema:
            target = self._find(place, schema["$ref"], where)
            referred: Any = (
                {"$comment": f"anything: {schema['$ref']} was not there"}
                if target is None
                else self._reference(target, own=inherits)
            )
            siblings = {key: value for key, value in schema.items() if key != "$ref"}
            rest = {} if place.source.ignores_siblings else self._translate(siblings, place, where)
            if not rest:
                return referred
            return {"allOf": [referred, rest]}
        out: dict[str, Any] = {key: schema[key] for key in _DATA if key in schema and key != "title"}
        for key in _MAPS:
            if isinstance(schema.get(key), Mapping) and key not in ("definitions", "$defs"):
                out[key] = {
                    str(name): inner
                    if isinstance(inner, list)
                    else self._translate(inner, place, f"{where}/{key}/{name}")
                    for name, inner in schema[key].items()
                }
        for key in _LISTS:
            if isinstance(schema.get(key), list):
                inner_inherits = inherits and key == "allOf"
                out[key] = [
                    self._translate(inner, place, f"{where}/{key}/{index}", inherits=inner_inherits)
                    for index, inner in enumerate(schema[key])
                ]
        for key in _SINGLE:
            if isinstance(schema.get(key), list):
                out[key] = [self._translate(each, place, f"{where}/{key}") for each in schema[key]]
            elif key in schema:
                out[key] = self._translate(schema[key], place, f"{where}/{key}")
        if place.source.kind != "schema":
            self._settle_bounds(out)
            self._settle_required(schema, out, place)
        self._settle_alternatives(schema, out)
        return self._settle_null(schema, out) if place.source.kind in ("openapi3", "swagger2") else out

    def _settle_bounds(self, out: dict[str, Any]) -> None:
        """OpenAPI 3.0's exclusive bounds are flags on the others."""
        for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if isinstance(out.get(flag), bool):
                exclusive = out.pop(flag)
                if exclusive and bound in out:
                    out[flag] = out.pop(bound)

    def _settle_required(self, schema: Mapping[str, Any], out: dict[str, Any], place: Place) -> None:
        """Who writes need not give what the other side fills in."""
        marker = "readOnly" if self.direction == "request" else "writeOnly"
        properties = schema.get("properties")
        required = out.get("required")
        if isinstance(required, list) and isinstance(properties, Mapping):
            out["required"] = [name for name in required if not self._is_marked(properties.get(name), marker, place)]
        if out.get("required") == [] or isinstance(out.get("required"), bool):
            # Draft 4 forbids an empty list; a flag on a property is a habit of draft 3 and no rule.
            del out["required"]

    def _is_marked(self, schema: Any, marker: str, place: Place) -> bool:
        if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and schema["$ref"].startswith("#/"):
            schema = place.source.look_up(schema["$ref"][1:])
        return isinstance(schema, Mapping) and schema.get(marker) is True

    def _settle_alternatives(self, schema: Mapping[str, Any], out: dict[str, Any]) -> None:
        """A discriminator tells the alternatives apart by name, so an open one may fit beside the named one."""
        if self.discriminators and "discriminator" in schema and "oneOf" in out:
            out["anyOf"] = out.pop("oneOf")

    def _settle_null(self, schema: Mapping[str, Any], out: dict[str, Any]) -> dict[str, Any]:
        if not (schema.get("nullable") is True or schema.get("x-nullable") is True):
            return out
        if isinstance(out.get("type"), str) and not any(
            key in out for key in ("allOf", "anyOf", "oneOf", "not", "const")
        ):
            out["type"] = [out["type"], "null"]
            if "enum" in out and None not in out["enum"]:
                out["enum"] = [*out["enum"], None]
            return out
        return {"anyOf": [out, {"type": "null"}]} if out else out
