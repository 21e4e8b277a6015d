"""The reward of analyses: form, grounded figures, actions."""

from __future__ import annotations

import pytest

from rewards.functions.insights import Insights
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
