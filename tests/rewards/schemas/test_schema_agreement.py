"""Our compiled schemas and jsonschema give the same verdict, over generated instances and broken copies of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from jsonschema.validators import validator_for

from rewards.sample_rows import FOLDER
from rewards.schemas import Schema, list_schemas, read_schema
from rewards.schemas.files import SchemaFile, read_schema_file
from rewards.schemas.importing import import_component

SPECS = Path(__file__).parents[4] / "shared" / "specs"
OFFICIAL = sorted(path for path in SPECS.glob("*/*") if path.suffix in (".json", ".yaml"))
needs_specs = pytest.mark.skipif(not SPECS.is_dir(), reason="the official schemas are not beside the repository")
patient = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

OWN_WORDS: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["kind", "n"],
    "properties": {
        "kind": {"enum": ["a", "b", 1, None, [1], {"x": 0}]},
        "n": {"type": "integer", "minimum": -5, "exclusiveMaximum": 9, "multipleOf": 2},
        "share": {"type": "number", "multipleOf": 0.25, "maximum": 4},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True, "maxItems": 3},
        "pair": {"prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": {"type": "null"}},
        "same": {"const": {"a": [1, True]}},
        "code": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{2}$", "maxLength": 4},
        "tree": {"$ref": "#/$defs/Tree"},
        "any": True,
        "never": False,
        "some": {"contains": {"type": "integer"}, "minContains": 1, "maxContains": 2},
        "shape": {"oneOf": [{"$ref": "#/$defs/Circle"}, {"$ref": "#/$defs/Square"}]},
        "free": {"anyOf": [{"type": "string"}, {"type": ["integer", "null"]}]},
        "not": {"not": {"type": "string"}},
    },
    "patternProperties": {"^x-": {"type": ["string", "number"]}},
    "additionalProperties": {"type": "boolean"},
    "propertyNames": {"maxLength": 8},
    "minProperties": 2,
    "maxProperties": 9,
    "dependentRequired": {"tags": ["code"]},
    "dependentSchemas": {"share": {"properties": {"n": {"minimum": 0}}}},
    "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]},
    "then": {"required": ["tags"]},
    "else": {"properties": {"tags": False}},
    "$defs": {
        "Tree": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
            "required": ["value"],
            "additionalProperties": False,
        },
        "Circle": {"type": "object", "properties": {"r": {"type": "number", "minimum": 0}}, "required": ["r"]},
        "Square": {
            "allOf": [{"type": "object", "required": ["side"]}, {"properties": {"side": {"type": "integer"}}}],
        },
    },
}
DRAFT_07: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {"Id": {"type": "string", "pattern": "^[0-9]{3}$"}},
    "type": "object",
    "properties": {
        "id": {"$ref": "#/definitions/Id", "type": "integer"},
        "list": {"type": "array", "items": [{"type": "integer"}, {"const": 1}], "additionalItems": {"type": "null"}},
        "rest": {"items": {"enum": [1, True, 0, False, "1"]}, "minItems": 1},
        "deep": {"type": "object", "propertyNames": {"pattern": "^[a-c]$"}, "minProperties": 1},
    },
    "dependencies": {"list": ["id"], "deep": {"required": ["rest"]}},
    "additionalProperties": False,
    "required": ["id"],
}

OWN_VALID = [
    {"kind": "b", "n": -4},
    {"kind": "a", "n": 8, "tags": ["x", "y"], "code": "AB12", "share": 0.75, "x-1": 2, "free": None},
    {"kind": None, "n": 2.0, "tree": {"value": 1, "below": [{"value": 2}, {"value": 3, "below": []}]}, "extra": True},
    {"kind": {"x": 0}, "n": 0, "pair": [1, True, None], "same": {"a": [1, True]}, "some": ["a", 1], "not": 1},
    {"kind": [1], "n": 0, "shape": {"side": 3}, "any": {"deep": []}},
]
VALID_07 = [
    {"id": "123", "list": [1, 1, None], "rest": [1, False, "1"]},
    {"id": "007", "deep": {"a": 1}, "rest": [0]},
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.sampled_from([0.5, 1.0, 2.0, -0.25, 1e30, 10**30])
    | st.sampled_from(["", "a", "AB12", "123", "x-1", "TurtleExpression"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def instances(draw: Any, document: dict[str, Any]) -> Any:
    """Mostly valid instances of a schema: what it asks is heeded where that is simple, and left to chance elsewhere."""

    def look_up(pointer: str) -> Any:
        value: Any = document
        for step in pointer.split("/")[1:]:
            value = value[step.replace("~1", "/").replace("~0", "~")]
        return value

    def merge(schemas: list[Any]) -> Any:
        merged: dict[str, Any] = {}
        for schema in schemas:
            for key, value in schema.items() if isinstance(schema, dict) else ():
                if key == "properties" and key in merged:
                    merged[key] = {**merged[key], **value}
                elif key == "required" and key in merged:
                    merged[key] = list(dict.fromkeys([*merged[key], *value]))
                elif key != "allOf" or key not in merged:
                    merged[key] = value
        return merged

    def resolve(schema: Any) -> Any:
        for _ in range(20):
            if not isinstance(schema, dict):
                return schema
            if "$ref" in schema:
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = merge([look_up(schema["$ref"]), rest])
            elif "allOf" in schema:
                members = [resolve(member) for member in schema["allOf"]]
                schema = merge([{key: value for key, value in schema.items() if key != "allOf"}, *members])
            elif alternatives := schema.get("oneOf") or schema.get("anyOf"):
                rest = {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf")}
                schema = merge([resolve(draw(st.sampled_from(alternatives))), rest])
            elif "if" in schema:
                rest = {key: value for key, value in schema.items() if key not in ("if", "then", "else")}
                fits = draw(st.booleans())
                chosen = [schema["if"], schema.get("then", {})] if fits else [schema.get("else", {})]
                schema = merge([rest, *map(resolve, chosen)])
            else:
                return schema
        return schema

    def make(schema: Any, depth: int) -> Any:
        schema = resolve(schema)
        if not isinstance(schema, dict) or not schema or depth > 8:
            return draw(json_values)
        if "const" in schema:
            return copy.deepcopy(schema["const"])
        if "enum" in schema:
            return copy.deepcopy(draw(st.sampled_from(schema["enum"])))
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = draw(st.sampled_from(kind))
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "prefixItems" in schema else "any"
        if kind == "object":
            return make_object(schema, depth)
        if kind == "array":
            return make_array(schema, depth)
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", 0), schema.get("maximum", schema.get("exclusiveMaximum", 1_000))
            whole = draw(st.integers(int(low), max(int(low), int(high))))
            return whole if kind == "integer" or draw(st.booleans()) else whole / 2
        if kind == "string":
            if "pattern" in schema and draw(st.integers(0, 9)):
                return draw(st.from_regex(schema["pattern"], fullmatch=True, alphabet=st.characters(codec="ascii")))
            low = schema.get("minLength", 0)
            return draw(st.text("abcXYZ019 -é", min_size=low, max_size=min(low + 8, schema.get("maxLength", low + 8))))
        return {"boolean": draw(st.booleans()), "null": None}.get(kind, draw(json_values) if kind == "any" else None)

    def make_object(schema: dict[str, Any], depth: int) -> dict[str, Any]:
        named = {key: inner for key, inner in schema.get("properties", {}).items() if inner is not False}
        needed = [key for key in schema.get("required", ()) if key in named]
        spare = [key for key in named if key not in needed]
        least = max(0, schema.get("minProperties", 0) - len(needed))
        most = min(len(spare), max(least, 2 if depth < 4 else 0), schema.get("maxProperties", 99) - len(needed))
        chosen = draw(st.permutations(spare))[: draw(st.integers(min(least, most), most))] if spare and most > 0 else []
        made = {key: make(named[key], depth + 1) for key in [*needed, *chosen]}
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict) and depth < 3 and not draw(st.integers(0, 9)):
            made["extra"] = make(extra, depth + 1)
        return made

    def make_array(schema: dict[str, Any], depth: int) -> list[Any]:
        leading = schema.get("prefixItems") or (schema["items"] if isinstance(schema.get("items"), list) else [])
        low = schema.get("minItems", 0)
        count = draw(st.integers(low, low + 2)) if depth < 5 else low
        rest = schema.get("items", {}) if not isinstance(schema.get("items"), list) else schema.get("additionalItems")
        return [make(leading[index] if index < len(leading) else rest, depth + 1) for index in range(count)]

    return make(document, 0)


@st.composite
def damaged(draw: Any, value: Any) -> Any:
    """A copy with up to three faults: something missing, unknown, of another type, repeated or out of range."""
    top = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(0, 3))):
        holder, key = top, 0
        while isinstance(holder[key], (dict, list)) and holder[key] and draw(st.integers(0, 4)):
            holder = holder[key]
            key = draw(st.sampled_from(sorted(holder) if isinstance(holder, dict) else range(len(holder))))
        damage = draw(st.sampled_from(["remove", "replace", "unknown", "repeat", "near"]))
        item = holder[key]
        if damage == "remove" and isinstance(holder, dict):
            del holder[key]
        elif damage == "unknown" and isinstance(item, dict):
            item[draw(st.sampled_from(["x-1", "unknown", "Name", "é" * 9]))] = draw(json_values)
        elif damage == "repeat" and isinstance(item, list) and item:
            item.append(copy.deepcopy(item[0]))
        elif damage == "near" and isinstance(item, str):
            holder[key] = draw(st.sampled_from([item[:-1], item + "x", item.swapcase()]))
        elif damage == "near" and isinstance(item, (int, float)) and not isinstance(item, bool):
            holder[key] = draw(st.sampled_from([-item - 1, float(item), item * 1000 + 1, str(item), bool(item)]))
        else:
            holder[key] = draw(json_values)
    return top[0]


@cache
def compile_once(text: str) -> tuple[Schema, Any]:
    document = json.loads(text)
    return Schema(document), validator_for(document)(document)


def check_agreement(document: dict[str, Any], data: Any, valid: Sequence[Any] = ()) -> None:
    """`valid` are instances to damage beside those that are generated."""
    made = instances(document)
    value = data.draw(damaged(data.draw(st.sampled_from(valid) | made if valid else made)))
    schema, validator = compile_once(json.dumps(document))
    expected = validator.is_valid(value)
    judged = schema.judge(value)
    assert schema.is_valid(value) == judged.valid == expected
    assert (judged.share == 1.0) == judged.valid
    assert 0.0 <= judged.share <= 1.0 and len(judged.unknown) <= judged.keys


@cache
def list_components(path: Path) -> list[str | None]:
    """The components of an official file: all, but for those of TMF921 5.0 that intents are not made of."""
    names = read_schema_file(path).components() if path.parent.name != "a1" else [None]
    if "v5" in path.name:
        names = [name for name in names if any(word in name for word in ("Intent", "Expression", "Characteristic"))]
        names = [name for name in names if not name.endswith(("Event", "Payload"))]
    return names


@pytest.mark.parametrize(
    ("document", "valid"), [(OWN_WORDS, OWN_VALID), (DRAFT_07, VALID_07)], ids=["2020-12", "draft-07"]
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_schema_when_instances_are_generated_then_agrees_with_jsonschema(document, valid, data):
    """Every keyword that we support, on valid, damaged and arbitrary values."""
    check_agreement(document, data, valid)


@pytest.mark.parametrize(("document", "valid"), [(OWN_WORDS, OWN_VALID), (DRAFT_07, VALID_07)])
def test_schema_when_instances_are_valid_then_says_so(document, valid):
    """The written instances are what the generated faults start from."""
    assert all(Schema(document).is_valid(value) for value in valid)


@pytest.mark.parametrize("name", list_schemas())
@patient
@given(data=st.data())
def test_own_schemas_when_instances_are_generated_then_agree_with_jsonschema(name, data):
    """The schemas that we ship, starting from the sample references of their layers too."""
    check_agreement(read_schema(name), data, list_references(name))


@pytest.mark.parametrize("name", list_schemas())
def test_own_schemas_when_checked_by_jsonschema_then_are_schemas(name):
    """No misspelt keyword value that only our compiler would let pass."""
    document = read_schema(name)
    validator_for(document).check_schema(document)


def list_references(name: str) -> list[Any]:
    """What a perfect model would write for the sample rows of the layer that a schema is for."""
    function = {"tmf921_lifecycle": "telecom_lifecycle"}.get(name, name)
    lines = (FOLDER / f"{function}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(json.loads(line)["reference"]) for line in lines]


@pytest.mark.parametrize("name", list_schemas())
def test_own_schemas_when_references_are_judged_then_are_valid(name):
    """A right answer keeps its layer's schema and has no key that it does not know, the open layers aside."""
    schema = Schema(read_schema(name))
    assert all(schema.is_valid(value) for value in list_references(name))
    if name in ("a1_policy", "camara", "intent_3gpp", "o1_nrm", "tmf921"):
        assert all(schema.judge(value).unknown == () for value in list_references(name))


@needs_specs
@pytest.mark.parametrize("path", OFFICIAL, ids=lambda path: path.stem)
@settings(patient, max_examples=60)
@given(data=st.data())
def test_official_schemas_when_instances_are_generated_then_agree_with_jsonschema(path, data):
    """A1 files as they are, CAMARA and TMF921 components as imported."""
    component = data.draw(st.sampled_from(list_components(path)))
    check_agreement(official_document(path, component), data)


@needs_specs
@pytest.mark.parametrize(
    ("file", "component"),
    [
        ("network-slice-booking.yaml", "Area"),
        ("network-slice-booking.yaml", "SliceQosProfile"),
        ("quality-on-demand.yaml", "CreateSession"),
        ("quality-on-demand.yaml", "SessionInfo"),
        ("qos-profiles.yaml", "QosProfile"),
        ("TMF921_v4.0.0_swagger.json", "Intent_Create"),
        ("TMF921_v4.0.0_swagger.json", "IntentReport"),
    ],
)
@patient
@given(data=st.data())
def test_import_when_neither_null_nor_subtypes_matter_then_says_what_the_file_says(file, component, data):
    """The whole file under draft 4, whose words OpenAPI 3.0 and Swagger 2 borrow, is a second opinion on the import."""
    path = next(SPECS.rglob(file))
    source = official_file(path)
    raw = {"$ref": f"#{source.folder}/{component}", **open_absent(source.document)}
    imported = plain_document(path, component)
    # Draft 4 holds 1.0 for no integer.
    value = json.loads(json.dumps(data.draw(damaged(data.draw(instances(imported))))), parse_float=_read_whole)
    if "null" not in json.dumps(value):
        assert Schema(imported).is_valid(value) == Draft4Validator(raw).is_valid(value)


def _read_whole(text: str) -> int | float:
    return int(float(text)) if float(text).is_integer() else float(text)


def open_absent(value: Any) -> Any:
    """A copy in which references to files that are not there allow anything."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str) and not value["$ref"].startswith("#"):
            return {}
        return {key: open_absent(child) for key, child in value.items()}
    return [open_absent(child) for child in value] if isinstance(value, list) else value


@cache
def official_document(path: Path, component: str | None) -> dict[str, Any]:
    return import_component(path, component) if component else json.loads(path.read_text(encoding="utf-8"))


@cache
def official_file(path: Path) -> SchemaFile:
    return read_schema_file(path)


@cache
def plain_document(path: Path, component: str) -> dict[str, Any]:
    return import_component(path, component, direction="response", discriminators=False)
