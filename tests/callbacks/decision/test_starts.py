"""A run held against its own start: which start, what it gained, what each task kept, by numbers worked out by hand."""

from __future__ import annotations

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.measures import Recorded
from callbacks.decision.starts import (
    ask_kept,
    ask_share,
    find_change,
    find_gaps,
    find_start,
    list_tasks,
    measure_loss,
    name_start,
    tell_way,
)
from callbacks.evaluation.history import Evaluation
from rewards.statistics.estimates import ALL, Estimate

OWN = DecisionSection(relative_to="baseline")


def give(mean, n=100, std=0.2, low=None, high=None):
    return Estimate(mean, n, std, low, high)


def record(*evaluations, **more):
    return Recorded([Evaluation(stage, step, estimates) for stage, step, estimates in evaluations], OWN, {}, **more)


WARM = ("warmup", 0, {ALL: give(0.4, low=0.36, high=0.44), "a": give(0.4, low=0.36, high=0.44), "b": give(0.5)})
END = ("final", 50, {ALL: give(0.5, low=0.46, high=0.54), "a": give(0.38, low=0.34, high=0.42), "c": give(0.9)})


def test_start_when_it_is_named_then_by_what_it_was():
    """Zero-shot, the warm-up, a step; a warm-up that changed nothing is zero-shot still."""
    same = ("before", 0, WARM[2])
    other = ("before", 0, {ALL: give(0.1)})
    assert name_start(record(WARM, END)) == "the warm-up" == name_start(record(other, WARM, END))
    assert name_start(record(same, WARM, END)) == "zero-shot" == name_start(record(other, END))
    assert name_start(record(("train", 10, WARM[2]), END)) == "step 10"
    assert name_start(record(END)) == "its start" == name_start(record(WARM))
    kept = ("start", 0, {ALL: give(0.45)})
    assert name_start(record(other, WARM, kept, ("judged", 50, {ALL: give(0.6)}))) == "the warm-up"


def test_change_when_the_pair_is_not_whole_then_the_means_stand():
    """A paired difference without an interval says less than two means with theirs."""
    whole, bare = give(0.11, low=0.08, high=0.14), give(0.11)
    assert find_change(record(WARM, END, paired={ALL: whole}), ALL) is whole
    assert find_change(record(WARM, END, paired={ALL: bare}), ALL).mean == pytest.approx(0.1)
    assert find_change(record(WARM, END, paired={ALL: give(None)}), ALL).mean == pytest.approx(0.1)
    assert find_change(record(END), ALL).mean is None
    first = give(0.4, low=0.3, high=0.5)
    both = record(("before", 0, {ALL: give(0.1)}), WARM, END, paired={ALL: whole}, paired_zero_shot={ALL: first})
    assert find_change(both, ALL, find_start(both)) is whole and find_change(both, ALL, both.evaluations[0]) is first


def test_tasks_and_losses_when_one_side_lacks_a_task_then_it_is_not_compared():
    """`b` has no end and `c` no start."""
    recorded = record(WARM, END)
    assert list_tasks(recorded) == ["a"] and list_tasks(record(END)) == [] == list_tasks(record(WARM))
    unscored = ("warmup", 0, {**WARM[2], "c": give(None)})
    assert list_tasks(record(unscored, END)) == ["a"]
    assert measure_loss(recorded, "a") == pytest.approx(-0.02)
    assert [measure_loss(recorded, task) for task in ("b", "c", None)] == [0.0] * 3 and measure_loss(
        record(END), "a"
    ) == 0.0


def test_kept_when_a_task_lost_less_than_its_noise_then_it_is_in_doubt_with_the_numbers_behind_it():
    """-0.02 with an interval around it; what gained is kept, and needs no more examples."""
    node = ask_kept("kept: a", "?", record(WARM, END), "a")
    assert (node.outcome, node.task, node.threshold, node.of_change) == ("within noise", "a", 0.0, True)
    assert node.value == node.margin == pytest.approx(-0.02) and node.low < 0 < node.high and node.n is not None
    assert node.further_examples_80 > node.further_examples > 0
    fell = ask_kept("kept: a", "?", record(WARM, ("final", 9, {ALL: give(0.5), "a": give(0.1)})), "a")
    assert (fell.outcome, fell.further_examples, fell.further_examples_80) == ("no", None, None)
    gained = ask_kept("kept: a", "?", record(WARM, ("final", 9, {ALL: give(0.5), "a": give(0.4)})), "a")
    assert (gained.outcome, gained.value, gained.further_examples) == ("yes", 0.0, None)
    unscored = ask_kept("kept: b", "?", record(WARM, END), "b")
    assert (unscored.outcome, unscored.note, unscored.task, unscored.threshold) == (
        "not judged",
        "nothing was scored",
        "b",
        0.0,
    )


def test_share_when_the_start_was_nothing_then_any_gain_is_enough_and_it_says_from_what():
    """A third more than 0 is 0; standing still is no gain. The ends on the node are those of the mean."""
    nothing = ("warmup", 0, {ALL: give(0.0, 100, 0.0)})
    node = ask_share("gain", "?", record(nothing, ("final", 9, {ALL: give(0.1)})), 0.33)
    assert (node.outcome, node.note, node.threshold, node.n, node.of_change) == ("yes", "from nothing", 0.0, 100, True)
    assert ask_share("gain", "?", record(nothing, ("final", 9, {ALL: give(0.0)})), 0.33).outcome == "no"
    assert ask_share("gain", "?", record(END), 0.33).note == "there is no earlier evaluation"
    bare = ask_share("gain", "?", record(("warmup", 0, {ALL: give(0.4, None, None)}), END), 0.25)
    assert (bare.outcome, bare.note, bare.low, bare.high) == ("yes", "+25%", 0.46, 0.54)
    assert bare.threshold == pytest.approx(0.5) and bare.margin == pytest.approx(0.0)


def test_share_when_examples_are_paired_then_what_moves_together_narrows_it():
    """sd 0.2 on both sides and 0.1 of the change: the covariance is 0.035, and of end - 1.25 start is left 0.015."""
    ends = record(WARM, END, paired={ALL: Estimate(0.1, 100, 0.1, 0.08, 0.12)})
    node = ask_share("gain", "?", ends, 0.25)
    variance = (0.04 + 1.5625 * 0.04 - 2 * 1.25 * 0.035) / 100
    assert node.high - node.low == pytest.approx(2 * 1.984 * variance**0.5, rel=1e-3)
    assert node.outcome == "within noise"
    apart = ask_share("gain", "?", record(WARM, END), 0.25)
    assert apart.high - apart.low == pytest.approx(2 * 1.984 * ((0.04 + 1.5625 * 0.04) / 100) ** 0.5, rel=1e-3)
    other_rows = ask_share("gain", "?", record(WARM, END, paired={ALL: Estimate(0.1, 90, 0.1, 0.08, 0.12)}), 0.25)
    assert other_rows.high - other_rows.low == pytest.approx(apart.high - apart.low)


@pytest.mark.parametrize("place", ["start", "end"])
@pytest.mark.parametrize(("n", "std"), [(None, 0.2), (100, None), (100, 0.0)])
def test_share_when_one_side_has_no_noise_that_is_known_then_the_ends_of_the_mean_stand(place, n, std):
    """Half of what it takes is not enough to say where the two lie apart."""
    known, unknown = Estimate(0.4, 100, 0.2, 0.36, 0.44), Estimate(0.4, n, std, 0.3, 0.6)
    start, end = (unknown, known) if place == "start" else (known, unknown)
    node = ask_share("gain", "?", record(("warmup", 0, {ALL: start}), ("final", 9, {ALL: end})), 0.25)
    assert (node.outcome, node.low, node.high) == ("no", end.low, end.high)


def test_share_when_the_sides_differ_in_size_then_the_smaller_one_gives_the_quantile():
    """Five rows against a hundred: Student's t of 4 degrees of freedom, 2.776."""
    ends = record(("warmup", 0, {ALL: give(0.4, n=5)}), ("final", 9, {ALL: give(0.5)}))
    node = ask_share("gain", "?", ends, 0.0)
    assert node.high - node.low == pytest.approx(2 * 2.7764 * (0.04 / 5 + 0.04 / 100) ** 0.5, rel=1e-4)


def test_way_when_it_is_told_then_each_number_stands_after_what_it_is_of():
    """From zero-shot over the warm-up to the end, with the interval where it is known."""
    zero_shot = ("before", 0, {ALL: give(0.1)})
    paired = {ALL: Estimate(0.1, 100, 0.1, 0.08, 0.12)}
    told = tell_way(record(zero_shot, WARM, END, paired=paired))
    assert (
        told["way"]
        == "The mean went from 0.100 zero-shot to 0.400 after the warm-up to 0.500 at step 50 (+0.100, +0.080 to +0.120)"
    )
    assert told["change"] == "The mean went from 0.400 to 0.500 (+0.100)" and told["clearly"] == "clear of zero"
    assert tell_way(record(zero_shot, END, paired=paired))["way"].startswith(
        "The mean went from 0.100 zero-shot to 0.500 at"
    )
    bare = tell_way(record(("warmup", 0, {ALL: give(0.4, None, None)}), ("final", 50, {ALL: give(0.5, None, None)})))
    assert (
        bare["way"] == "The mean went from 0.400 to 0.500 at step 50 (+0.100)" and bare["clearly"] == "of unknown noise"
    )
    assert tell_way(record(END)) == {}


def test_gaps_when_noise_or_start_are_missing_then_each_has_a_line():
    """What stands for the start, and that the means alone decided."""
    bare = record(("train", 10, {ALL: give(0.4, None, None)}), ("final", 50, {ALL: give(0.5, None, None)}))
    assert find_gaps(bare, ("warmup",)) == (
        "no warm-up was recorded: step 10 is used in its place",
        "the noise: n or std was not recorded, so the means alone decided",
    )
    assert find_gaps(record(WARM, END), ("warmup",)) == () == find_gaps(record(END), ("warmup",))
