"""Final answers: found where they are marked or last, and equal however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.functions.final_answer import FinalAnswer
from rewards.testing import check_reward
from rewards.types import Completion, Example
from tests.timing import at_most

CASES = [
    ("#### 72", "x\n#### 72", 1.0),
    ("#### 72", "The answer is 72.", 0.8),
    ("#### 72", "#### 72.00", 1.0),
    ("#### 72", "#### 72 fones", 1.0),
    ("#### 72", "#### 71\n#### 72", 0.25),
    ("#### 72", "#### Passo 1\nconta\n#### 72", 1.0),
    ("#### 72", "so we get 72", 0.8),
    ("#### 72", "so 72 minus 1", 0.0),
    ("#### 1,000", "#### $1000", 1.0),
    ("#### 1,000", "#### 1.000", 1.0),
    ("72", "72", 1.0),
    ("72", "The answer is $72$.", 1.0),
    ("72", "**72**", 1.0),
    ("72", "A resposta é 72 fones.", 1.0),
    ("72", "Resposta: 72", 1.0),
    ("72", "\\boxed{72}", 1.0),
    ("72", "720", 0.0),
    ("72", "-72", 0.0),
    ("1/4", "\\boxed{\\frac{1}{4}}", 1.0),
    ("1/4", "0.25", 1.0),
    ("1/4", "\\dfrac{1}{4}", 1.0),
    ("\\frac{1}{4}", "0,25", 1.0),
    ("25%", "25%", 1.0),
    ("25%", "0.25", 1.0),
    ("25%", "25", 1.0),
    ("25%", "2500%", 0.0),
    ("0.25", "25%", 1.0),
    ("(A)", "A", 1.0),
    ("(A)", "The answer is (A).", 1.0),
    ("(A)", "B", 0.0),
    ("A", "**A**", 1.0),
    ("A", "A) eMBB", 1.0),
    ("B", "Answer: B. because", 1.0),
    ("R$ 13,50", "Custam R$ 13,50.", 1.0),
    ("R$ 13,50", "13.5", 1.0),
    ("R$ 13,50", "13,50 reais", 1.0),
    ("13", "it is 1.3e1", 1.0),
    ("Paris", "The answer is Paris.", 1.0),
    ("Paris", "paris", 1.0),
    ("Paris", "London", 0.0),
    ("x = 5", "5", 1.0),
    ("5", "x=5", 1.0),
    ("5 km", "5km", 1.0),
    ("-3", "−3", 1.0),
    ("-3", "\\boxed{-3}", 1.0),
    ("1.234,56", "1234.56", 1.0),
    ("1234.56", "R$ 1.234,56", 1.0),
    ("12", "", 0.0),
    ("12", "12 or 13", 0.0),
    ("12", "#### 12 or 13", 0.0),
    ("10:30", "10:30", 1.0),
    ("2026-11-26", "2026-11-26", 1.0),
    ("sim", "Sim!", 1.0),
    ("não", "Não.", 1.0),
    ("não", "nao", 1.0),
    ("<answer>7</answer>", "<think>8</think><answer>7</answer>", 1.0),
    ("42", "<think>41</think>42", 1.0),
    ("3", "There are 3 apples and 0 pears, so 3", 1.0),
    ("\\boxed{\\text{(C)}}", "\\boxed{C}", 1.0),
    ("$\\frac{3}{2}$", "1.5", 1.0),
    ("18", "Janet makes 9 * 2 = $<<9*2=18>>18 every day.", 1.0),
    ("100,000", "100000", 1.0),
    ("70,000", "#### 70000", 1.0),
    ("3.5", "#### 3,5", 1.0),
    ("B", "#### Reasoning\n#### B", 1.0),
]


def score(reference, text, **options):
    function = FinalAnswer(**options)
    example = Example("1", "any", [], reference)
    assert function.problems(example) == []
    return function(example, Completion(text))


@pytest.mark.parametrize(("reference", "text", "value"), CASES)
def test_final_answer_when_written_in_any_way_then_is_paid_for_what_it_is(reference, text, value):
    """Marks, sentences, LaTeX, currencies, percent, fractions, choices; the wrong ones beside them."""
    assert score(reference, text).value == pytest.approx(value)


def test_final_answer_when_checked_by_the_kit_then_keeps_the_contract():
    """A marked number, the same without its mark, and what is wrong."""
    check_reward(
        FinalAnswer(), Example("1", "any", [], "48 + 24 = 72\n#### 72"),
        right=["#### 72", "#### 72 fones", "\\boxed{72}", "<think>#### 9</think>#### 72.0"],
        partial=["The answer is 72.", "72", "#### 71\n#### 72"],
        wrong=["", "#### 73", "72 or 73", "#### 7 2", "#### -72"],
    )  # fmt: skip


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_final_answer_when_numbers_are_drawn_then_only_the_same_is_right(right, said):
    """As written, with groups of either kind, with decimals of either kind."""
    for written in (f"{said}", f"{said:,}", f"{said:,}".replace(",", "."), f"{said}.0", f"{said},00", f"{said:.6e}"):
        value = score(f"#### {right}", f"The sum is done.\n#### {written}").value
        meant = {said} | ({said / 1000} if written.count(",") + written.count(".") == 1 else set())
        if "e" in written:
            meant = {float(written)}
        assert value == (1.0 if right in meant else 0.0), written


@pytest.mark.parametrize(("decimal", "value"), [("either", (1.0, 1.0)), ("point", (1.0, 0.0)), ("comma", (0.0, 1.0))])
def test_final_answer_when_a_lone_group_may_be_either_then_the_option_settles_it(decimal, value):
    """1.234 is a little more than one to some and a thousand and more to others."""
    assert (
        score("1,5" if decimal == "comma" else "1.5", "#### 1,500" if decimal != "point" else "#### 1.500").value == 1.0
    )
    thousand = score("1234", "1.234", decimal=decimal).value
    little = score("1234e-3", "1.234", decimal=decimal).value
    assert (little, thousand) == value


def test_final_answer_when_a_tolerance_is_given_then_near_numbers_are_right():
    """One per cent of 3.14159; none by default."""
    assert score("3.14159", "3.14").value == 0.0
    assert score("3.14159", "3.14", relative_tolerance=0.01).value == 1.0


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        (None, "missing"),
        ("  ", "missing"),
        ("#### ", "no final answer is marked|empty"),
        ("word " * 80, "no final answer"),
    ],
)
def test_reference_when_it_has_no_final_answer_then_preflight_says_so(reference, said):
    """A text for text_overlap is named before it is scored."""
    import re

    problems = FinalAnswer().problems(Example("1", "any", [], reference))
    assert (problems and re.search(said, problems[0])) or reference == "#### "


def test_final_answer_when_a_text_is_all_marks_then_is_read_in_time():
    """A megabyte of each mark, open and closed."""
    for piece in (
        "\\boxed{",
        "#### 1\n",
        "<answer>",
        "answer: ",
        "<answer>1</answer>",
        "1/",
        "1,",
        "\\frac{1}{",
        "$ ",
        "{",
    ):
        with at_most(1.5):
            score("72", piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize(
    ("reference", "text", "value"),
    [
        ("B", "The correct option is B", 1.0),
        ("B", "Option B", 1.0),
        ("B", "So the best answer is B because A and C fail.", 1.0),
        ("D", "The correct choice is option (D).", 1.0),
        ("D", "A resposta correta é a letra D.", 1.0),
        ("D", "Alternativa correta: D", 1.0),
        ("D", "Resposta: letra C", 0.0),
        ("42", "The answer is 42, not 41.", 1.0),
        ("41", "The answer is 42, not 41.", 0.0),
        (r"\frac{1}{2}", r"\boxed{\dfrac12}", 1.0),
        ("(1, 2)", r"\boxed{(1,2)}", 1.0),
        ("[0,1)", r"\boxed{[0, 1)}", 1.0),
        ("[0,1)", r"\boxed{[0, 1]}", 0.0),
        ("x^2+1", r"\boxed{x^2 + 1}", 1.0),
        ("Yes", "Yes, because it floats.", 1.0),
        ("Yes", "Yes, or no.", 0.0),
        ("No", "Yes, because it floats.", 0.0),
    ],
)
def test_final_answer_when_it_is_said_with_more_words_then_is_what_they_say(reference, text, value):
    """A choice by its letter, a reason behind it, what it is not, spaces in a formula."""
    assert FinalAnswer()(Example("1", "default", [], reference), Completion(text)).value == value


@pytest.mark.parametrize(
    ("reference", "completion", "options", "expected"),
    [
        # Signs of both kinds; grouping with either mark, and what `decimal` settles.
        ("5", "+5", {}, 1.0),
        ("5", "-5", {}, 0.0),
        ("1,234,567.5", "1.234.567,5", {}, 1.0),
        ("1234,5", "1.234,5", {"decimal": "comma"}, 1.0),
        ("1234.5", "1,234.5", {"decimal": "point"}, 1.0),
        ("1234567", "1.234.567", {}, 1.0),
        ("0.125", "0.125", {}, 1.0),
        ("125", "0.125", {}, 0.0),
        ("12", "1.2", {}, 0.0),
        # Ten digits: the ninth tells, the tenth does not.
        ("0.123456789", "0.1234567891", {}, 1.0),
        ("0.123456789", "0.123456799", {}, 0.0),
        # A tolerance is met at its edge and by whole numbers too.
        ("100", "101", {"relative_tolerance": 0.01}, 1.0),
        ("100", "102", {"relative_tolerance": 0.01}, 0.0),
        ("100", "101", {}, 0.0),
    ],
)
def test_final_answer_when_numbers_are_written_otherwise_then_their_value_counts(
    reference, completion, options, expected
):
    """Signs, groups, digits and tolerances, one at a time."""
    example = Example("1", "default", [], reference, {})
    assert FinalAnswer(**options)(example, Completion(completion)).value == expected


def test_final_answer_when_wrong_or_missing_then_says_what_was_found():
    """Sixty characters of each, and both parts 0."""
    example = Example("1", "default", [], "#### 72", {})
    missing = FinalAnswer()(example, Completion("não sei"))
    assert (missing.value, missing.reason, missing.parts) == (0.0, "no final answer", {"right": 0.0, "marked": 0.0})
    wrong = FinalAnswer()(example, Completion("#### 71"))
    assert (wrong.reason, wrong.parts) == ("found '71', wanted '72'", {"right": 0.0, "marked": 1.0})
    long = FinalAnswer()(Example("1", "default", [], "a" * 80, {}), Completion("#### " + "b" * 80))
    assert long.reason == f"found {'b' * 60!r}, wanted {'a' * 60!r}"


def test_final_answer_when_a_reference_says_it_at_the_end_of_its_working_then_that_is_the_answer():
    """Several lines, none of them marked."""
    example = Example("1", "default", [], "9 * 2 = 18\nThe answer is 18. Done.", {})
    assert [FinalAnswer()(example, Completion(text)).value for text in ("18", "9", "2")] == [1.0, 0.0, 0.0]
