"""Importing a component: references, subtypes, null, read-only keys, and errors that help."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import UserError
from rewards.functions.schema_valid import SchemaValid
from rewards.schemas import Schema
from rewards.schemas.importing import add_arguments, import_component, run
from rewards.types import Completion, Example

API: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "fatias", "version": "1"},
    "paths": {},
    "components": {
        "schemas": {
            "Animal": {
                "type": "object",
                "required": ["id", "kind", "secret"],
                "properties": {
                    "id": {"type": "string", "readOnly": True},
                    "kind": {"type": "string"},
                    "secret": {"type": "string", "writeOnly": True},
                    "nick": {"type": "string", "nullable": True},
                    "mode": {"type": "string", "enum": ["a", "b"], "nullable": True},
                    "link": {"allOf": [{"$ref": "#/components/schemas/Link"}], "nullable": True},
                    "age": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                },
                "discriminator": {
                    "propertyName": "kind",
                    "mapping": {"cat": "#/components/schemas/Cat", "dog": "Dog"},
                },
            },
            "Cat": {
                "allOf": [
                    {"$ref": "#/components/schemas/Animal"},
                    {"type": "object", "required": ["lives"], "properties": {"lives": {"type": "integer"}}},
                ]
            },
            "Dog": {
                "allOf": [
                    {"$ref": "#/components/schemas/Animal"},
                    {"type": "object", "properties": {"bones": {"type": "array", "items": {"type": "string"}}}},
                ]
            },
            "Link": {"type": "object", "required": ["href"], "properties": {"href": {"type": "string"}, "next": {
                "$ref": "#/components/schemas/Link"}}},
            "Zoo": {"type": "object", "properties": {"animals": {"type": "array", "items": {
                "$ref": "#/components/schemas/Animal"}}}},
            "Either": {
                "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
                "discriminator": {"propertyName": "kind", "mapping": {
                    "cat": "#/components/schemas/Cat", "dog": "#/components/schemas/Dog"}},
            },
            "Shared": {"type": "object", "properties": {"place": {"$ref": "common.yaml#/components/schemas/Place"}}},
            "Broken": {"properties": {"a": {"$ref": "#/components/schemas/Lnik"}, "b": {"$ref": "#/nowhere"}, "c": 3}},
        }
    },
}  # fmt: skip
CAT = {"id": "1", "kind": "cat", "secret": "s", "lives": 9}


@pytest.fixture
def api(tmp_path: Path) -> Path:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(API))
    return path


def accepts(path: Path, component: str | None, value: Any, **options: Any) -> bool:
    return Schema(import_component(path, component, **options)).is_valid(value)


def test_import_when_a_component_has_subtypes_then_applies_the_named_one(api):
    """What the discriminator names, wherever the supertype is referred to; other names are only the supertype."""
    assert accepts(api, "Animal", CAT)
    assert not accepts(api, "Animal", {**CAT, "lives": "nine"})
    assert accepts(api, "Animal", {**CAT, "kind": "bird", "lives": "nine"})
    assert not accepts(api, "Animal", {**CAT, "kind": "dog", "bones": [1]})
    assert not accepts(api, "Zoo", {"animals": [{**CAT, "lives": None}]})
    assert accepts(api, "Zoo", {"animals": [{**CAT, "lives": None}]}, discriminators=False)
    assert not accepts(api, "Cat", {"kind": "cat", "secret": "s"}) and accepts(api, "Cat", CAT)


def test_import_when_alternatives_have_a_discriminator_then_an_open_one_may_fit_too(api):
    """oneOf would refuse a cat that a dog's open schema also takes."""
    assert accepts(api, "Either", CAT)
    assert not accepts(api, "Either", CAT, discriminators=False)


def test_import_when_a_value_may_be_null_then_null_is_allowed_and_nowhere_else(api):
    """On a type, an enumeration and a reference."""
    for key, right in (("nick", "x"), ("mode", "a"), ("link", {"href": "h"})):
        assert accepts(api, "Animal", {**CAT, key: None}) and accepts(api, "Animal", {**CAT, key: right})
    assert not accepts(api, "Animal", {**CAT, "mode": "c"}) and not accepts(api, "Animal", {**CAT, "link": {}})
    assert not accepts(api, "Animal", {**CAT, "kind": None})


def test_import_when_keys_are_read_only_then_a_request_need_not_give_them(api):
    """And a response need not give the write-only ones."""
    request = {key: value for key, value in CAT.items() if key != "id"}
    response = {key: value for key, value in CAT.items() if key != "secret"}
    assert accepts(api, "Animal", request) and not accepts(api, "Animal", response)
    assert accepts(api, "Animal", response, direction="response")
    assert not accepts(api, "Animal", request, direction="response")


def test_import_when_bounds_are_exclusive_by_a_flag_then_are_numbers(api):
    """OpenAPI 3.0 borrows draft 4's flags."""
    assert accepts(api, "Animal", {**CAT, "age": 0.5}) and not accepts(api, "Animal", {**CAT, "age": 0})


def test_import_when_references_are_recursive_then_the_document_stays_finite_and_self_contained(api):
    """A component that holds itself, at any depth; nothing refers outside."""
    document = import_component(api, "Link")
    assert accepts(api, "Link", {"href": "a", "next": {"href": "b", "next": {"href": "c"}}})
    assert not accepts(api, "Link", {"href": "a", "next": {"href": "b", "next": {}}})
    assert "components" not in json.dumps(document) and document["$schema"].endswith("draft-07/schema#")
    assert "Animal" not in json.dumps(document)


def test_import_when_another_file_is_there_then_is_read_else_anything_is_allowed(api, tmp_path):
    """As the files of one API refer to each other; with `refuse` an absent one is an error."""
    assert accepts(api, "Shared", {"place": 3})
    assert "was not there" in json.dumps(import_component(api, "Shared"))
    with pytest.raises(UserError, match=r"common\.yaml is not there"):
        import_component(api, "Shared", missing="refuse")
    (tmp_path / "common.yaml").write_text("components:\n  schemas:\n    Place: {type: string, example: 2026-01-01}\n")
    assert accepts(api, "Shared", {"place": "x"}) and not accepts(api, "Shared", {"place": 3})


def test_import_when_the_file_is_swagger_2_then_definitions_are_its_components(tmp_path):
    """With a discriminator that is a bare key, whose values are component names."""
    path = tmp_path / "api.yaml"
    path.write_text("""
swagger: "2.0"
definitions:
  Expression:
    type: object
    discriminator: "@type"
    required: ["@type"]
    properties: {"@type": {type: string}}
  Turtle:
    allOf:
      - $ref: "#/definitions/Expression"
      - type: object
        properties: {value: {type: string, x-nullable: true}}
  Intent:
    type: object
    required: [expression]
    properties:
      expression: {$ref: "#/definitions/Expression"}
      when: {type: string, format: date-time}
""")
    assert accepts(path, "Intent", {"expression": {"@type": "Turtle", "value": None}})
    assert accepts(path, "Intent", {"expression": {"@type": "Other", "value": 1}})
    assert not accepts(path, "Intent", {"expression": {"@type": "Turtle", "value": 1}})


def test_import_when_the_file_is_openapi_31_then_is_draft_2020_12(tmp_path):
    """Type lists, const, and keys beside a reference count."""
    path = tmp_path / "api.yaml"
    path.write_text("""
openapi: 3.1.0
components:
  schemas:
    A: {type: [string, "null"]}
    B: {properties: {a: {$ref: "#/components/schemas/A", maxLength: 2}, c: {const: 1}}}
""")
    document = import_component(path, "B")
    assert document["$schema"].endswith("2020-12/schema") and "$defs" in document
    assert accepts(path, "B", {"a": None, "c": 1}) and accepts(path, "B", {"a": "xy"})
    assert not accepts(path, "B", {"a": "xyz"}) and not accepts(path, "B", {"c": 2})


def test_import_when_the_file_is_a_json_schema_then_its_top_or_a_definition_is_taken(tmp_path):
    """Draft 7: what stands beside a reference does not count."""
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({
        "$schema": "http://json-schema.org/draft-07/schema#", "title": "Policy", "type": "object",
        "properties": {"id": {"$ref": "#/definitions/Id", "maxLength": 1}}, "required": ["id"],
        "definitions": {"Id": {"type": "string", "pattern": "^[0-9]+$"}},
    }))  # fmt: skip
    for name in (None, "Policy", "policy"):
        assert accepts(path, name, {"id": "123"}) and not accepts(path, name, {"id": "x"})
    assert accepts(path, "Id", "1") and accepts(path, "#/definitions/Id", "1") and not accepts(path, "Id", 1)


def test_import_when_the_name_is_wrong_then_offers_the_nearest(api):
    """A typo, another case, no name at all."""
    for name, hint in (("Anmal", "did you mean Animal"), ("cat", "Cat"), ("#/components/schemas/Zo", "Zoo")):
        with pytest.raises(UserError, match=hint):
            import_component(api, name)
    with pytest.raises(UserError, match=r"name a component; there are: Animal, Broken, Cat"):
        import_component(api)


def test_import_when_references_lead_nowhere_then_lists_them_all(api):
    """With their places, and the nearest name."""
    with pytest.raises(UserError) as caught:
        import_component(api, "Broken")
    problems = "\n".join(caught.value.problems)
    assert (
        "did you mean Link?" in problems and "#/nowhere leads nowhere" in problems and "int is not a schema" in problems
    )
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.json", "{", "not strict JSON"),
        ("a.yaml", "a: [", "neither JSON nor YAML"),
        ("a.yaml", "- 1", "holds a list"),
        ("a.json", '{"type": "text"}', "no such type"),
    ],
)
def test_import_when_the_file_is_no_schema_then_says_what_it_is(tmp_path, name, text, word):
    """One clear line."""
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=word):
        import_component(tmp_path / name)
    with pytest.raises(UserError, match="cannot be read"):
        import_component(tmp_path / "absent.json")


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(list(words))


def test_run_when_a_component_is_written_then_schema_valid_takes_the_file(api, tmp_path, capsys):
    """The two together, as a user does it."""
    out = tmp_path / "animal.json"
    assert run(parse(str(api), "--component", "Animal", "--output", str(out))) == 0
    reward = SchemaValid(schema=str(out))
    example = Example("1", "any", [], None)
    assert reward(example, Completion(json.dumps(CAT))).value == 1.0
    assert reward(example, Completion(json.dumps({**CAT, "lives": "x"}))).value < 1.0
    assert run(parse(str(api), "--component", "Animal")) == 0
    assert capsys.readouterr().out == out.read_text()


def test_run_when_asked_for_names_then_lists_them(api, capsys):
    """To choose from."""
    assert run(parse(str(api), "--list")) == 0
    assert capsys.readouterr().out.split() == sorted(API["components"]["schemas"])


def test_run_when_the_user_is_mistaken_then_says_so_on_the_error_stream(api, tmp_path, capsys):
    """Exit code 2, no traceback; what is merely absent is a warning."""
    assert run(parse(str(api), "--component", "Anmal")) == 2
    assert run(parse(str(api), "--component", "Cat", "--output", str(tmp_path / "no" / "folder.json"))) == 2
    assert run(parse(str(api), "--component", "Shared")) == 0
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 3 and "did you mean" in lines[0] and "cannot be written" in lines[1]
    assert lines[2].startswith("warning: ") and json.loads(captured.out)["title"] == "Shared"


def test_import_when_the_component_is_closed_over_its_parts_then_stays_closed(tmp_path):
    """OpenAPI 3.1 closes what allOf composes with unevaluatedProperties."""
    schemas = {
        "Base": {"type": "object", "properties": {"id": {"type": "string"}}},
        "Order": {
            "allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"total": {"type": "number"}}}],
            "unevaluatedProperties": False,
        },
    }
    path = tmp_path / "api.json"
    path.write_text(json.dumps({"openapi": "3.1.0", "paths": {}, "components": {"schemas": schemas}}))
    schema = Schema(import_component(path, "Order"))
    assert schema.is_valid({"id": "a", "total": 3}) and not schema.is_valid({"id": "a", "totl": 3})
