"""The reward for JSON as such: strict above repaired above failed."""

from __future__ import annotations

import pytest

from rewards.extraction import Extraction as Reading
from rewards.extraction import Repair, RepairKind
from rewards.functions.json_valid import JsonValid
from rewards.testing import check_reward
from rewards.types import Completion, Example

EXAMPLE = Example("1", "any", [], '{"a": 1, "b": {"c": [1, 2.5]}, "d": "x"}')


def value_of(text: str, reference: str | None = EXAMPLE.reference, **options: object) -> float:
    return JsonValid(**options)(Example("1", "any", [], reference), Completion(text)).value


def test_json_valid_when_checked_by_the_kit_then_keeps_the_contract():
    """Strict above wrapped above repaired above nothing."""
    check_reward(
        JsonValid(),
        EXAMPLE,
        right=['{"z": 2}', ' {"a": null} \n'],
        partial=['Segue: {"a": 1}', "{'a': 1}", '{"a": 4,5}'],
        wrong=["", "não sei", "{}"],
    )


def test_json_valid_when_repairs_grow_then_falls_to_the_floor():
    """0.8 for one repair, 0.05 less for each further one, never below 0.3; cut text gets 0.3."""

    def judge(count: int, truncated: bool = False, kind: RepairKind = RepairKind.TRAILING_COMMA) -> float:
        completion = Completion("x" * 9)
        repairs = tuple(Repair(kind, at) for at in range(count))
        completion.__dict__["extraction"] = Reading({"a": 1}, repairs, truncated, (0, 9), 1, 0.5)
        return JsonValid()(EXAMPLE, completion).value

    assert [judge(0), judge(1), judge(3), judge(90)] == pytest.approx([1.0, 0.8, 0.7, 0.3])
    assert judge(1, truncated=True) == 0.3
    # Two guesses at the structure: 0.8, less 0.05 for the second repair and 0.1 for each guess.
    assert judge(2, kind=RepairKind.MISSING_QUOTE) == pytest.approx(0.55)


def test_json_valid_when_a_repair_guessed_then_is_below_one_that_did_not():
    """A decimal comma leaves no doubt; a missing quote does."""
    light, guessed = value_of('{"a": 4,5}'), value_of('{"a": "x, "b": 1}')
    assert 1.0 > light == 0.8 > guessed >= 0.3


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("{}", '{"a": 1}', 0.2),
        ("[]", '{"a": 1}', 0.1),
        ('[{"a": 1}]', '{"a": 1}', 0.5),
        ('{"a": 1}', '[{"a": 1}]', 0.5),
        ("{}", "{ }", 1.0),
        ("{}", "{}", 1.0),
        ("[]", "{}", 0.5),
        ("[]", "[]", 1.0),
        ("{}", None, 1.0),
    ],
)
def test_json_valid_when_the_json_cannot_be_an_answer_then_pays_little(text, reference, expected):
    """`{}` must not be the cheapest way to be paid, unless it is what was asked."""
    assert value_of(text, reference) == pytest.approx(expected)


def test_json_valid_when_a_key_is_written_twice_then_is_no_clean_json():
    """With two values it is; the same value twice is only clumsy."""
    assert value_of('{"a": 1, "a": 2}') == pytest.approx(0.7)
    assert value_of('{"a": 1, "a": 2, "b": 1, "b": 2}') == pytest.approx(0.6)
    assert value_of('{"a": 1, "a": 2,}') == pytest.approx(0.7)
    assert value_of('{"a": 1, "a": 1}') == 1.0


def test_json_valid_when_two_answers_contradict_each_other_then_costs_half():
    """Nobody could use the two."""
    assert value_of('```\n{"a": 1}\n```\nou\n```\n{"a": 2}\n```') == pytest.approx(0.45)
    assert value_of('<think>{"a": 1}</think>{"a": 2}') == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<think>hm</think>\n{"a": 1}', 1.0),
        ('hm\n</think>\n\n{"a": 1}\n', 1.0),
        ('<think>hm</think>\nSegue: {"a": 1}', 0.9),
        ('<think>hm</think>\n{"a": 1}\nPronto.', 0.9),
        ('Segue: <think>hm</think>\n{"a": 1}', 1.0),
        ("<think>hm", 0.0),
    ],
)
def test_json_valid_when_reasoning_stands_before_then_only_the_answer_counts(text, expected):
    """Reasoning is not a wrapping: a model that thinks by default must be able to earn all."""
    assert value_of(text) == pytest.approx(expected)


@pytest.mark.parametrize("reference", [None, "{'a': 1}", "não sei"])
def test_json_valid_when_there_is_no_json_reference_then_judges_the_form_all_the_same(reference):
    """It compares no values; a gold answer of bad form scores below the maximum, which the audit shows."""
    assert JsonValid().problems(Example("1", "any", [], reference)) == []
    assert value_of('{"a": 1}', reference) == 1.0
