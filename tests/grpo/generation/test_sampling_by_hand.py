"""What is drawn, and with which probability, from four tokens whose chances are 50, 25, 15 and 10 %, worked out by hand."""

from __future__ import annotations

from math import log

import pytest
import torch

from grpo.generation.sampling import BLOCK, LEAST_BLOCKED, Sampling, draw, pick
from rewards.errors import UserError

CHANCES = (0.5, 0.25, 0.15, 0.1)
LOGITS = torch.tensor([CHANCES]).log() + 3.0  # a constant changes nothing
ENTROPY = 0.5 * log(2) + 0.25 * log(4) + 0.15 * log(1 / 0.15) + 0.1 * log(10)


def draw_one(sampling: Sampling, uniform: float, **options):
    tokens, scores, spreads = draw(
        LOGITS.clone(), sampling, uniform=torch.tensor([uniform], dtype=torch.float64), **options
    )
    return int(tokens[0]), float(scores[0]), None if spreads is None else float(spreads[0])


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, CHANCES),
        ({"min_p": 0.4}, (2 / 3, 1 / 3)),  # below 0.4 of the best, 0.2, none is kept
        ({"min_p": 0.49}, (2 / 3, 1 / 3)),
        ({"min_p": 0.51}, (1.0,)),
        ({"min_p": 1.0}, (1.0,)),
        ({"min_p": 0.25}, (5 / 9, 2.5 / 9, 1.5 / 9)),
        ({"top_k": 2}, (2 / 3, 1 / 3)),
        ({"top_k": 1}, (1.0,)),
        ({"top_k": 4}, CHANCES),
        ({"top_p": 0.74}, (2 / 3, 1 / 3)),  # the fewest whose sum reaches it
        ({"top_p": 0.76}, (5 / 9, 2.5 / 9, 1.5 / 9)),
        ({"top_p": 0.49}, (1.0,)),
        ({"temperature": 0.5}, tuple(p * p / 0.345 for p in CHANCES)),
        # The filters follow the temperature: 0.25^2 is a quarter of 0.5^2.
        ({"temperature": 0.5, "min_p": 0.26}, (1.0,)),
        ({"temperature": 0.5, "min_p": 0.24}, (0.8, 0.2)),
        # top-k first, then top-p of what it left: two thirds are enough for 0.66.
        ({"top_k": 2, "top_p": 0.66}, (1.0,)),
        ({"top_k": 3, "min_p": 0.4}, (2 / 3, 1 / 3)),
    ],
)
def test_draw_when_a_filter_is_set_then_the_chances_are_those_worked_out_by_hand(settings, kept):
    """On both sides of each bound between two tokens, with the log-probability of what was drawn."""
    sampling, start = Sampling(**settings), 0.0
    for token, chance in enumerate(kept):
        for uniform in (start + 1e-4, start + chance - 1e-4):
            found, score, _ = draw_one(sampling, uniform)
            assert found == token
            assert score == pytest.approx(log(chance), abs=1e-5)
        start += chance
    assert start == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"min_p": 0.4}, 2),
        ({"min_p": 1.0}, 1),
        ({"top_k": 2}, 2),
        ({"top_p": 0.7}, 2),
        ({"repetition_penalty": 1.5}, 4),
        ({}, 4),
    ],
)
def test_draw_when_a_filter_is_set_then_the_entropy_is_that_of_the_whole_distribution(settings, left):
    """1.208 nats whatever is left to be drawn, and the chances that are written down are those that were drawn from."""
    room = torch.empty(1, 4)
    seen = torch.tensor([[False, False, False, False]])
    token, score, spread = draw_one(Sampling(**settings), 0.3, entropies=True, room=room, seen=seen)
    assert spread == pytest.approx(ENTROPY, abs=1e-5)
    assert float(room.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(room[0, token].log()) == pytest.approx(score, abs=1e-6)
    assert int((room > 0).sum()) == left


def test_draw_when_tokens_were_seen_then_the_penalty_moves_them_away_from_the_others():
    """A logit above 0 is divided by 2, one below multiplied; what was not seen stays, a logit of 0 as well."""
    logits = torch.tensor([[2.0, -1.0, 0.0, 1.0]])
    seen = torch.tensor([[True, True, True, False]])
    wanted = torch.tensor([[1.0, -2.0, 0.0, 1.0]]).softmax(-1)[0]
    room = torch.empty(1, 4)
    draw(logits, Sampling(repetition_penalty=2.0), seen, torch.tensor([0.5], dtype=torch.float64), room=room)
    torch.testing.assert_close(room[0], wanted)


def test_draw_when_greedy_then_the_penalty_counts_and_nothing_is_reported():
    """The best token was written already: the next best one is taken."""
    logits = torch.tensor([[2.0, 1.5, 0.0]])
    seen = torch.tensor([[True, False, False]])
    tokens, scores, spreads = draw(logits, Sampling(temperature=0, repetition_penalty=2.0), seen)
    assert (tokens.tolist(), scores, spreads) == ([1], None, None)


@pytest.mark.parametrize(("value", "is_allowed"), [(-0.1, False), (0.0, True), (1.0, True), (1.1, False)])
def test_min_p_when_outside_of_0_to_1_then_one_line_says_what_is_allowed(value, is_allowed):
    """Both ends are allowed."""
    if is_allowed:
        assert Sampling(min_p=value).min_p == value
        return
    with pytest.raises(UserError) as refused:
        Sampling(min_p=value)
    assert refused.value.problems == [f"min_p: {value} is outside [0, 1]; give 0 to keep every token"]


def test_pick_when_a_vocabulary_is_large_then_the_first_block_counts_from_nothing():
    """Tokens 0, 1 and 63 share half of the chance, 64 and the last one the rest: bounds at 1/8, 1/4, 1/2, 3/4."""
    size = LEAST_BLOCKED + 3
    chances = torch.zeros(1, size)
    places = [0, 1, BLOCK - 1, BLOCK, size - 1]
    chances[0, places] = torch.tensor([0.125, 0.125, 0.25, 0.25, 0.25])
    ends = [0.125, 0.25, 0.5, 0.75, 1.0]
    for place, start, end in zip(places, [0.0, *ends], ends, strict=False):
        uniform = torch.tensor([start, end - 1e-12], dtype=torch.float64)
        assert pick(chances.expand(2, -1), uniform)[:, 0].tolist() == [place, place]
