"""Intervals and counts against numbers that were computed apart from them, by hand or by scipy's solver and quantiles."""

from __future__ import annotations

import pytest

from rewards.statistics.changes import Cell, adjust, largest_std, paired_change, unpaired_change
from rewards.statistics.estimates import (
    NOTHING,
    Estimate,
    estimate_mean,
    examples_to_decide,
    say_further,
    stratify,
)

ASKEW = [0.9, 0.1, 0.05, -0.1, 0.2, 0.15, 0.0, 0.3, -0.05, 0.6]


def test_change_when_its_differences_are_askew_then_is_halls():
    """Mean 0.215, skewness 1.0146 by n: the roots of Hall's cubic at the t quantiles 2.26216 / sqrt(10)."""
    change = paired_change(ASKEW)
    assert change.method == "hall" and (change.gained, change.lost) == (7, 2)
    assert (change.low, change.high) == pytest.approx((0.0337045, 0.5527292), abs=1e-6)
    assert change.p == pytest.approx(0.0220115, abs=1e-6)
    assert change.p_beyond(change.low) == pytest.approx(0.05, abs=1e-6)
    assert change.p_beyond(change.high) == pytest.approx(0.05, abs=1e-6)
    mirrored = paired_change([-each for each in ASKEW])
    assert (mirrored.low, mirrored.high) == pytest.approx((-change.high, -change.low), abs=1e-12)


def test_change_when_eight_examples_changed_then_their_spread_speaks():
    """Seven are few."""
    changed = [0.1, 0.2, 0.3, 0.1, -0.2, 0.4, 0.2, 0.1]
    assert paired_change(changed + [0.0] * 8).method == "hall"
    assert paired_change(changed[:7] + [0.0] * 8).method == "few changes"


def test_change_when_all_changed_alike_then_what_was_never_seen_stands_in():
    """Ten rose by 0.25: 1 - 0.025^(1/10) of the way to each bound; p = 2 * (1 - 0.25 / 1.25)^10."""
    change = paired_change([0.25] * 10)
    assert (change.method, change.low, change.high) == (
        "all alike",
        pytest.approx(-0.135621, abs=1e-6),
        pytest.approx(0.481373, abs=1e-6),
    )
    assert change.p == pytest.approx(0.2147484, abs=1e-7)
    assert change.p_beyond(0.25) == 1.0 and change.p_beyond(-1.0) == 0.0


def test_means_when_their_examples_cannot_be_paired_then_are_welchs():
    """Variances 0.003 and 0.001, 47.6 degrees cut to 47: t = 0.1 / sqrt(0.004)."""
    change = unpaired_change(Cell(0.5, 30, 0.3), Cell(0.6, 40, 0.2))
    assert (change.method, change.n) == ("welch", 30)
    assert (change.low, change.high) == pytest.approx((0.1 - 0.1272336, 0.1 + 0.1272336), abs=1e-6)
    assert change.p == pytest.approx(0.1205534, abs=1e-6)


def test_means_when_one_has_no_spread_then_its_unseen_values_are_added():
    """sqrt of the squares of (1 - 0.025^(1/30)) / 2 and 2.02269 * 0.2 / sqrt(40)."""
    change = unpaired_change(Cell(0.5, 30, 0.0), Cell(0.6, 40, 0.2))
    assert (change.low, change.high) == pytest.approx((0.1 - 0.0862444, 0.1 + 0.0862444), abs=1e-6)


@pytest.mark.parametrize("n", [None, 1])
def test_means_when_one_is_of_too_few_then_only_the_difference_is_known(n):
    """Two values at least have a spread."""
    change = unpaired_change(Cell(0.5, n, 0.3), Cell(0.6, 40, 0.2))
    assert (change.mean, change.low, change.high, change.p, change.method) == (
        pytest.approx(0.1), None, None, None, "means only",
    )  # fmt: skip
    assert unpaired_change(Cell(0.5, 2, 0.3), Cell(0.6, 40, 0.2)).method == "welch"


def test_largest_spread_when_computed_by_hand_then_is_met():
    """A half of ones and a half of zeros: sqrt(0.25 * 2 / 1); one value has none."""
    assert [largest_std(0.5, 2), largest_std(0.2, 5), largest_std(0.3, 1), largest_std(1.0, 9)] == pytest.approx(
        [0.5**0.5, 0.2**0.5, 0.0, 0.0]
    )


def test_ps_when_adjusted_by_hand_then_are_met():
    """0.01, 0.04, 0.03 of three: Holm 0.03, 0.06, 0.06; Benjamini and Hochberg 0.03, 0.04, 0.04."""
    ps = [0.01, None, 0.04, 0.03]
    assert adjust(ps, "holm") == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert adjust(ps, "bh") == [pytest.approx(0.03), None, pytest.approx(0.04), pytest.approx(0.04)]
    assert adjust(ps, "none") == ps


def test_mean_over_tasks_when_computed_by_hand_then_is_met():
    """Variances 0.4^2 * 0.04 / 40 and 0.6^2 * 0.09 / 60, together 0.0007; 87.5 degrees cut to 87; the score interval's roots."""
    tasks = {"a": Estimate(0.5, 40, 0.2, None, None), "b": Estimate(0.6, 60, 0.3, None, None)}
    whole = Estimate(0.56, 100, 0.27, 0.5, 0.62)
    found = stratify({"all": whole, **tasks})
    assert (found.mean, found.n, found.std) == (0.56, 100, pytest.approx(0.07**0.5))
    assert (found.low, found.high) == pytest.approx((0.5068218, 0.6111241), abs=1e-6)
    assert stratify({"all": whole, **tasks, "c": NOTHING}) == found
    assert stratify({"all": whole, "a": tasks["a"]}) is whole


def test_half_width_when_the_interval_is_askew_then_is_the_longer_side():
    """0.2 above, 0.1 below; nothing where an end or the mean is missing."""
    assert Estimate(0.5, 10, 0.1, 0.4, 0.7).half_width == pytest.approx(0.2)
    assert Estimate(0.5, 10, 0.1, 0.2, 0.6).half_width == pytest.approx(0.3)
    assert [Estimate(*each).half_width for each in ((None, 0, None, None, None), (0.5, 1, None, None, 1.0))] == [
        None
    ] * 2


def test_further_examples_when_computed_by_hand_then_are_met():
    """0.25 of spread against 0.05: t_98 * 0.25 / sqrt(99) is the first below 0.05; with 80 % of power 198."""
    estimate = Estimate(0.5, 60, 0.25, 0.44, 0.56)
    assert (examples_to_decide(estimate, 0.05), examples_to_decide(estimate, -0.05)) == (39, 39)
    assert examples_to_decide(estimate, 0.05, power=0.8) == 138
    assert examples_to_decide(estimate, 0.2) == 0
    assert examples_to_decide(Estimate(0.5, 60, 0.5, 0.4, 0.6), 0.001) == pytest.approx(960_300, rel=0.006)
    for unknown, margin in ((Estimate(0.5, None, 0.5, None, None), 0.1), (Estimate(0.5, 9, 0.0, 0.4, 0.6), 0.1),
                            (estimate, 0.0), (Estimate(0.5, 60, 0.5, 0.4, 0.6), 0.0005)):  # fmt: skip
        assert examples_to_decide(unknown, margin) is None


def test_further_examples_when_told_then_in_two_figures():
    """What rests on an estimate is not told to the last example."""
    assert say_further((344, 698)) == "about 340 to 700 more examples (a 50 to 80 % chance of a clear answer)"
    assert (
        say_further((344, None), "rows") == "about 340 more rows (a 50 % chance of a clear answer)"
        and say_further((None, 5)) == ""
    )


def test_mean_when_one_of_many_values_is_not_at_the_bound_then_the_interval_ends_at_hoeffdings():
    """x ln(x / m) + (1 - x) ln((1 - x) / (1 - m)) = ln 40 / 32 at x = 0.0015 has the root 0.116166 (by scipy's brentq).

    The spread of such a sample says next to nothing: by it alone the end was 0.389.
    """
    found = estimate_mean([0.0] * 31 + [0.048])
    assert found.high == pytest.approx(0.1161659, abs=1e-6) and 0.0 < found.low < 0.0015
    mirrored = estimate_mean([1.0] * 31 + [0.952])
    assert mirrored.low == pytest.approx(1.0 - found.high, abs=1e-9)
