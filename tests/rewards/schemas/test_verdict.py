"""The verdict of a schema: what earlier compilers got wrong, what is refused, and what may take no time."""

from __future__ import annotations

import json

import pytest

from rewards.errors import UserError
from rewards.functions.schema_valid import SchemaValid
from rewards.host.scoring import RewardHost
from rewards.schemas import Schema, Shelf
from rewards.schemas.verdict import SchemaVerdict
from rewards.types import Completion, Example
from tests.timing import at_most

EXAMPLE = Example("1", "any", [], None)
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TREE = {"$ref": "#/$defs/n"}


def score_of(schema: object, text: str, **options: object):
    with RewardHost([SchemaValid(schema=schema, **options)]) as host:
        (scored,) = host.score([(EXAMPLE, Completion(text))])
    return scored.outcomes[0]


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"properties": {"a": True}, "unevaluatedProperties": False}, {"a": 1}, {"a": 1, "b": 2}),
        ({"prefixItems": [True], "unevaluatedItems": False}, [1], [1, 2]),
        ({"properties": {"a": {"multipleOf": 0.01}}}, {"a": 0.07}, {"a": 0.075}),
        ({"properties": {"a": {"pattern": "^\\p{L}+$"}}}, {"a": "ação"}, {"a": "a1"}),
        ({"properties": {"a": {"pattern": "^[\\p{L} ]{1,255}$"}}}, {"a": "é"}, {"a": ""}),
        # `$` is the end, as in ECMA-262; the library jsonschema, with Python's, takes a line break after it.
        ({"properties": {"a": {"pattern": "^[0-9]{3}$"}}}, {"a": "123"}, {"a": "123\n"}),
        ({"properties": {"a": {"const": 2**70}}}, {"a": 2**70}, {"a": 2**70 + 1}),
        (
            {"$schema": "http://json-schema.org/draft-04/schema#", "items": {"minimum": 1, "exclusiveMinimum": True}},
            [2],
            [1],
        ),
        (
            {
                "$id": "https://ex.org/tree", "$dynamicAnchor": "node", "type": "object",
                "properties": {"children": {"items": {"$dynamicRef": "#node"}}},
            },
            {"children": [{"children": []}]},
            {"children": [{"children": [3]}]},
        ),
        (
            {"$ref": "#/definitions/Page«Item» 1", "definitions": {"Page«Item» 1": {"type": "object"}}},
            {},
            [],
        ),
        (
            {
                "$schema": DRAFT_7,
                "definitions": {
                    "x": {"type": "string"},
                    "box": {
                        "$id": "https://ex.org/box.json",
                        "definitions": {"x": {"type": "number"}},
                        "properties": {"v": {"$ref": "#/definitions/x"}},
                    },
                },
                "$ref": "#/definitions/box",
            },
            {"v": 3},
            {"v": "3"},
        ),
    ],
    ids=["unevaluated keys", "unevaluated items", "decimals", "letters", "long class", "end", "long integer", "draft 4", "dynamic", "names that are not URIs", "base"],
)  # fmt: skip
def test_schema_valid_when_keywords_are_hard_then_the_verdict_is_the_standard_s(schema, right, wrong):
    """1 exactly where it is valid, and less where it is not."""
    good, bad = score_of(schema, json.dumps(right)), score_of(schema, json.dumps(wrong))
    assert (good.value, good.parts["valid"]) == (1.0, 1.0)
    assert bad.value < 1.0 and bad.parts["valid"] == 0.0 and bad.reason


def test_schema_valid_when_keywords_are_not_graded_then_are_one_rule_and_named():
    """Half for the key that is right, and the rule that is broken is said."""
    schema = {"properties": {"a": {"type": "integer"}}, "unevaluatedProperties": False}
    outcome = score_of(schema, '{"a": 1, "z": 2}')
    assert outcome.value == pytest.approx(0.5)
    assert "unevaluatedProperties" in outcome.reason
    assert score_of(schema, '{"a": "x"}').value == pytest.approx(0.5)


def test_schema_valid_when_formats_are_on_then_are_a_rule():
    """Off, as the standard has it; on by option."""
    schema = {"properties": {"day": {"format": "date"}}}
    assert score_of(schema, '{"day": "amanhã"}').value == 1.0
    assert score_of(schema, '{"day": "amanhã"}', formats=True).value < 1.0
    assert score_of(schema, '{"day": "2026-02-28"}', formats=True).value == 1.0


def test_schema_when_malformed_then_every_fault_has_its_place():
    """The schema of schemas is asked, not the first answer that needs it."""
    with pytest.raises(UserError) as caught:
        Schema({"type": "strin", "minimum": "a", "properties": {"a": {"pattern": "("}, "b": 3}})
    text = "\n".join(caught.value.problems)
    for words in (
        "#/type: no such type: 'strin'",
        "#/minimum: malformed",
        "#/properties/a/pattern",
        "#/properties/b: int is no",
    ):
        assert words in text


def test_schema_valid_when_files_are_referred_to_then_only_those_on_the_shelf_are_read(tmp_path):
    """Beside the schema, or copies of remote ones; never the network, and nothing above the folder."""
    (tmp_path / "remotes" / "v1").mkdir(parents=True)
    (tmp_path / "remotes" / "v1" / "n.json").write_text('{"type": "integer"}')
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "n.json").write_text('{"type": "integer"}')
    (tmp_path / "s" / "a.json").write_text('{"properties": {"a": {"$ref": "n.json"}}}')
    (tmp_path / "s" / "b.json").write_text('{"properties": {"a": {"$ref": "../secret.json"}}}')
    assert score_of(str(tmp_path / "s" / "a.json"), '{"a": 1}').value == 1.0
    assert score_of(str(tmp_path / "s" / "a.json"), '{"a": "x"}').value < 1.0
    with pytest.raises(ValueError, match="secret"):
        SchemaValid(schema=str(tmp_path / "s" / "b.json"))
    remote = {"properties": {"a": {"$ref": "https://ex.org/v1/n.json"}}}
    assert score_of(remote, '{"a": "x"}', remotes=str(tmp_path / "remotes")).value < 1.0
    with pytest.raises(ValueError, match="not in this document"):
        SchemaValid(schema=remote)
    assert Shelf().file is None


@pytest.mark.parametrize("text", ['{"\\ud800": 1}', '{"a": "\\udfff"}'])
def test_schema_valid_when_half_characters_are_named_then_reasons_can_be_written(text):
    """A lone surrogate in a key ended an evaluation when its row was written."""
    outcome = score_of({"properties": {"a": {"maxLength": 0}}, "additionalProperties": False}, text)
    assert outcome.value < 1.0
    json.dumps(outcome.reason, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, json.dumps({"a": "a" * 200_000 + "b"})),
        ({"properties": {"a": {"pattern": "^(a|aa)+(?=b)c$"}}}, json.dumps({"a": "a" * 200_000})),
        ({"properties": {"a": {"pattern": "(a{1,200}){1,50}b"}}}, json.dumps({"a": "a" * 200_000})),
        ({"patternProperties": {"^(?=a)(a+)+$": {"type": "null"}}}, json.dumps({str(key): 1 for key in range(50_000)})),
        ({"properties": {"a": {"type": "string"}}, "unevaluatedProperties": False}, json.dumps({str(key): 1 for key in range(50_000)})),
        ("camara", json.dumps({str(key): 1 for key in range(50_000)})),
        ({"$defs": {"n": {"allOf": [{"properties": {"c": TREE}}, {"properties": {"c": TREE}}], "required": ["x"]}}, **TREE}, '{"c":' * 30 + "{}" + "}" * 30),
        ({"$defs": {"n": {"anyOf": [{"properties": {"c": TREE}, "required": ["x"]}] * 4}}, **TREE}, '{"c":' * 30 + "{}" + "}" * 30),
        ({"properties": {"a": {"maximum": 5}}}, '{"a": ' + "9" * 6_000 + "}"),
        ({"type": "object"}, '{"a":' * 50_000 + "1" + "}" * 50_000),
    ],
    ids=["nested plus", "look-ahead", "repeats", "keys", "unevaluated", "camara", "allOf", "anyOf", "digits", "deep"],
)  # fmt: skip
def test_schema_valid_when_schema_and_text_are_hostile_then_is_done_in_time(schema, text):
    """No pattern, recursion or number of keys makes a completion wait, and none of these is valid."""
    with at_most(2.0):
        outcome = score_of(schema, text)
    assert outcome.status == "value" and outcome.value < 1.0


@pytest.mark.parametrize(
    ("value", "place", "keyword"),
    [
        ({"a": [{"b/c": "x"}]}, "/a/0/b~1c", "type"),
        ({"a": [{"d~e": 1}, {"d~e": -1}]}, "/a/1/d~0e", "minimum"),
        ({}, "", "required"),
    ],
)
def test_list_faults_when_a_value_is_deep_then_the_place_is_a_json_pointer(value, place, keyword):
    """RFC 6901: positions are numbers, `/` and `~` of a key are written `~1` and `~0`; the whole value is the empty pointer."""
    items = {"properties": {"b/c": {"type": "integer"}, "d~e": {"minimum": 0}}}
    document = {"required": ["a"], "properties": {"a": {"items": items}}}
    (fault,) = SchemaVerdict(document, "schema").list_faults(value, 10)
    assert (fault.place, fault.keyword) == (place, keyword)
