"""The reward of push notifications."""

from __future__ import annotations

import pytest

from rewards.functions.push import Push
from rewards.screen.allowed import show_value
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


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ("Corre, fone bluetooth com 15% na loja", 0.5, "not lively"),
        ("Fone bluetooth com 15% na loja!", 0.5, "not lively"),
        ("Fone bluetooth com 15% na loja 🔥", 0.5, "not lively"),
        ("Corre, fone bluetooth com 15% na loja, oba", 1.0, ""),
        ("Corre, fone bluetooth com 15% na loja?", 1.0, ""),
        ("Fone bluetooth com 15% na loja 🔥!", 1.0, ""),
        ("Corre! Informamos: fone bluetooth com 15%", 0.5, "formal: informamos"),
        ("Corre!!! Fone bluetooth com 15%", 1.0, ""),
        ("Corre!!!! Fone bluetooth com 15%", 0.75, "too many marks, emoji or hashtags"),
        ("Corre!!? Fone bluetooth com 15% 🔥🔥🔥🔥🔥", 0.5, "too many marks, emoji or hashtags"),
        ("Corre! Fone bluetooth com 15% #loja", 1.0, ""),
        ("Corre! Fone bluetooth com 15% #loja #fone #oba", 0.5, "too many marks, emoji or hashtags"),
    ],
)
def test_push_when_its_tone_is_counted_by_hand_then_is_met(text, expected, reason):
    """Two signs are the whole; a formal phrase costs a half, each mark, emoji or hashtag too many a quarter."""
    score = score_of(text, minimum_characters=0)
    assert score.parts["tone"] == pytest.approx(expected) and reason in score.reason
    assert reason or score.reason == ""


def test_push_when_short_or_in_lines_then_the_length_says_so():
    """17 of 30 characters; two lines are worth 0.7 of one; a limit below the minimum is the minimum."""
    assert score_of("Fone com 15% OFF!").parts["length"] == pytest.approx(17 / 30)
    assert score_of(REFERENCE.replace(" Corre", "\nCorre")).parts["length"] == pytest.approx(0.7)
    tight = Example("1", "push", [], REFERENCE, {**COLUMNS, "max_characters": 17})
    assert score_of("Fone com 15% OFF!", tight).parts["length"] == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("compre fone bluetooth xyz xyz2 xyz3 xyz4 xyz5", 1.0),
        ("compre fone bluetooth xy1 xy2 xy3 xy4 xy5 xy6 xy7", 0.8),
        ("compre agora the fone bluetooth xy1 xy2 xy3 xy4 xy5 xy6 xy7 xy8 xy9 xy10 xy11", 0.5),
        ("the and fone bluetooth", 0.0),
    ],
)
def test_push_when_common_words_are_one_in_eight_then_is_portuguese(text, expected):
    """One of 8, one of 10, two less a foreign one of 16, none."""
    assert score_of(text).parts["portuguese"] == pytest.approx(expected)


def test_push_when_several_parts_fall_short_then_their_costs_are_multiplied():
    """Half of the product at 0.6, half of the tone at 0.5, the rest whole: 0.7 * 0.75, and two lines 0.7."""
    score = score_of("Bluetooth e fone com 15% de desconto na loja\ncorre")
    assert (score.parts["product"], score.parts["tone"], score.parts["length"]) == pytest.approx((0.5, 0.5, 0.7))
    assert score.value == pytest.approx(0.7 * 0.7 * 0.75)
    assert score.reason == (
        "50 characters, allowed 30 to 120 in a line; does not name the product 'fone bluetooth'; not lively"
    )


def test_push_when_everything_is_right_then_there_is_no_reason():
    """The reference itself."""
    score = score_of(REFERENCE)
    assert (score.value, score.reason) == (1.0, "") and set(score.parts.values()) == {1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sera serao serei sera agora corre", 1.0),
        ("loja nova loja feira nova feira perto perto2 agora corre", 0.75),
        ("hoje loja fone feira hoje loja fone feira", 0.5),
        ("tudo aqui tudo ali tudo", 0.75),
        ("vem vem ver", 0.75),
    ],
)
def test_push_when_words_come_again_then_each_beyond_two_costs_a_quarter(text, expected):
    """One word again, three, four; a third time; a short one twice in a row."""
    assert score_of(text).parts["repetition"] == pytest.approx(expected)


@pytest.mark.parametrize(("limit", "sound"), [(1, True), (0, False), (True, False), ("120", False)])
def test_push_when_its_limit_is_no_number_of_characters_then_the_row_is_refused(limit, sound):
    """At least 1."""
    problems = Push().problems(Example("1", "push", [], REFERENCE, {**COLUMNS, "max_characters": limit}))
    assert problems == ([] if sound else [f"max_characters: {show_value(limit)}; give a number of characters"])


def test_push_when_the_products_own_words_repeat_then_only_the_first_naming_is_free():
    """The name says 'mini' twice; the second whole naming repeats three words, one of them in a row."""
    example = Example("1", "push", [], REFERENCE, {**COLUMNS, "product": "mini fone mini"})
    assert score_of("Corre, mini fone mini por 15%", example).parts["repetition"] == 1.0
    assert score_of("mini fone mini 15% mini fone mini", example).parts["repetition"] == 1.0
    assert score_of("mini fone mini 15% fone mini mini", example).parts["repetition"] == 0.75


def test_push_when_words_come_again_then_the_whole_is_worth_that_share():
    """All else is right: a word twice in a row costs a quarter, of the value too."""
    score = score_of("Vem vem ver! Fone bluetooth com 15% OFF hoje")
    assert (score.value, score.reason) == (pytest.approx(0.75), "repeats itself")


def test_push_when_the_prompt_is_handed_back_then_says_so():
    """The request is no notification, however lively it is."""
    said = "Escreva uma notificação viva sobre o fone bluetooth com 15% de desconto, corre, vem ver hoje!"
    example = Example("1", "push", [{"role": "user", "content": said}], REFERENCE, COLUMNS)
    score = Push()(example, Completion(said))
    assert score.value == pytest.approx(score.parts["repetition"]) and score.value < 1.0
    assert score.reason == "repeats the prompt"
