"""Rules that stand inside other rules: whether a branch fits is our own word there, and its share is worked out by hand."""

from __future__ import annotations

import pytest

from rewards.schemas import Schema


class _Nothing:
    """No such value; its name is part of a test's id, which all processes of a run of the suite must share."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
# Keyword, a value that keeps it, one that breaks it.
RULES = [
    ({"type": "integer"}, 3, 3.5),
    ({"type": ["string", "null"]}, None, 0),
    ({"enum": ["a", 1]}, 1, "1"),
    ({"enum": [[1, 2]]}, [1, 2], [2, 1]),
    ({"const": {"a": 1}}, {"a": 1.0}, {"a": 2}),
    ({"minimum": 2}, 2, 1),
    ({"maximum": 2}, 2, 3),
    ({"exclusiveMinimum": 2}, 3, 2),
    ({"exclusiveMaximum": 2}, 1, 2),
    ({"minimum": 2}, "other kinds of values", 1),
    ({"multipleOf": 3}, 6, 7),
    ({"multipleOf": 0.01}, 0.07, 0.075),
    ({"minLength": 2}, "ab", "a"),
    ({"maxLength": 2}, "ab", "abc"),
    ({"minLength": 2}, 1, "a"),
    ({"pattern": "^a"}, "ab", "ba"),
    ({"pattern": "^a"}, 1, "ba"),
    ({"required": ["a", "b"]}, {"a": 1, "b": 2}, {"a": 1}),
    ({"required": ["a"]}, [], {}),
    ({"properties": {"a": {"type": "string"}}}, {"a": "x", "b": 1}, {"a": 1}),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"a": 1, "b": 1}),
    ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"a": 1, "b": "x"}, {"b": 1}),
    ({"patternProperties": {"^x": {"type": "string"}}}, {"x1": "a", "y": 1}, {"x1": 1}),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1}, {"y": 1}),
    ({"properties": {"x": {"type": "string"}}, "patternProperties": {"^x": {"minLength": 2}}}, {"x": "ab"}, {"x": "a"}),
    ({"propertyNames": {"maxLength": 1}}, {"a": 1}, {"ab": 1}),
    ({"propertyNames": {"maxLength": 1}}, ["ab"], {"ab": 1}),
    ({"propertyNames": {"maxLength": 1}}, {}, {"a": 1, "ab": 1}),
    ({"properties": {"a": {"type": "string"}}}, "a", {"a": 1}),
    ({"properties": {"a": {}}, "patternProperties": {"^x": {"type": "string"}}}, ["x"], {"a": 1, "x": 1}),
    (
        {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": {"type": "null"}},
        {"x": "a", "y": None},
        {"y": "a"},
    ),
    ({"dependentRequired": {"a": ["b", "c"]}}, ["a"], {"a": 1, "b": 1}),
    ({"dependentRequired": {"a": ["b", "c"]}}, {"a": 1, "b": 1, "c": 1}, {"a": 1, "c": 1}),
    ({"items": {"type": "string"}}, {"a": 1}, [1]),
    ({"prefixItems": [{"type": "string"}, {"type": "integer"}]}, ["a"], ["a", "b"]),
    ({"multipleOf": 2}, 4.0, 4.5),
    ({"multipleOf": 0.5}, 3, 3.2),
    ({"minProperties": 2}, {"a": 1, "b": 1}, {"a": 1}),
    ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 1}),
    ({"dependentRequired": {"a": ["b"]}}, {"b": 1}, {"a": 1}),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1, "b": 1}, {"a": 1}),
    ({"items": {"type": "string"}}, ["a"], ["a", 1]),
    ({"prefixItems": [{"type": "string"}]}, ["a", 1], [1]),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], ["a", "b"]),
    ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", 1]),
    ({"contains": {"const": 1}}, [0, 1], [0]),
    ({"contains": {"const": 1}, "minContains": 2}, [1, 1], [1]),
    ({"contains": {"const": 1}, "maxContains": 1}, [1, 0], [1, 1]),
    ({"contains": {"const": 1}, "minContains": 0}, [], NOTHING),
    ({"minItems": 1}, [0], []),
    ({"maxItems": 1}, [0], [0, 0]),
    ({"uniqueItems": True}, [1, "1", True], [1, 1.0]),
    ({"uniqueItems": False}, [1, 1], NOTHING),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 2, 3),
    ({"anyOf": [{"const": 1}, {"const": 2}]}, 2, 3),
    ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 0, 3),
    ({"oneOf": [{"minimum": 1}, {"maximum": 5}, {"const": 3}]}, 6, 3),
    ({"not": {"type": "string"}}, 1, "a"),
    ({"if": {"minimum": 5}, "then": {"multipleOf": 2}, "else": {"multipleOf": 3}}, 6, 7),
    ({"if": {"minimum": 5}, "then": {"multipleOf": 2}, "else": {"multipleOf": 3}}, 3, 4),
    ({"if": {"minimum": 5}, "then": {"multipleOf": 2}}, 3, 7),
    ({"if": {"minimum": 5}, "else": {"multipleOf": 3}}, 7, 4),
]
# How a rule may stand inside another, and how a value gets to it there.
PLACES = {
    "anyOf": (lambda rule: {"anyOf": [{"const": "elsewhere"}, rule]}, lambda value: value),
    "oneOf": (lambda rule: {"oneOf": [{"const": "elsewhere"}, rule]}, lambda value: value),
    "allOf": (lambda rule: {"allOf": [{}, rule]}, lambda value: value),
    "not not": (lambda rule: {"not": {"not": rule}}, lambda value: value),
    "if": (lambda rule: {"if": rule, "else": False}, lambda value: value),
    "then": (lambda rule: {"if": {}, "then": rule}, lambda value: value),
    "else": (lambda rule: {"if": {"not": {}}, "else": rule}, lambda value: value),
    "a key": (lambda rule: {"anyOf": [{"properties": {"k": rule}}]}, lambda value: {"k": value}),
    "a free key": (lambda rule: {"anyOf": [{"additionalProperties": rule}]}, lambda value: {"k": value}),
    "a list": (lambda rule: {"anyOf": [{"items": rule}]}, lambda value: [value]),
    "a place": (lambda rule: {"anyOf": [{"prefixItems": [{}, rule]}]}, lambda value: [0, value]),
    "four rules": (lambda rule: {"anyOf": [{"allOf": [rule], "minItems": 0, "minLength": 0, "not": False}]}, lambda value: value),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "right", "wrong"), RULES, ids=lambda value: str(value)[:40])
def test_branch_when_it_holds_one_rule_then_it_fits_exactly_what_keeps_it(rule, right, wrong):
    """The standard's own validator is asked too, so that neither table nor grader is believed alone."""
    from jsonschema import Draft202012Validator

    values = [(right, True)] + ([(wrong, False)] if wrong is not NOTHING else [])
    for place, (wrap, put) in PLACES.items():
        schema = wrap(rule)
        root = Schema(schema)._root
        for value, fits in values:
            if rule != {"multipleOf": 0.01}:  # which it counts in binary
                assert Draft202012Validator(schema).is_valid(put(value)) is fits, (place, "the table")
            kept, rules = root.grade(put(value), "", [])
            assert root.check(put(value)) is root.valid(put(value)) is (kept == rules) is fits, place


KIND = {"properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
IF_A = {"if": {"properties": {"kind": {"const": "a"}}}, "then": {"required": ["x"]}, "else": {"required": ["y", "z"]}}


@pytest.mark.parametrize(
    ("schema", "value", "share"),
    [
        # kind's two rules are kept; `then` asks for one key, which is missing and counts twice: 2 of 4.
        (KIND | IF_A, {"kind": "a"}, 2 / 4),
        # `else` asks for two: one is there, one missing: 2 + 1 of 2 + 3.
        (KIND | IF_A, {"kind": "b", "y": 1}, 3 / 5),
        (KIND | IF_A, {"kind": "b", "y": 1, "z": 1}, 1.0),
        # The nearest alternative keeps one of required's three (a is there, b missing), and is a value with a fault: 0.75 of it.
        ({"anyOf": [{"required": ["a", "b"]}, {"required": ["c"]}]}, {"a": 1}, 0.75 / 3),
        # Two alternatives fit where one may: half.
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3, 0.5),
        # Of ten keys nine are right: 0.75 of 18 / 20 of that alternative, which is below the most it may earn.
        ({"anyOf": [{"required": list("abcdefghij")}]}, dict.fromkeys("abcdefghi", 1), 0.75 * 9 / 11),
        # allOf adds its members' rules: one of two bounds.
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 3, 1 / 2),
        # All items are one rule, of which each is a share: 1 and 0.75 of nothing.
        ({"items": {"anyOf": [{"type": "string"}, {"const": 1}]}}, ["a", 2], 0.5),
        # A key's schema: the key earns 0.75 of half, the other key all; beside it nothing else is asked.
        ({"properties": {"k": {"allOf": [{"minimum": 1}, {"maximum": 2}]}, "l": {}}}, {"k": 3, "l": 0}, (0.375 + 1) / 2),
        # Free keys are one rule together: one of two is right.
        ({"additionalProperties": {"type": "string"}}, {"a": "x", "b": 1}, 1 / 2),
        # A named key and one that is not allowed: each a rule.
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1, "b": 1}, 1 / 2),
        # A key that is named and matches a pattern is a rule for each of the two.
        ({"properties": {"x": {}, "y": {}}, "patternProperties": {"^x": {"const": 1}}}, {"x": 2, "y": 0}, (1 + 0 + 1) / 3),
        # A list of the wrong kind of value beside a rule that is kept: items asks nothing of it.
        ({"items": {"const": 1}, "minLength": 1, "maxLength": 1}, "ab", 1 / 2),
        # A schema that hangs on a key: required b counts twice as it is missing; required a is kept.
        ({"required": ["a"], "dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}, 1 / 3),
        ({"required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": 1}, 1 / 2),
        ({"required": ["a"], "not": {"required": ["b"]}}, {"a": 1, "b": 1}, 1 / 2),
    ],
)  # fmt: skip
def test_share_when_rules_stand_in_branches_then_it_is_that_worked_out_by_hand(schema, value, share):
    """What a branch earns is what its own rules earn, with the factor for a value that has a fault."""
    assert Schema(schema).judge(value).share == pytest.approx(share)


def test_share_when_alternatives_lie_deep_then_nearly_fitting_is_worth_nothing():
    """Alternatives within alternatives multiply; from the fifth level down only a whole fit counts."""
    shares = []
    for depth in (4, 5):
        schema, value = {"anyOf": [{"required": ["a", "b"]}]}, {"a": 1}
        for _ in range(depth):
            schema, value = {"properties": {"k": schema}}, {"k": value}
        shares.append(Schema(schema).judge(value).share)
    assert shares == [pytest.approx(0.75**4 * 0.25), 0.0]


def test_reasons_when_no_alternative_fits_then_the_nearest_one_is_explained():
    """What to mend is what separates the answer from the alternative it comes closest to."""
    schema = {"anyOf": [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"required": ["p", "q"]}]}
    assert [str(fault) for fault in Schema(schema).judge({"a": 1}).broken] == [
        "top: fits none of 2 alternatives",
        "/a: 1 is not of type string",
    ]
