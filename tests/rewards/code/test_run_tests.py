"""The sandbox for Python: right code passes, whatever reaches beyond computing does not run, nothing hangs."""

from __future__ import annotations

import pytest

from rewards.code.allowed import find_code, find_refusal
from rewards.code.run import run_tests
from rewards.functions.expectations import Expectations
from rewards.types import Completion, Example

TESTS = "assert add(1, 2) == 3"
RIGHT = "def add(a, b):\n    return a + b"


def test_code_when_right_then_passes_in_a_fence_or_bare():
    """With the modules that computing needs."""
    modules = "import collections, json, math, re, typing\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\n"
    for text in (RIGHT, f"Sure:\n```python\n{RIGHT}\n```\nDone.", f"{modules}{RIGHT}\nprint(P(1))"):
        assert run_tests(text, TESTS) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def add(a, b):\n    return 4", "tests: AssertionError"),
        ("no code at all", "not Python"),
        ("", "no code"),
        ("import os\n" + RIGHT, "imports os"),
        ("from subprocess import run\n" + RIGHT, "imports subprocess"),
        ("open('/etc/passwd')\n" + RIGHT, "uses open"),
        ("().__class__.__base__.__subclasses__()\n" + RIGHT, "uses __"),
        ("try:\n    1/0\nexcept Exception as e:\n    e.__traceback__.tb_frame\n" + RIGHT, "may not run here"),
        ("raise SystemExit(0)\n" + RIGHT, "code: SystemExit"),
        ("while True: pass", "processor time"),
        ("x = [0] * 10**11", "code: MemoryError"),
        ("import json\njson.codecs.open('/etc/hosts')\n" + RIGHT, "may not run here"),
        ("import random\nrandom._os.system('true')\n" + RIGHT, "may not run here"),
    ],
)
def test_code_when_wrong_or_reaching_then_says_why(text, said):
    """In one line, and never as a pass."""
    found = run_tests(text, TESTS)
    assert found and said in found


def test_code_when_in_several_fences_then_all_of_it_is_run():
    """One after the other."""
    assert find_code("```py\na = 1\n```\nand\n```python\nb = 2\n```") == "a = 1\n\nb = 2"
    assert find_refusal("x.gi_frame") and not find_refusal("class A:\n    def __init__(self): self.a = 1")


def score(expect, text):
    return Expectations()(Example("r", "t", [], None, {"expect": expect}), Completion(text))


@pytest.mark.parametrize(
    ("expect", "text", "value"),
    [
        ({"tools": ["f"]}, '{"name": "f", "arguments": {}}', 1.0),
        ({"tools": ["f"]}, '{"name": "g", "arguments": {}}', 0.0),
        ({"tools": []}, "no call", 1.0),
        ({"tools": []}, '<tool_call>{"name": "g", "arguments": {}}</tool_call>', 0.0),
        ({"keywords": ["São Paulo", ["dois", "duas"]]}, "sao paulo tem DUAS", 1.0),
        ({"keywords": ["cat"]}, "concatenate", 0.0),
        ({"keywords": ["a", "b"]}, "only a", 0.5),
        ({"keywords": ["a"], "absent": ["b"]}, "a b", 0.0),
        ({"json": True}, 'Here: {"a": 1}', 1.0),
        ({"json": {"type": "array"}}, '{"a": 1}', 0.0),
        ({"keywords": ["a"], "most_words": 2}, "a b c", 0.0),
        ({"keywords": ["a"]}, "<think>a</think>b", 0.0),
    ],
)
def test_expectations_when_scored_then_are_a_product_of_shares(expect, text, value):
    """By hand."""
    assert score(expect, text).value == pytest.approx(value)
