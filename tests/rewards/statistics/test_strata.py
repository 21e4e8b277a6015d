"""Paired changes over tasks with fixed shares, and of very few examples, against numbers computed by hand."""

from math import atan, pi

import pytest

from rewards.statistics.changes import Cell, paired_change, stratified_change, tango_interval


def test_change_within_tasks_when_computed_by_hand_then_is_met():
    """Variances 0.02 of 2 and 0.34/3 of 4: error sqrt(0.49333)/6, Satterthwaite's 3.47 freedoms cut to 3, t of 3.18245."""
    change = stratified_change({"a": [0.1, 0.3], "b": [-0.1, 0.2, 0.4, 0.7]})
    assert change.method == "within tasks" and (change.n, change.gained, change.lost) == (6, 5, 1)
    half = 3.182446 * 0.4933333**0.5 / 6
    assert (change.mean, change.low, change.high) == pytest.approx((1.6 / 6, 1.6 / 6 - half, 1.6 / 6 + half), abs=1e-6)
    # Student's t with 3 freedoms has a closed form.
    root = 1.6 / 0.4933333**0.5 / 3**0.5
    assert change.p == pytest.approx(1 - 2 / pi * (atan(root) + root / (1 + root**2)), abs=1e-6)
    assert change.p_beyond(1.6 / 6 + half) == pytest.approx(0.05, abs=1e-6)


def test_change_within_tasks_when_a_task_stands_still_then_it_counts_as_lost_to_neither_side():
    """Zeros are neither gained nor lost; a task without spread leaves the whole to one interval."""
    change = stratified_change({"a": [0.0, 0.4, -0.2], "b": [0.0, 0.3, 0.0]})
    assert (change.n, change.gained, change.lost) == (6, 2, 1)
    together = stratified_change({"a": [0.1, 0.3], "b": [0.2, 0.2]})
    assert together.method == paired_change([0.1, 0.3, 0.2, 0.2]).method != "within tasks"


def test_change_within_tasks_when_its_noise_is_wider_than_the_scale_then_ends_at_the_scale():
    """A difference of shares lies in -1..1, and so do the ends of its interval."""
    change = stratified_change({"a": [0.9, -0.8], "b": [0.7, -0.9]})
    assert change.method == "within tasks" and (change.low, change.high) == (-1.0, 1.0)


def test_change_of_very_few_examples_when_one_fell_by_a_half_then_the_score_interval_is_of_whole_falls():
    """The largest of one change says nothing of how large a change may be: Tango's interval is not scaled by it."""
    change = paired_change([-0.5] + [0.0] * 32)
    low, high = tango_interval(0, 1, 33, 0.05)
    # Student's ends, -0.0460 and 0.0157, lie inside.
    assert low < -0.0461 and high > 0.0158
    assert (change.low, change.high) == (low, high)


def test_cell_when_its_spread_was_recorded_then_it_is_not_taken_for_the_largest():
    """Only a std that had to be made up is marked."""
    assert Cell(0.5, 10, 0.1).bounded is False


def test_change_of_one_example_when_asked_then_anything_is_possible():
    """The widest interval, a p of 1 for no difference and for any other."""
    change = paired_change([0.25])
    assert (change.mean, change.low, change.high, change.p, change.n) == (0.25, -1.0, 1.0, 1.0, 1)
    assert (change.gained, change.lost, change.p_beyond(0.9)) == (1, 0, 1.0)
