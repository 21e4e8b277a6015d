"""The reward of push notifications."""

from __future__ import annotations

import pytest

from rewards.functions.push import Push
from rewards.testing import check_reward
from rewards.types import Completion, Example

REFERENCE = "Que saudade! Fone Bluetooth com 15% OFF. Corre!"
COLUMNS = {"product": "fone bluetooth", "offer": "15%", "max_characters": 120}
EXAMPLE = Example("1", "push", [], REFERENCE, COLUMNS)


def score_of(text: str, example: Example = EXAMPLE, **options: object):
    return Push(**options)(example, Completion(text))


def test_push_when_checked_by_the_kit_then_keeps_the_contract():
    """The whole contract, on hostile texts too."""
    check_reward(
        Push(),
        EXAMPLE,
        right=["Só hoje 🔥 fone bluetooth com 15 % de desconto, vem ver", REFERENCE.replace("saudade", "SAUDADE")],
        partial=[
            "Que saudade! O produto está com 15% OFF. Corre!",
            "Que saudade! Fone Bluetooth com desconto. Corre!",
            "Prezado cliente, informamos que o fone bluetooth está com 15%",
            "Fone bluetooth 10% 15% 20% off! Corre!",
            f"Aqui está a notificação:\n{REFERENCE}",
        ],
        wrong=["", "não sei", "Corre corre corre corre corre corre!", "fone bluetooth 15% " * 6, REFERENCE * 4],
    )


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("Que saudade! Fone com 15% OFF. Corre, vem ver!", "product", 0.25),
        ("Que saudade! Bluetooth e fone com 15% OFF. Corre!", "product", 0.5),
        ("Que saudade! Fone Bluetooth com 115% OFF. Corre!", "offer", 0.0),
        ("Que saudade! Fone Bluetooth com 15% OFF e 30% depois!", "offer", 0.5),
        ("Que saudade! Fone Bluetooth com 15,5% OFF. Corre!", "offer", 0.0),
        ("Prezado cliente, informamos: fone bluetooth com 15%", "tone", 0.0),
        ("O fone bluetooth está com 15% de desconto na loja", "tone", 0.0),
        ("Your fone bluetooth is here with 15% off for you, hurry!", "portuguese", 0.0),
        ("Corre corre! Vem ver o fone bluetooth com 15% OFF", "repetition", 0.75),
    ],
)
def test_push_when_one_thing_is_wrong_then_its_part_says_so(text, part, expected):
    """Each part looks at one thing."""
    assert score_of(text).parts[part] == pytest.approx(expected)


def test_push_when_too_long_then_falls_fast_and_counts_characters():
    """12 of 120 characters too many cost three tenths; 40 cost all."""
    padding = REFERENCE + " " + "vem" * 100
    assert [score_of(padding[:count]).parts["length"] for count in (120, 132, 160)] == pytest.approx([1.0, 0.7, 0.0])


def test_push_when_the_row_sets_another_limit_then_that_holds():
    """The row's limit goes before the option."""
    example = Example("1", "push", [], REFERENCE, {**COLUMNS, "max_characters": 40})
    assert score_of(REFERENCE, example).parts["length"] < 1.0
    assert (
        score_of(
            "Corre! " * 3, Example("1", "push", [], "x", {"product": "a", "offer": "b"}), maximum_characters=10
        ).parts["length"]
        == 0
    )


def test_push_when_hashtags_or_marks_are_stuffed_then_tone_falls():
    """Noise is not liveliness."""
    assert score_of(f"{REFERENCE} #promo #oferta #fone").parts["tone"] == 0.5
    assert score_of(f"{REFERENCE}!!!!").parts["tone"] == 0.25


@pytest.mark.parametrize("offer", ["R$ 20", "frete grátis", "R$ 1.200,50", "leve 3 pague 2"])
def test_push_when_offers_are_of_other_kinds_then_are_found_as_written(offer):
    """Amounts and words work like percentages."""
    example = Example("1", "push", [], "x", {**COLUMNS, "offer": offer})
    assert score_of(f"Que saudade! Fone bluetooth com {offer.upper()} hoje", example).parts["offer"] == 1.0
    assert score_of("Que saudade! Fone bluetooth com tudo hoje", example).parts["offer"] == 0.0


def test_problems_when_columns_are_missing_then_names_each():
    """Preflight stops on rows that the reward cannot judge."""
    problems = Push().problems(Example("1", "push", [], "", {"offer": " ", "max_characters": 0}))
    assert [line.split(":")[0] for line in problems] == ["reference", "product", "offer", "max_characters"]
