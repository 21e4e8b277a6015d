"""What of an answer may be trusted: nothing that contradicts itself, and no reasoning."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.answers import CONFLICTING, read_answer, skip_reasoning
from rewards.types import Completion

json_objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


def test_read_answer_when_a_key_has_two_values_then_it_is_unsaid():
    """Neither the first nor the last one counts, at any depth."""
    answer = read_answer(Completion('{"a": 1, "a": 2, "b": {"c": 1, "c": 1, "d": true, "d": 1}}'))
    assert answer.value == {"a": CONFLICTING, "b": {"c": 1, "d": CONFLICTING}} and answer.repeated == 2


def test_read_answer_when_a_repaired_text_repeats_a_key_then_it_is_unsaid_too():
    """Python quotes are no way around."""
    assert read_answer(Completion("{'a': 1, 'b': 2, 'a': 3}")).value == {"a": CONFLICTING, "b": 2}
    assert read_answer(Completion("{a: 1, b: 2, a: 3}")).value == {"a": CONFLICTING, "b": 2}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_read_answer_when_a_number_is_none_then_it_is_no_null(number):
    """Null is an answer, NaN is not."""
    assert read_answer(Completion(f'{{"a": {number}, "b": 1}}')).value == {"a": CONFLICTING, "b": 1}
    assert read_answer(Completion('{"a": null}')).value == {"a": None}


@pytest.mark.parametrize(
    ("text", "doubted"),
    [
        ('```\n{"a": 1}\n```\nou\n```\n{"a": 2}\n```', True),
        ('{"a": 1}\n\nou talvez\n\n{"a": 2}', True),
        ('Rascunho: {"a": 1}\nResposta final: {"a": 2}', True),
        ('{"a": 1}\n\ne de novo\n\n{"a": 1}', False),
        ('Veja [1]: {"a": 1}', False),
        ('Nota {}: {"a": 1}', False),
        ('{"b": 1} é outra coisa, a resposta é {"a": 1}', False),
        ('<think>{"a": 1}</think>{"a": 2}', False),
        ('{"a": 1}', False),
    ],
)
def test_read_answer_when_another_object_stands_beside_then_doubts_only_a_contradiction(text, doubted):
    """A citation, a remark or a repetition is not a second answer; reasoning is not looked at."""
    assert read_answer(Completion(text)).doubted is doubted


@settings(max_examples=150, deadline=None)
@given(json_objects, st.sampled_from([None, 2]), st.booleans())
def test_read_answer_when_json_is_strict_then_is_the_value_itself(value, indent, ascii_only):
    """Whatever stands in its texts, and however it is laid out, a clean answer is not touched."""
    answer = read_answer(Completion(json.dumps(value, indent=indent, ensure_ascii=ascii_only)))
    assert answer == (value, False, 0)


def test_read_answer_when_texts_look_like_keys_then_are_not_taken_for_them():
    """Strict JSON is read again exactly before anything is held against it."""
    value = {"a": 'diz "b": 1 e "a": 2', "b": '"a" : "b":'}
    assert read_answer(Completion(json.dumps(value))).value == value


@pytest.mark.parametrize(
    ("text", "left"),
    [("<think>a</think> b", " b"), ("a</think>b</think>c", "c"), ("<think>a", ""), ("a", "a"), ("", "")],
)
def test_skip_reasoning_when_it_ends_then_the_rest_is_the_answer(text, left):
    """Nothing is left where it never ends."""
    assert skip_reasoning(text) == left
