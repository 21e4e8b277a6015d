"""The reward for a voice of its own."""

from __future__ import annotations

import pytest

from rewards.functions.contrastive import Contrastive
from rewards.testing import check_reward
from rewards.types import Completion, Example

OWN = "Ô meu bem, esse abacaxi está um mel, cortei um agorinha e a vizinha levou três! Leva dois que eu faço um preço camarada."
OTHER = (
    "Os abacaxis desta safra apresentam elevado teor de açúcar. Recomendamos a aquisição de duas unidades com desconto."
)
THIRD = "Esse abacaxi está bom. Leva dois."
EXAMPLE = Example("1", "any", [], OWN, {"contrast": [OTHER, THIRD]})


def score_of(text: str, example: Example = EXAMPLE, **options: object):
    return Contrastive(**options)(example, Completion(text))


@pytest.mark.parametrize("measure", ["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "jaccard"])
def test_contrastive_when_checked_by_the_kit_then_keeps_the_contract(measure):
    """Whichever measure tells the voices apart."""
    check_reward(
        Contrastive(measure=measure),
        EXAMPLE,
        right=[f"<think>{OTHER}</think>{OWN}"],
        partial="Ô meu bem, esse abacaxi está um mel, cortei um agorinha e levaram três! Compra dois com preço bom.",
        wrong=["", OTHER, THIRD, "não sei"],
        hostile_size=200_000,
    )


def test_contrastive_when_the_answer_is_anothers_then_earns_nothing():
    """Also where another's answer shares words with the reference."""
    for text in (OTHER, THIRD, f"{THIRD} {THIRD}"):
        assert score_of(text).value == 0.0


def test_contrastive_when_half_of_the_own_words_are_there_then_is_computed_from_both_distances():
    """own 2/4, other 0, base 0: (1/2 - 0) / (1 - 0)."""
    example = Example("1", "any", [], "a b c d", {"contrast": "w x y z"})
    score = score_of("a b q r", example)
    assert score.value == pytest.approx(0.5) and score.parts["own"] == 0.5 and score.parts["other"] == 0.0
    # With base 1/2, a text of only the words that both have is at no distance at all.
    common = Example("1", "any", [], "a b c d", {"contrast": ["a b y z"]})
    assert score_of("a b q r", common).value == 0.0
    assert score_of("q c d r", common).value == pytest.approx(1.0 * (0.5 - 0.0) / 0.5)


def test_contrastive_when_marker_phrases_are_stuffed_then_do_not_pay():
    """The persona's catchwords are not an answer, alone or repeated."""
    for text in (
        "Ô meu bem, meu bem, ô meu bem, preço camarada, ô meu bem",
        "Ô meu bem " * 8,
        "meu bem camarada " * 30,
    ):
        assert score_of(text).value < 0.05
    # Each of them once is what a text in this voice has.
    assert score_of(f"{OWN} Ô meu bem.").parts["stuffing"] == 1.0


def test_contrastive_when_a_phrase_stands_too_often_then_costs_from_a_tenth_of_the_text_on():
    """Of eight pairs of words two are `a b` once too often: (0.4 - 1/4) / (0.4 - 0.1)."""
    example = Example("1", "any", [], "a b c d e f g h i", {"contrast": "w x y z"})
    assert score_of("a b c a b d a b e", example).parts["stuffing"] == pytest.approx(0.5)
    assert score_of("a b c d w w w w w", example).parts["stuffing"] == 1.0


def test_contrastive_when_the_text_is_padded_or_doubled_then_costs():
    """The right answer with as much again of anything else is worth less than half of it."""
    assert score_of(f"{OWN} {OTHER}").value < 0.55
    assert score_of(f"{OWN} {OWN}").value < 0.5
    assert score_of(f"{OWN} {'e assim por diante ' * 40}").value < 0.1


def test_contrastive_when_the_column_has_another_name_then_an_option_says_so():
    """One text or a list of them."""
    example = Example("1", "any", [], OWN, {"rivals": OTHER})
    assert score_of(OWN, example, column="rivals").value == 1.0


@pytest.mark.parametrize(
    ("reference", "contrast", "said"),
    [
        ("", OTHER, "reference"),
        ("?!", OTHER, "reference"),
        (OWN, None, "contrast"),
        (OWN, [], "contrast"),
        (OWN, ["", OTHER], "contrast"),
        (OWN, [OTHER, OWN], r"contrast[1]"),
    ],
)
def test_problems_when_a_row_cannot_tell_voices_apart_then_says_what_to_give(reference, contrast, said):
    """An answer that is the reference itself would make every text worth nothing."""
    problems = Contrastive().problems(Example("1", "any", [], reference, {"contrast": contrast}))
    assert problems and problems[0].startswith(said)


def test_problems_when_the_row_is_fit_then_there_are_none():
    """And the reference earns the maximum."""
    assert Contrastive().problems(EXAMPLE) == [] and score_of(OWN).value == 1.0
