"""Means and paired changes over tasks with fixed shares, and of very few examples, against numbers computed by hand."""

from math import atan, pi

import pytest

from rewards.statistics.changes import Cell, paired_change, stratified_change, tango_interval
from rewards.statistics.estimates import Estimate, estimate_mean, stratify


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


def test_mean_when_its_bounds_are_others_than_0_and_1_then_the_interval_is_scaled():
    """15 of 20 at the upper bound of -1..1 is Wilson's interval of 0.75, stretched by two."""
    unit, wide = estimate_mean([1.0] * 15 + [0.0] * 5), estimate_mean([1.0] * 15 + [-1.0] * 5, -1.0, 1.0)
    assert (wide.low, wide.high) == pytest.approx((2 * unit.low - 1, 2 * unit.high - 1), abs=1e-12)
    assert (unit.low, unit.high) == pytest.approx((0.53130, 0.88814), abs=1e-5)


def test_mean_when_its_values_hardly_differ_then_its_ends_leave_room_for_what_was_never_seen():
    """20 values about 0.5: a share of 1 - 0.25^(1/20) at either bound would have been missed in a quarter of the cases."""
    estimate = estimate_mean([0.5] * 19 + [0.51])
    unseen = 1 - 0.25 ** (1 / 20)
    assert (estimate.low, estimate.high) == pytest.approx((0.5005 * (1 - unseen), 0.5005 + unseen * 0.4995), abs=1e-12)


@pytest.mark.parametrize("lacking", [(None, 0.1), (40, None), (1, None)])
def test_mean_of_all_when_a_task_has_no_n_or_std_then_is_left_as_it_is(lacking):
    """What is not known of one task cannot be taken out of the noise of all."""
    n, std = lacking
    whole = Estimate(0.5, 80, 0.3, 0.43, 0.57)
    tasks = {"a": Estimate(0.3, 40, 0.1, 0.27, 0.33), "b": Estimate(0.7, n, std, None, None)}
    assert stratify({"all": whole, **tasks}) is whole


def test_change_of_rights_and_wrongs_when_enough_changed_then_is_tangos():
    """9 gained and 3 lost of 40: the score interval, and its own p."""
    change = paired_change([1.0] * 9 + [-1.0] * 3 + [0.0] * 28)
    assert (change.method, change.low, change.high) == ("tango", *tango_interval(9, 3, 40, 0.05))
    # McNemar: (9 - 3) / sqrt(9 + 3) = 1.73205, two-sided.
    assert change.p == pytest.approx(0.083265, abs=1e-6)
