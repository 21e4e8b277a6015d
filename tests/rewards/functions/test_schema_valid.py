"""The reward for keeping a schema: shares of rules, unknown keys, where the schema comes from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rewards.errors import UserError
from rewards.functions.schema_valid import SchemaValid, resolve_schema
from rewards.schemas import Schema, list_schemas, read_schema
from rewards.testing import check_reward
from rewards.types import Completion, Example, Score

SCHEMA = {
    "type": "object",
    "properties": {
        "sst": {"type": "integer", "minimum": 0, "maximum": 255},
        "sd": {"type": "string", "pattern": "^[0-9a-f]{6}$"},
        "mode": {"enum": ["SHARED", "NON_SHARED"]},
        "cells": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    },
    "required": ["sst", "mode"],
}
RIGHT = {"sst": 1, "sd": "00000a", "mode": "SHARED", "cells": [1, 2]}


def score_of(answer: Any, schema: Any = SCHEMA, **options: Any) -> Score:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return SchemaValid(schema=schema, **options)(Example("1", "any", [], None), Completion(text))


def test_schema_valid_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        SchemaValid(schema=SCHEMA),
        Example("1", "any", [], json.dumps(RIGHT)),
        right=[json.dumps(RIGHT), '{"sst": 255, "mode": "NON_SHARED"}', '```json\n{"sst": 1.0, "mode": "SHARED"}\n```'],
        partial=[json.dumps({**RIGHT, "sst": 256}), json.dumps({**RIGHT, "cells": [1, "x"]}), '{"sst": 1}'],
        wrong=["", "{}", "[]", "null", '{"a": 1}'],
        hostile_size=200_000,
    )


def test_schema_valid_when_rules_are_broken_then_pays_the_share_kept():
    """Each rule weighs the same; what is needed and missing loses its own rule and what its value could have kept."""
    whole = score_of(RIGHT)
    assert whole.value == 1.0 and whole.parts == {"valid": 1.0, "rules": 1.0, "known": 1.0, "single": 1.0}
    one_wrong = score_of({**RIGHT, "mode": "shared"})
    assert 0.8 < one_wrong.value < 1.0 and one_wrong.parts["valid"] == 0.0 and "/mode" in one_wrong.reason
    two_wrong = score_of({**RIGHT, "mode": "shared", "sd": "xyz"})
    assert two_wrong.value < one_wrong.value
    assert score_of({"sst": 1}).value < score_of({"sst": 1, "mode": "x"}).value < 1.0
    assert (
        score_of({"sst": 1, "mode": "SHARED", "cells": [1, 2, "x", 4]}).value > score_of({**RIGHT, "cells": "x"}).value
    )


def test_schema_valid_when_a_list_is_long_then_its_items_weigh_as_one_rule():
    """A giant list of right items does not drown the rules that are broken."""
    broken = {"sst": 999, "mode": "x", "cells": [1]}
    assert score_of({**broken, "cells": [1] * 5000}).value == pytest.approx(score_of(broken).value)


def test_schema_valid_when_keys_are_unknown_to_an_open_schema_then_reports_them():
    """A misspelt name passes such a schema; it is a part always, and a cost when asked."""
    answer = {"sst": 1, "mode": "SHARED", "mdoe": "SHARED", "cels": []}
    score = score_of(answer)
    assert score.value == 1.0 and score.parts["known"] == 0.5 and "/mdoe" in score.reason
    assert score_of(answer, unknown_cost=1.0).value == 0.5
    assert score_of(answer, unknown_cost=0.5).value == 0.75
    assert score_of({"sst": 1, "mode": "SHARED"}, unknown_cost=1.0).value == 1.0


def test_schema_valid_when_a_closed_schema_meets_unknown_keys_then_they_break_a_rule():
    """Few cost little, stuffing costs much."""
    closed = {**SCHEMA, "additionalProperties": False}
    few = score_of({**RIGHT, "x": 1}, closed)
    many = score_of({**RIGHT, **{f"k{n}": n for n in range(200)}}, closed)
    assert 0.5 < few.value < 1.0 and many.value < few.value and many.parts["valid"] == 0.0
    assert few.parts["known"] == 0.8


def test_schema_valid_when_alternatives_exist_then_the_nearest_is_graded():
    """Nearly one of them is worth something, never all; two at once break oneOf."""
    schema = {
        "oneOf": [
            {"type": "object", "properties": {"r": {"type": "number"}}, "required": ["r"]},
            {
                "type": "object",
                "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
                "required": ["a", "b"],
            },
        ]
    }
    assert score_of({"r": 1}, schema).value == 1.0
    assert score_of({"r": 1, "a": 1, "b": 2}, schema).value == 0.5
    near, far = score_of({"a": 1, "b": "x"}, schema).value, score_of({"z": 1}, schema).value
    assert far < near < 1.0


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("não sei", 0.0),
        ("", 0.0),
        ("{}", 0.0),
        ("[1, 2, 3]", 0.0),
        (json.dumps(SCHEMA), 0.0),
        ('{"sst": NaN, "mode": null}', 0.5),
        ('{"sst": 1e999, "mode": "x"}', 0.5),
        ('{"sst": 1, "mode": "SHARED", "sst": 2}', 0.5),
        ('{"sst": 1, "mode": "SHARED"}\n\nou\n\n{"sst": 2, "mode": "NON_SHARED"}', 0.25),
        ('{"sst": ' * 500 + "1" + "}" * 500, 0.3),
    ],
)
def test_schema_valid_when_the_answer_is_a_cheat_then_pays_little(text, most):
    """Nothing read, a schema echoed, numbers that are none, two answers at once, depth without end."""
    assert score_of(text).value <= most


def test_schema_valid_when_no_schema_is_named_then_the_row_names_its_layer():
    """By target_layer, else by task; a life-cycle layer has the schema of its family."""
    function = SchemaValid()

    def schema_of(layer: str | None, task: str = "any") -> Schema:
        return function.schema_for(Example("1", task, [], None, {"target_layer": layer} if layer else {}))

    for name in list_schemas():
        assert schema_of(name) is resolve_schema(name) is schema_of(None, name)
    assert schema_of("tmf921_lifecycle_scale") is resolve_schema("tmf921_lifecycle")
    assert schema_of("tmf921") is resolve_schema("tmf921")
    problems = function.problems(Example("1", "any", [], None, {"target_layer": "wifi"}))
    assert len(problems) == 1 and "no schema for layer 'wifi'" in problems[0] and "o1_nrm" in problems[0]


def test_schema_valid_when_the_schema_is_a_file_then_is_read_again_after_a_change(tmp_path):
    """A path, a name, a text and an object are all the same to it."""
    path = tmp_path / "own.json"
    path.write_text(json.dumps(SCHEMA))
    assert score_of(RIGHT, str(path)).value == score_of(RIGHT, json.dumps(SCHEMA)).value == 1.0
    path.write_text(json.dumps({"type": "object", "required": ["other"]}))
    assert score_of(RIGHT, str(path)).value < 1.0
    assert score_of(read_schema("camara"), "camara").value < 1.0


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ("o1_nmr", "did you mean o1_nrm"),
        ("/no/such/file.json", "neither a file nor one of ours"),
        ({"type": "text"}, "no such type"),
        ({"$ref": "#/$defs/None"}, "is not in this document"),
        ({"$ref": "#"}, "without an end"),
        ({"not": {"$ref": "#"}}, "without an end"),
        ({"dependentSchemas": {"a": {"$ref": "#"}}}, "without an end"),
        ({"properties": {"a": 3}}, "is not a schema"),
        ({"properties": {"a": {"pattern": "("}, "b": {"minimum": "1"}}}, r"(?s)pattern.*minimum"),
        ({"$ref": "https://example.org/other.json"}, "is not in this document"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "not supported; allowed are"),
        ("{oops", "not strict JSON"),
    ],
)
def test_schema_valid_when_the_schema_is_faulty_then_says_all_that_is_wrong(schema, word):
    """A user's mistake, found before any row is scored."""
    with pytest.raises(ValueError, match=word):
        SchemaValid(schema=schema)


def test_resolve_schema_when_given_an_api_then_points_to_the_import(tmp_path):
    """An OpenAPI file is not a schema."""
    path = tmp_path / "api.json"
    path.write_text('{"openapi": "3.0.0", "components": {}}')
    with pytest.raises(UserError, match="schema import"):
        resolve_schema(str(path))


def test_schema_when_a_value_is_judged_then_names_places_as_pointers():
    """Into the value, with escapes as JSON pointers have them."""
    schema = Schema({"properties": {"a/b": {"items": {"type": "integer"}}}})
    judged = schema.judge({"a/b": [1, "x"], "c": 1})
    assert [broken.place for broken in judged.broken] == ["/a~1b/1"] and judged.unknown == ("/c",) and judged.keys == 2


def test_schema_when_a_value_is_deeper_than_any_answer_then_is_not_valid():
    """No recursion without an end."""
    value: Any = {}
    for _ in range(100):
        value = {"a": value}
    schema = Schema({"properties": {"a": {"$ref": "#"}}})
    assert not schema.is_valid(value) and schema.judge(value).share == 0.0
    assert schema.is_valid({"a": {"a": {}}})


def test_schema_when_every_item_but_one_of_very_many_is_right_then_is_not_valid():
    """A share that rounds to 1 is no 1."""
    judged = Schema({"items": {"type": "integer"}}).judge([1] * 200_000 + ["x"])
    assert not judged.valid and judged.share < 1.0


@pytest.mark.parametrize(
    ("layer", "right", "wrong"),
    [
        ("a1_policy", {"scope": {"sliceId": {"sst": 1, "plmnId": {"mcc": "724", "mnc": "05"}}},
                       "sliceSlaObjectives": {"maxNumberOfUes": 5}},
         [("maxNumberOfUes", "maxUes"), ('"mcc"', '"mc"'), ('"724"', '"72"'), ('"sst": 1', '"sst": 300')]),
        ("o1_nrm", {"ServiceProfile": {"plmnInfoList": [{"plmnId": {"mcc": "724", "mnc": "05"}, "snssai": {"sst": 1}}],
                                       "uEMobilityLevel": "NOMADIC", "dLThptPerUE": {"guaThpt": 1}}},
         [("NOMADIC", "nomadic"), ('"guaThpt": 1', '"guaThpt": true'), ('"sst": 1', '"sst": 256')]),
        ("camara", {"serviceTime": {"startDate": "2026-01-01T00:00:00Z"}, "serviceArea": {"areaType": "CIRCLE",
                    "center": {"latitude": 1, "longitude": 2}, "radius": 5},
                    "sliceQosProfile": {"downStreamRatePerDevice": {"value": 2, "unit": "Gbps"}}},
         [('"value": 2', '"value": 2000'), ('"value": 2', '"value": 1.5'), ("Gbps", "GB"), ('"radius": 5', '"r": 5')]),
        ("intent_3gpp", {"intentExpectations": [{"expectationId": "1", "expectationVerb": "ENSURE", "expectationTargets": [
            {"targetName": "DLLatencyTarget", "targetCondition": "IS_LESS_THAN", "targetValueRange": 5}]}]},
         [("ENSURE", "PLEASE"), ("IS_LESS_THAN", "<"), ("targetName", "name")]),
        ("tmf921", {"name": "x", "expression": {"@type": "TurtleExpression", "expressionLanguage": "Turtle",
                                                "expressionValue": "a b c ."}},
         [('"name": "x"', '"name": 1'), ('"Turtle"', '"SQL"'), ('"a b c ."', "{}"), ('"expression"', '"expresion"')]),
    ],
)  # fmt: skip
def test_own_schemas_when_a_fact_of_the_standard_is_broken_then_notice(layer, right, wrong):
    """Names, enumerations, ranges and types that the standards fix."""
    assert score_of(right, layer).value == 1.0
    for old, new in wrong:
        text = json.dumps(right)
        assert old in text
        assert score_of(text.replace(old, new, 1), layer).parts["valid"] == 0.0, (old, new)


@pytest.mark.parametrize(
    ("schema", "shares"),
    [
        ({"uniqueItems": True, "minItems": 1}, [([1, 2], 1), ([1, 1], 1 / 2)]),
        ({"multipleOf": 2.5, "minimum": 0}, [(5, 1), (4, 1 / 2)]),
        ({"multipleOf": 3, "minimum": 0}, [(6, 1), (7, 1 / 2), (7.5, 1 / 2)]),
        ({"multipleOf": 0.01, "minimum": 0}, [(0.07, 1), (0.075, 1 / 2)]),
        ({"if": {"type": "integer"}, "then": {"minimum": 5}, "else": {"minLength": 2}}, [(6, 1), (3, 0), ("ab", 1), ("a", 0)]),
        ({"type": "number", "oneOf": [{"minimum": 5}, {"maximum": 1}]}, [(6, 1), (3, 1 / 2)]),
        ({"anyOf": [{"required": ["a", "b"]}]}, [({"a": 1, "b": 2}, 1)]),
        ({"required": ["a", "b"]}, [({"a": 1, "b": 2}, 1), ({"a": 1}, 1 / 3)]),
        ({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [([1, "a"], 1), ([1, 2], 1 / 2)]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}],
          "additionalItems": {"type": "string"}}, [([1, "a"], 1), ([1, 2], 1 / 2)]),
        ({"contains": {"type": "integer"}, "minContains": 2}, [([1, "a", 2], 1), ([1, "a"], 0)]),
    ],
)  # fmt: skip
def test_schema_when_values_keep_some_of_its_rules_then_shares_are_those_counted_by_hand(schema, shares):
    """Rules kept of rules that apply; whole only where the schema is kept."""
    compiled = Schema(schema)
    for value, share in shares:
        judged = compiled.judge(value)
        assert judged.share == pytest.approx(share) and judged.valid is (share == 1), value


def test_schema_valid_when_much_is_wrong_then_the_reason_names_three_and_counts_the_rest():
    """Of broken rules and of unknown keys; nothing read is worth nothing in every part."""
    schema = {"properties": {key: {"type": "integer"} for key in "abcd"}}
    three, four = score_of(dict.fromkeys("abc", "x"), schema), score_of(dict.fromkeys("abcd", "x"), schema)
    assert "/c" in three.reason and "more" not in three.reason
    assert "/c" in four.reason and "/d" not in four.reason and "; and 1 more" in four.reason
    assert score_of(dict.fromkeys("wxyz", 1), schema).reason == "unknown: /w, /x, /y"
    assert score_of("não sei", schema) == Score(0.0, "no JSON found", dict.fromkeys(three.parts, 0.0))
    for option in ("unknown_cost", "doubted", "repeated"):
        with pytest.raises(ValueError, match=option):
            SchemaValid(schema=schema, **{option: 1.5})
