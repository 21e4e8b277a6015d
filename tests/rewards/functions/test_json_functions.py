"""The generic JSON rewards: json_valid and field_f1."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.extraction import Extraction as Reading
from rewards.extraction import Repair
from rewards.functions.field_f1 import FieldF1
from rewards.functions.json_valid import JsonValid
from rewards.testing import check_reward
from rewards.types import Completion, Example

EXAMPLE = Example("1", "any", [], '{"a": 1, "b": {"c": [1, 2.5]}, "d": "x"}')
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=4),
    max_leaves=12,
)


def f1(reference: object, text: str, **options: object) -> float:
    return FieldF1(**options)(Example("1", "any", [], json.dumps(reference)), Completion(text)).value


def completion_read_as(text: str, reading: Reading) -> Completion:
    completion = Completion(text)
    completion.__dict__["extraction"] = reading
    return completion


def test_json_valid_when_checked_by_the_kit_then_keeps_the_contract():
    """Strict above wrapped above nothing."""
    check_reward(JsonValid(), EXAMPLE, right=["{}", " [1] \n"], partial="Segue: {}", wrong=["", "não sei"])


def test_json_valid_when_repairs_grow_then_falls_to_the_floor():
    """0.8 for one repair, 0.05 less for each further one, never below 0.3; cut text gets 0.3."""
    value = {"a": 1}

    def judge(count: int, truncated: bool = False) -> float:
        repairs = tuple(Repair("trailing_comma", at) for at in range(count))
        return JsonValid()(
            EXAMPLE, completion_read_as("x" * 9, Reading(value, repairs, truncated, (0, 9), 1, 0.5))
        ).value

    assert [judge(0), judge(1), judge(3), judge(90)] == pytest.approx([1.0, 0.8, 0.7, 0.3])
    assert judge(1, truncated=True) == 0.3


def test_json_valid_when_a_repair_guessed_then_is_below_one_that_did_not():
    """A decimal comma leaves no doubt; a missing quote does."""
    light = JsonValid()(EXAMPLE, Completion('{"a": 4,5}')).value
    guessed = JsonValid()(EXAMPLE, Completion('{"a": "x, "b": 1}')).value
    assert 1.0 > light == 0.8 > guessed >= 0.3


def test_field_f1_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        FieldF1(),
        EXAMPLE,
        right='{"d": "x", "b": {"c": [1.0, 2.50]}, "a": 1}',
        partial=['{"a": 1}', '{"a": 1, "b": {"c": [1, 2.5]}, "d": "y"}'],
        wrong=["{}", "", '{"z": 1}', "[1, 2.5]"],
    )


def test_field_f1_when_half_of_the_leaves_are_right_then_is_their_harmonic_mean():
    """Precision 1/2 and recall 1/4 make 1/3; both keys are right."""
    score = FieldF1()(EXAMPLE, Completion('{"a": 1, "d": "y"}'))
    assert (score.parts["precision"], score.parts["recall"]) == (0.5, 0.25)
    assert score.value == pytest.approx(1 / 3) and score.parts["keys"] == pytest.approx(2 * 1 * 0.5 / 1.5)


@pytest.mark.parametrize(
    ("reference", "text", "equal"),
    [
        (1, "[1.0]", True),
        (1, "[true]", False),
        (0, "[false]", False),
        (None, '["null"]', False),
        ("1", "[1]", False),
        (0.1 + 0.2, "[0.3]", True),
        (2**53 + 1, f"[{2**53 + 1}]", True),
        (2**53 + 1, f"[{2**53 + 3}]", False),
        ([], "[[]]", True),
        ([], "[{}]", False),
        ({}, "[null]", False),
        (-0.0, "[0]", True),
    ],
)
def test_field_f1_when_leaves_are_compared_then_numbers_are_numbers_and_kinds_differ(reference, text, equal):
    """1 equals 1.0 and not true; large integers stay exact; empty containers are leaves."""
    assert f1([reference], text) == float(equal)


def test_field_f1_when_fields_are_ignored_then_bare_keys_and_paths_are_left_out_on_both_sides():
    """A bare key goes anywhere, a dotted path only there."""
    reference = {"id": 1, "a": {"id": 2, "b": 3}, "b": 4}
    assert f1(reference, '{"a": {"b": 3}, "b": 4}', ignore_fields=("id",)) == 1.0
    assert f1(reference, '{"id": 1, "a": {"id": 2, "b": 99}, "b": 4}', ignore_fields=("a.b",)) == 1.0
    assert f1(reference, '{"id": 1, "a": {"id": 2, "b": 3}, "b": 99}', ignore_fields=("a.b",)) < 1.0


def test_field_f1_when_texts_are_folded_then_case_and_accents_do_not_count():
    """An option, off by default."""
    assert f1({"a": "São Paulo"}, '{"a": "SAO  PAULO"}') == 0.0
    assert f1({"a": "São Paulo"}, '{"a": "SAO  PAULO"}', fold_text=True) == 1.0


def test_field_f1_when_leaves_are_stuffed_then_precision_falls():
    """Every value under every key cannot pay."""
    stuffed = {"a": 1, **{f"k{n}": n for n in range(100)}}
    assert f1({"a": 1}, json.dumps(stuffed)) < 0.03


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=5), json_values, min_size=1, max_size=5))
def test_field_f1_when_the_reference_is_written_back_then_is_one(value):
    """Any document is right about itself, and F1 of it against another one is symmetric."""
    text = json.dumps(value)
    example = Example("1", "any", [], text)
    assert FieldF1()(example, completion_read_as(text, Reading(json.loads(text)))).value == 1.0


@settings(max_examples=100, deadline=None)
@given(json_values, json_values)
def test_field_f1_when_sides_are_exchanged_then_precision_and_recall_are_too(one, other):
    """Neither side is special."""

    def score(reference: object, found: object):
        return FieldF1()(Example("1", "any", [], json.dumps(reference)), completion_read_as("", Reading([found])))

    forward, backward = score([one], other), score([other], one)
    assert forward.value == pytest.approx(backward.value)
    assert forward.parts["precision"] == pytest.approx(backward.parts["recall"])
