"""Counting the keys and leaves of an answer, on which the check for keys written twice and the size part rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.answers import CONFLICTING, count_all, count_leaves, read_answer
from rewards.types import Completion

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a:" ,{', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a:" ,', max_size=3), inner, max_size=4)
    ),
    max_leaves=25,
)


def count_slowly(value: Any) -> tuple[int, int]:
    children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not children:
        return 0, 1
    below = [count_slowly(child) for child in children]
    own = len(value) if isinstance(value, dict) else 0
    return own + sum(keys for keys, _ in below), sum(leaves for _, leaves in below)


@settings(max_examples=200, deadline=None)
@given(documents)
def test_count_all_when_compared_with_a_plain_recursion_then_agrees(value):
    """Empty containers are leaves, full ones are not."""
    assert count_all(value) == count_slowly(value)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(alphabet='a:" ,', max_size=3), documents, max_size=4),
    st.sampled_from([(",", ":"), (" , ", " : ")]),
)
def test_read_answer_when_a_key_comes_twice_then_is_found_whatever_colons_stand_in_texts(value, separators):
    """Colons are only counted to see that nothing has to be looked at more closely."""
    written = json.dumps(value, separators=separators)
    assert read_answer(Completion(written)) == (value, False, 0)
    doubled = f'{{"q": 1, {written[1:-1] + "," if value else ""} "q": 2}}'
    assert read_answer(Completion(doubled)).repeated == 1


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ('{"a": 1, "b": [], "c": {"d": [1, 2]}}', 4),
        ('{"a": [1, 2], "a": 3}', 1),
        ('{"a": NaN, "b": 1}', 2),
        ("nada", 1),
    ],
)
def test_count_leaves_when_answer_contradicts_itself_then_counts_what_is_left(text, leaves):
    """A key with two values is one leaf that says nothing."""
    completion = Completion(text)
    assert count_leaves(completion) == leaves == count_all(read_answer(completion).value)[1]
    if "3}" in text:
        assert read_answer(completion).value == {"a": CONFLICTING}
