"""Calls written as text: every dialect is read back, and what an API records is understood."""

from __future__ import annotations

import pytest

from rewards.tool_calls import render_calls
from rewards.tool_calls.dialects import read_calls
from rewards.tool_calls.rendering import DIALECTS

RECORDED = [
    {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"city": "São Paulo"}'}},
    {"name": "stop", "arguments": {}},
]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_render_calls_when_read_back_then_are_the_same_calls(dialect):
    """Names and arguments, however they were recorded."""
    found = read_calls(render_calls(RECORDED, dialect))
    assert [(one.name, one.arguments) for one in found.calls] == [("find", {"city": "São Paulo"}), ("stop", {})]
    assert all(one.clean and not one.repaired for one in found.calls) and found.broken == 0


def test_render_calls_when_there_is_none_then_is_the_reference_of_no_call():
    """An empty list is an answer too."""
    assert render_calls([]) == "[]"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("find", "tool_calls.0.: str is not a call"),
        ({"function": "find"}, "tool_calls.0..function: str"),
        ({"function": {"arguments": "{}"}}, "has no name"),
        ({"name": "find", "arguments": "{city"}, "the arguments of find are not JSON"),
        ({"name": "find", "arguments": [1]}, "the arguments of find are a list"),
    ],
)
def test_render_calls_when_a_call_is_broken_then_says_which(call, words):
    """One line with the place."""
    with pytest.raises(ValueError, match=words):
        render_calls([call])
