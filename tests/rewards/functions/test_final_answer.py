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
        "1 000 ",
        "\\boxed{(1,2",
        "2x+",
        "1=",
        "5 million ",
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


@pytest.mark.parametrize(
    ("reference", "text", "value"),
    [
        # The same amount, whatever it is counted in.
        ("72 km", "Answer: 72 kilometers", 1.0), ("72 km", "72,000 m", 1.0), ("2 hours", "120 minutos", 1.0), ("2 horas", "2 h", 1.0),
        ("5 kg", "5000 g", 1.0), ("10 m/s", "36 km/h", 1.0), ("60 km/h", "60 quilômetros por hora", 1.0), ("20 °C", "68 °F", 1.0),
        ("12 cm^2", "12 square centimeters", 1.0), ("5 m²", "50000 cm²", 1.0), ("\\boxed{12\\text{ cm}}", "\\boxed{120\\,\\mathrm{mm}}", 1.0),
        ("90°", "\\boxed{90^\\circ}", 1.0), ("3 GB", "3000 MB", 1.0), ("100 Mbps", "0,1 Gbps", 1.0), ("1 year", "12 months", 1.0),
        ("5 dollars", "500 cents", 1.0), ("R$ 5 mil", "R$ 5.000,00", 1.0), ("$5", "5 USD", 1.0), ("2 min", "120 s", 1.0), ("5 min", "5 m", 1.0),
        # The same number of something else.
        ("72 km", "72 m", 0.0), ("72 km", "it is 72 miles", 0.0), ("2 hours", "2 minutes", 0.0), ("25 °C", "25 °F", 0.0), ("$5", "€5", 0.0),
        ("R$ 5", "US$ 5", 0.0), ("12 cm^2", "12 cm", 0.0), ("50%", "50 km", 0.0), ("10 m/s", "10 km/h", 0.0), ("5 kg", "5 g", 0.0),
        # A unit that only one side gives, or that nobody knows.
        ("72 km", "72", 1.0), ("72", "72 km", 1.0), ("72 km", "72000", 0.0), ("3 apples", "3 oranges", 1.0), ("7 days", "7", 1.0),
        ("$18", "18$", 1.0), ("18", "$18$", 1.0),
        # Millions, dozens, powers of ten, groups apart, mixed numbers.
        ("2,5 milhões", "2500000", 1.0), ("1500000", "1.5 million", 1.0), ("1500000", "#### 1.5 × 10^6", 1.0), ("24", "2 dozen", 1.0),
        ("\\boxed{1.5 \\times 10^{6}}", "\\boxed{1500000}", 1.0), ("1234567", "#### 1 234 567", 1.0), ("\\boxed{1\\frac{1}{2}}", "\\boxed{1.5}", 1.0),
        ("2 million", "2 thousand", 0.0), ("\\boxed{10{,}000}", "\\boxed{10000}", 1.0),
    ],
)  # fmt: skip
def test_final_answer_when_the_reference_has_a_unit_then_amounts_are_compared(reference, text, value):
    """Units are converted; the right number in another unit is another answer."""
    assert score(reference, text).value == value


def test_final_answer_when_the_unit_alone_is_wrong_then_an_option_says_what_it_earns():
    """Nothing by default."""
    assert score("72 km", "72 m").value == 0.0
    half = score("72 km", "72 m", other_unit=0.5)
    assert half.value == 0.5 and half.parts["right"] == 0.5 and "another unit" in half.reason


@pytest.mark.parametrize(
    ("reference", "text", "value"),
    [
        ("\\boxed{2\\sqrt{3}}", "\\boxed{2\\sqrt3}", 1.0), ("\\boxed{\\frac{\\sqrt{2}}{2}}", "\\boxed{\\frac{1}{\\sqrt{2}}}", 1.0),
        ("\\boxed{2\\sqrt{3}}", "\\boxed{3\\sqrt{2}}", 0.0), ("\\boxed{3\\pi}", "\\boxed{3π}", 1.0), ("\\boxed{3\\pi}", "\\boxed{9.42477796}", 1.0),
        ("\\boxed{3\\pi}", "\\boxed{9.42}", 0.0), ("\\boxed{3\\pi}", "3", 0.0), ("3", "\\boxed{3\\pi}", 0.0), ("\\boxed{1+\\sqrt{2}}", "\\boxed{\\sqrt{2}+1}", 1.0),
        # What is still to be worked out is no answer.
        ("72", "\\boxed{48+24}", 0.0), ("72", "\\boxed{8 \\times 9}", 0.0), ("6", "\\boxed{2\\sqrt{9}}", 0.0), ("72", "#### 48 + 24 = 72", 1.0),
        ("\\boxed{\\{1, 2, 3\\}}", "\\boxed{\\{3,2,1\\}}", 1.0), ("\\boxed{\\{1, 2, 3\\}}", "\\boxed{\\{1,2\\}}", 0.0),
        ("\\boxed{(3, \\frac{1}{2})}", "\\boxed{(3, 0.5)}", 1.0), ("\\boxed{(1,2)}", "\\boxed{(2,1)}", 0.0), ("12 and 15", "15, 12", 1.0),
        ("\\boxed{(-\\infty, 2]}", "\\boxed{(-\\infty,2]}", 1.0), ("\\boxed{(-\\infty, 2]}", "2", 0.0), ("\\boxed{A, C}", "\\boxed{C, A}", 1.0),
        ("\\boxed{\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}}", "\\boxed{\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}}", 1.0),
        ("\\boxed{y=2x+3}", "\\boxed{y=3}", 0.0), ("2x", "2", 0.0), ("x \\ge 3", "x \\le 3", 0.0), ("x \\ge 3", "x \\geq 3", 1.0),
        ("\\boxed{6-5i}", "\\boxed{6 + 5i}", 0.0), ("\\boxed{6-5i}", "\\boxed{6 - 5i}", 1.0), ("6", "\\boxed{6+5i}", 0.0), ("\\boxed{\\log_2 3}", "3", 0.0),
        ("\\boxed{1,-2}", "\\boxed{-2, 1}", 1.0), ("p - q", "p-q", 1.0), ("72", "\\boxed{48+24 \\Rightarrow 72}", 1.0), ("D", "A alternativa correta é a D.", 1.0),
        ("3", "The answer is obtained from 2x + 3 = 9, so it is 3", 1.0), ("8", "The answer is either 7 or 8.", 0.0),
        ("\\boxed{1,2}", "\\boxed{2, 1}", 1.0), ("\\boxed{1, 2}", "\\boxed{2,1}", 1.0), ("\\boxed{1,2}", "\\boxed{1.2}", 1.0), ("\\boxed{1,2}", "\\boxed{2,1}", 0.0),
        ("\\boxed{(1,2)\\cup(3,4)}", "\\boxed{(3,4) \\cup (1,2)}", 1.0), ("3.14159265", "\\boxed{\\pi}", 1.0), ("3.14", "\\boxed{\\pi}", 0.0),
        # Marks in one another, tokens that end a turn, and a rate.
        ("#### 120", "<answer>\\boxed{120}</answer>", 1.0), ("#### 120", "#### $\\boxed{120}$", 1.0), ("#### 1/2", "<answer>\\boxed{\\frac{1}{2}}</answer>", 1.0),
        ("#### 120", "#### 120<|im_end|>", 1.0), ("B", "B</s>", 1.0), ("18", "Answer: $18/day", 1.0), ("3", "2/3", 0.0), ("12", "12/05/2021", 0.0),
        # Two answers at once, and the last of two that are said one after the other.
        ("8", "The answer is 7 or 8.", 0.0), ("8", "#### 7 or 8", 0.0), ("8", "#### 7-8", 0.0), ("8", "The answer is 7. Wait, the answer is 8.", 1.0),
        ("8", "The answer is 8. I am sure the answer is correct.", 1.0), ("5", "A resposta é 5 maçãs em 3 dias", 1.0),
        ("B", "I think it's B because A and C are wrong.", 1.0),
    ],
)  # fmt: skip
def test_final_answer_when_it_is_a_formula_or_a_list_then_its_value_counts(reference, text, value):
    """Roots and pi by value, members of sets in any order, of pairs and intervals in theirs."""
    assert score(reference, text).value == value
