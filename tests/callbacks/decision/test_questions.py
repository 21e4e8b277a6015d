"""The three questions a node may ask, at and beside their thresholds, and the examples that would decide them."""

import pytest

from callbacks.decision.decision import ask_above, ask_below, ask_no_gain
from rewards.statistics.estimates import NOTHING, Estimate


@pytest.mark.parametrize(
    ("ask", "mean", "low", "high", "outcome"),
    [
        (ask_below, 0.60, 0.57, 0.63, "no"),
        (ask_below, 0.50, 0.47, 0.53, "yes"),
        (ask_below, 0.56, 0.53, 0.59, "within noise"),
        (ask_below, 0.58, 0.55, 0.61, "no"),  # the threshold itself is the interval's lower end, and not inside
        (ask_below, 0.52, 0.49, 0.55, "within noise"),  # the upper end is
        (ask_above, 0.60, 0.57, 0.63, "yes"),
        (ask_above, 0.50, 0.47, 0.53, "no"),
    ],
)
def test_question_of_a_mean_when_the_threshold_lies_beside_or_in_the_interval_then_is_answered_or_not(
    ask, mean, low, high, outcome
):
    """The threshold is 0.55; what is answered needs no further examples, what is not says how many."""
    node = ask("scale", "?", Estimate(mean, 400, 0.3, low, high), 0.55)
    assert node.outcome == outcome and node.margin == pytest.approx(mean - 0.55) and node.of_change is False
    if outcome == "within noise":
        assert node.further_examples_80 > node.further_examples >= 0
    else:
        assert (node.further_examples, node.further_examples_80) == (0, 0)


@pytest.mark.parametrize(("ask", "answer"), [(ask_below, "no"), (ask_above, "no"), (ask_no_gain, "yes")])
def test_question_when_the_mean_is_the_threshold_and_its_noise_unknown_then_each_has_its_answer(ask, answer):
    """0.55 is not below 0.55, nor above it; no gain is no gain. Without an interval nobody can say how many would decide."""
    node = ask("n", "?", Estimate(0.55, 1, None, None, None), 0.55)
    assert (node.outcome, node.margin) == (answer, 0.0)
    if ask is not ask_no_gain:
        assert (node.further_examples, node.further_examples_80) == (None, None)


def test_question_when_nothing_was_scored_then_is_not_judged():
    """No mean, no margin, and the note says why."""
    for ask in (ask_below, ask_above, ask_no_gain):
        node = ask("n", "?", NOTHING, 0.55)
        assert (node.outcome, node.note, node.margin) == ("not judged", "nothing was scored", None)


@pytest.mark.parametrize(
    ("mean", "low", "outcome"),
    [(0.04, 0.01, "no"), (0.04, 0.0, "within noise"), (0.04, -0.03, "within noise"), (-0.01, -0.03, "yes")],
)
def test_question_of_a_gain_when_it_is_not_clear_of_zero_then_it_is_not_denied(mean, low, outcome):
    """Only a gain whose interval leaves zero out says no; one that fell says yes, whatever its interval."""
    node = ask_no_gain("gain", "?", Estimate(mean, 200, 0.5, low, 2 * mean - low), 0.0)
    assert node.outcome == outcome
    if outcome != "within noise":
        assert (node.further_examples, node.further_examples_80) == (0, 0)
    elif low < 0.0:
        assert node.further_examples_80 > node.further_examples > 0
