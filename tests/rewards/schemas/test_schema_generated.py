"""Over generated schemas, schema_valid gives 1 exactly where jsonschema-rs and jsonschema both say that the answer is valid."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.validators import validator_for

from rewards.functions.schema_valid import SchemaValid
from rewards.schemas import compile_text
from rewards.types import Completion, Example

EXAMPLE = Example("generated", "any", [], None)
DRAFTS = ("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema")
NAMES = ("a", "b", "c", "x-1")
PATTERNS = ("^a", "b$", "^x-", "[0-9]", "^.{2}$")

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-4, 12)
    | st.sampled_from([0.5, 1.0, 1.5, -0.25, 0.3, 2**53 + 2, 10**20, ""])
    | st.sampled_from(["a", "ab", "b", "x-1", "é", "😀", "12", "a1"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
answers = st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(NAMES), values, max_size=4)
small = st.integers(0, 3)


def assertions() -> st.SearchStrategy[dict[str, Any]]:
    """Keywords that hold no other schemas, in twos and threes."""
    kinds = st.sampled_from(["null", "boolean", "object", "array", "number", "string", "integer"])
    return st.fixed_dictionaries(
        {},
        optional={
            "type": kinds | st.lists(kinds, min_size=1, max_size=3, unique=True),
            "enum": st.lists(values, min_size=1, max_size=4, unique_by=repr),
            "const": values,
            "minimum": st.integers(-3, 8),
            "exclusiveMaximum": st.integers(-3, 8),
            "multipleOf": st.sampled_from([1, 2, 0.5, 0.1, 3]),
            "minLength": small,
            "maxLength": small,
            "pattern": st.sampled_from(PATTERNS),
            "minItems": small,
            "maxItems": small,
            "uniqueItems": st.booleans(),
            "minProperties": small,
            "maxProperties": small,
            "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        },
    ).map(lambda made: dict(list(made.items())[:3]))


def nested(inner: st.SearchStrategy[Any], modern: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Keywords that hold other schemas, those of the draft."""
    named = st.dictionaries(st.sampled_from(NAMES), inner, min_size=1, max_size=3)
    several = st.lists(inner, min_size=1, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "properties": named,
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, min_size=1, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "contains": inner,
        "allOf": several,
        "anyOf": several,
        "oneOf": several,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"] if modern else ["#/definitions/a", "#/definitions/b"]),
    }
    if modern:
        keywords |= {
            "items": inner,
            "prefixItems": several,
            "minContains": small,
            "maxContains": small,
            "dependentRequired": st.just({"a": ["b"], "c": ["a", "x-1"]}),
            "dependentSchemas": named,
            "unevaluatedProperties": inner,
            "unevaluatedItems": inner,
        }
    else:
        # jsonschema takes no `additionalItems` beside `items: true`.
        keywords |= {
            "items": several | assertions(),
            "additionalItems": inner,
            "dependencies": named | st.just({"a": ["b"]}),
        }
    return st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=3, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({key: keywords[key] for key in chosen})
    )


@st.composite
def schemas(draw: Any) -> dict[str, Any]:
    """A schema of either draft, three levels deep at most, whose definitions refer to nothing."""
    modern = draw(st.booleans())
    leaf = st.booleans() | assertions()
    inner = leaf
    for _ in range(2):
        inner = leaf | st.tuples(assertions(), nested(inner, modern)).map(lambda both: {**both[0], **both[1]})
    made: Any = draw(st.tuples(assertions(), nested(inner, modern)).map(lambda both: {**both[0], **both[1]}))
    definitions = {"a": draw(leaf), "b": draw(leaf)}
    return {"$schema": DRAFTS[modern], "$defs" if modern else "definitions": definitions, **made}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schemas(), st.data())
def test_schema_valid_when_schemas_are_generated_then_gives_1_exactly_where_both_validators_do(schema, data):
    """Never 1 where either says no, never below 1 where both say yes; the share stays in 0..1 and faults are named."""
    function = SchemaValid(schema=schema)
    grown = compile_text(json.dumps(schema))
    fast = jsonschema_rs.validator_for(schema)
    plain = validator_for(schema)(schema)
    for _ in range(5):
        value = data.draw(answers)
        said = fast.is_valid(value), plain.is_valid(value)
        score = function(EXAMPLE, Completion(json.dumps(value)))
        assert score.value is not None
        if all(said):
            assert score.value == 1.0, (value, score)
        elif not any(said):
            assert score.value < 1.0, (value, score)
            assert score.reason
        assert (score.value == 1.0) == bool(score.parts["valid"]) == grown.judge(value).valid
        assert 0.0 <= score.value <= 1.0
        assert all(0.0 <= part <= 1.0 for part in score.parts.values())
