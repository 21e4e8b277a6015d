"""The reward of analyses: form, grounded figures, actions."""

from __future__ import annotations

import pytest

from rewards.functions.insights import Insights, judge_repetition
from rewards.testing import check_reward
from rewards.types import Completion, Example

FIGURES = ["02/2018", "9", "22,2", "4,1", "1.857,17"]
REFERENCE = (
    "Diagnóstico: em beleza e saúde em 02/2018, o atraso de 22,2% em 9 pedidos derruba a nota para 4,1. "
    "Ações: 1) revisar o prazo prometido no site; 2) trocar a transportadora mais lenta."
)
EXAMPLE = Example("1", "insights", [], REFERENCE, {"figures": FIGURES})


def score_of(text: str, **options: object):
    return Insights(**options)(EXAMPLE, Completion(text))


def test_insights_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        Insights(),
        EXAMPLE,
        right=[
            REFERENCE.upper(),
            REFERENCE.replace("; 2)", ";\n2)").replace(" Ações", "\n\nAcoes"),
            REFERENCE.replace("1) revisar", "1. Revise").replace("2) trocar", "2. Troque"),
            REFERENCE.replace("22,2%", "22.2 %").replace("4,1", "1857,17"),
        ],
        partial=[REFERENCE.replace("9 pedidos", "57 pedidos"), REFERENCE.split(" 2)")[0], REFERENCE.split(" Ações")[0]],
        wrong=["", "não sei", "22,2 9 4,1", "revisar trocar avisar criar reduzir " * 5, (REFERENCE + " ") * 8],
    )


def test_insights_when_numbers_are_invented_then_costs_more_for_each():
    """Four figures of which one or two are invented: shares 3/4 and 1/2, squared."""
    one = score_of(REFERENCE.replace("22,2", "35,0"))
    two = score_of(REFERENCE.replace("22,2", "35,0").replace("9 pedidos", "57 pedidos"))
    assert one.parts["figures"] == pytest.approx((4 / 5) ** 2) and two.parts["figures"] == pytest.approx((3 / 5) ** 2)
    assert 1.0 > one.value > two.value


def test_insights_when_no_figure_is_given_then_a_tidy_form_earns_little():
    """The template alone is not worth learning."""
    text = "Diagnóstico: as vendas estão ruins e os clientes reclamam bastante. Ações: 1) revisar o prazo prometido; 2) trocar a caixa."
    assert score_of(text).value == pytest.approx(0.3)


def test_insights_when_one_figure_is_repeated_then_is_half_of_two():
    """Distinct figures are asked."""
    text = "Diagnóstico: a nota 4,1 é baixa, pois 4,1 é menos do que a loja quer. Ações: 1) revisar o site; 2) trocar a caixa."
    assert score_of(text).parts["figures"] == pytest.approx(0.5)


def test_insights_when_action_numbers_are_counted_then_are_no_figures():
    """`1)` and `2)` are not invented numbers, nor need they be in the prompt."""
    assert score_of(REFERENCE).parts["figures"] == 1.0


def test_insights_when_verbs_are_stuffed_or_repeated_then_do_not_pay():
    """Only the first words of numbered actions count, and only distinct ones."""
    same = REFERENCE.replace("2) trocar", "2) revisar")
    inside = REFERENCE.replace("1) revisar", "1) o revisar").replace("2) trocar", "2) a trocar avisar criar")
    assert score_of(same).parts["verbs"] == 0.5 and score_of(inside).parts["verbs"] == 0.0


def test_insights_when_the_text_repeats_itself_then_costs():
    """The same answer twice is worth less than once."""
    assert score_of(f"{REFERENCE} {REFERENCE}").value < 0.7


def test_insights_when_labels_are_options_then_other_words_work():
    """Nothing of the wording is fixed in code."""
    text = REFERENCE.replace("Diagnóstico:", "Resumo:").replace("Ações:", "Plano:")
    assert score_of(text).value < 0.5
    assert score_of(text, diagnosis_label="Resumo:", actions_label="Plano:").value == 1.0


def test_problems_when_figures_are_missing_then_says_what_to_give():
    """Preflight stops on rows that the reward cannot judge."""
    for figures in (None, "9, 4", [9], ["9"]):
        assert "figures" in Insights().problems(Example("1", "insights", [], REFERENCE, {"figures": figures}))[0]


WORDS = [
    "um",
    "dois",
    "tres",
    "quatro",
    "cinco",
    "seis",
    "sete",
    "oito",
    "nove",
    "dez",
    "onze",
    "doze",
    "treze",
    "catorze",
    "quinze",
    "vinte",
    "trinta",
    "quarenta",
]


@pytest.mark.parametrize(("count", "expected"), [(12, 0.8), (15, 1.0), (18, 1.0), (80, 1.0), (100, 0.75), (160, 0.0)])
def test_insights_when_too_short_or_too_long_then_the_length_says_by_how_much(count, expected):
    """12 of 15 words; 20 of 80 too many; twice as many earn nothing."""
    text = " ".join(f"{WORDS[at % 18]}{'abcdefghi'[at // 18]}" for at in range(count))
    assert score_of(text).parts["length"] == pytest.approx(expected)


def test_repetition_when_computed_by_hand_then_is_met():
    """12 words in threes of 4: 10 runs, 4 of them new, so 0.6 repeated of which 0.1 is free."""
    assert judge_repetition(["a", "b", "c", "d"] * 3) == pytest.approx(0.4 / 0.9)
    # 9 of 10 runs are new: just free. Two words have no run, three have one.
    assert judge_repetition(["a", "b", "c", "d", "e", "f", "g", "h", "i", "a", "b", "c"]) == 1.0
    assert judge_repetition(["a", "b"]) == judge_repetition(["a", "b", "c"]) == judge_repetition([]) == 1.0
    assert judge_repetition(["a"] * 4) == pytest.approx(0.5 / 0.9)


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ("Diagnóstico: a nota caiu muito. Ações: 1) revisar prazo 2) trocar caixa", 1.0, ""),
        ("Diagnóstico: a nota caiu. Ações: 1) revisar prazo 2) trocar caixa", 2 / 3, "no Diagnóstico:"),
        ("Diagnóstico: a nota caiu muito.", 1 / 3, "no Ações:"),
        ("Diagnóstico: a nota caiu.", 0.0, "no Ações: and no Diagnóstico:"),
        ("Diagnóstico: a nota caiu muito. Ações: 1) revisar prazo 2) trocar", 2.5 / 3, "1 numbered actions"),
        ("Diagnóstico: a nota caiu. Ações: 1) revisar prazo", 1.5 / 3, "no Diagnóstico:; 1 numbered actions"),
        ("Diagnóstico: a nota caiu muito. Ações:" + "".join(f" {n}) trocar caixa" for n in range(1, 6)), 1.0, ""),
        (
            "Diagnóstico: a nota caiu muito. Ações:" + "".join(f" {n}) trocar caixa" for n in range(1, 7)),
            2 / 3,
            "6 num",
        ),
        ("Diagnóstico: a nota caiu muito. Diagnóstico: sim. Ações: 1) revisar prazo 2) trocar caixa", 0.0, "a section"),
        ("Diagnóstico: a nota caiu muito. Ações: 1) revisar prazo Ações: 2) trocar caixa", 0.0, "a section twice"),
    ],
)
def test_insights_when_the_structure_lacks_a_third_then_earns_two(text, expected, reason):
    """A diagnosis of four words, the label of the actions, two to five actions of two words: a third each."""
    score = score_of(text)
    assert score.parts["structure"] == pytest.approx(expected)
    assert (score.reason or "").startswith(reason)


def test_insights_when_several_parts_fall_short_then_their_costs_are_multiplied():
    """10 of 15 words; 1 of 2 actions, structure 2.5/3; no figure; 1 of 2 verbs: 2/3 * 0.9 * 0.3 * 0.85."""
    score = score_of("Diagnóstico: a nota da loja caiu muito ontem cedo. Ações: 1) revisar prazo")
    assert score.parts == pytest.approx(
        {"structure": 2.5 / 3, "figures": 0.0, "verbs": 0.5, "length": 2 / 3, "repetition": 1.0}
    )
    assert score.value == pytest.approx(2 / 3 * 0.9 * 0.3 * 0.85)
    assert score.reason == (
        "1 numbered actions; no figures; actions do not start with distinct verbs; 10 words, allowed 15 to 80"
    )


def test_insights_when_everything_is_right_then_there_is_no_reason():
    """The reference itself."""
    score = score_of(REFERENCE)
    assert (score.value, score.reason) == (1.0, "") and set(score.parts.values()) == {1.0}


def test_insights_when_a_minimum_is_its_maximum_then_is_taken_and_above_it_refused():
    """Two actions, no more and no less, is a wish; three to two is none. So with words."""
    assert score_of(REFERENCE, minimum_actions=2, maximum_actions=2).parts["structure"] == 1.0
    assert Insights(minimum_words=20, maximum_words=20).minimum_words == 20
    for options in ({"minimum_actions": 3, "maximum_actions": 2}, {"minimum_words": 21, "maximum_words": 20}):
        with pytest.raises(ValueError, match="a minimum is above its maximum"):
            Insights(**options)


def test_insights_when_a_row_has_just_the_figures_asked_then_is_sound():
    """Two distinct ones where two are asked; one written twice is one."""
    assert Insights().problems(Example("1", "insights", [], REFERENCE, {"figures": ["9", "4,1"]})) == []
    problems = Insights().problems(Example("1", "insights", [], REFERENCE, {"figures": ["4,1", "4.1"]}))
    assert problems == ["figures: 1 distinct; the option minimum_figures asks 2"]


def test_insights_when_words_come_again_then_the_whole_is_worth_that_share():
    """12 of 15 words, 0.4 / 0.9 of them new in threes, nothing of structure, figures and verbs: 0.4 * 0.3 * 0.7 is left."""
    score = score_of("um dois tres nada " * 3)
    assert score.value == pytest.approx(0.8 * 0.4 / 0.9 * 0.4 * 0.3 * 0.7) and "repeats itself" in score.reason


def test_insights_when_no_figure_is_asked_then_none_costs_nothing():
    """One that is invented still does."""
    assert score_of("a nota caiu", minimum_figures=0).parts["figures"] == 1.0
    assert score_of("a nota caiu 35,0", minimum_figures=0).parts["figures"] == 0.0


def test_insights_when_the_prompt_is_handed_back_then_says_so():
    """The data is no analysis, however it is laid out."""
    example = Example("1", "insights", [{"role": "user", "content": REFERENCE}], REFERENCE, {"figures": FIGURES})
    score = Insights()(example, Completion(REFERENCE))
    assert score.value == score.parts["repetition"] < 1.0 and score.reason == "repeats the prompt"
