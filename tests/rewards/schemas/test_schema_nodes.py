"""The compiled schema: its short cuts say what the rules say, and unknown keys come in the order of the value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.schemas import Schema

scalars = st.none() | st.booleans() | st.integers(-3, 12) | st.floats(-1, 9) | st.text(alphabet="ab1", max_size=4)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c", "x-1"]), inner, max_size=4)
    ),
    max_leaves=12,
)
rules = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "object", "array", "number", "integer", "boolean", "null", ["string", "null"]]
        ),
        "minimum": st.integers(0, 5),
        "maximum": st.integers(5, 9),
        "exclusiveMinimum": st.integers(0, 3),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(1, 3),
        "pattern": st.sampled_from(["^a", "1$"]),
        "enum": st.lists(scalars, min_size=1, max_size=4),
        "minItems": st.integers(0, 2),
        "maxProperties": st.integers(1, 3),
        "required": st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
    },
)
schemas = st.recursive(
    rules,
    lambda inner: st.builds(
        lambda own, more: own | more,
        rules,
        st.fixed_dictionaries(
            {"properties": st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=3)},
            optional={
                "additionalProperties": st.booleans() | inner,
                "patternProperties": st.fixed_dictionaries({"^x": inner}),
                "items": inner,
                "prefixItems": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=2),
            },
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(schemas, values)
def test_node_when_sealed_then_its_check_says_what_its_rules_say(schema, value):
    """The verdict in few calls, the rules one by one, and the share of them agree; also with the standard's own validator."""
    from jsonschema import Draft202012Validator

    compiled = Schema(schema)
    root = compiled._root
    assert root.check(value) is root.valid(value) is Draft202012Validator(schema).is_valid(value)
    judged = compiled.judge(value)
    assert judged.valid is (judged.share == 1.0) is compiled.is_valid(value)


NAMED = {
    "properties": {"b": {"properties": {"n": {}}}, "a": {"items": {"properties": {"n": {}}}}, "c": {"type": "string"}}
}


@pytest.mark.parametrize(
    ("value", "unknown", "keys"),
    [
        ({"a": [{"z": 1}], "c": "x", "b": {"y": 1}}, ("/a/0/z", "/b/y"), 5),
        ({"b": {"y": 1}, "a": [{"z": 1}]}, ("/b/y", "/a/0/z"), 4),
        ({"b": {"y": {"n": 1}}, "q": {"n": 1}}, ("/b/y", "/q"), 3),
        ({"c": {"n": 1}}, (), 1),
        ({"a": {"n": 1}, "b": [{"n": 1}], "c": []}, (), 3),
        ({}, (), 0),
        ([{"a": 1}], (), 0),
    ],
)
def test_judge_when_keys_are_unknown_then_names_them_in_the_order_of_the_value(value, unknown, keys):
    """Whether all keys of an object are named or some are not: places, order and number are the same."""
    judged = Schema(NAMED).judge(value)
    assert (judged.unknown, judged.keys) == (unknown, keys)
