"""The statistics of a comparison, by hand-computed numbers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.statistics.resampling import binomial_p, bootstrap_mean, compare_passes


def test_mcnemar_when_six_gain_and_none_loses_then_p_is_two_coins_in_64():
    """Two-sided exact: 2 x 0.5^6 = 0.03125."""
    test = compare_passes([False] * 6 + [True, False], [True] * 6 + [True, False])
    assert (test.both, test.gained, test.lost, test.neither) == (1, 6, 0, 1)
    assert test.p == 0.03125


def test_mcnemar_when_gains_and_losses_balance_then_p_is_one():
    """No evidence either way, and none without discordant pairs."""
    assert compare_passes([True, False], [False, True]).p == 1.0
    assert compare_passes([True], [True]).p == 1.0


def test_binomial_p_when_one_of_ten_then_is_twice_eleven_in_1024():
    """(1 + 10) / 1024 a side."""
    assert binomial_p(1, 10) == pytest.approx(22 / 1024)


def test_bootstrap_when_values_differ_then_holds_the_mean_and_repeats_with_its_seed():
    """The same seed gives the same interval; 0 and 1 in equal numbers have the binomial's width."""
    values = [0.0, 1.0] * 50
    interval = bootstrap_mean(values, seed=3)
    assert interval == bootstrap_mean(values, seed=3) and interval.mean == 0.5 and interval.n == 100
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)


def test_bootstrap_when_all_values_are_equal_then_does_not_claim_certainty():
    """Ten equal differences of 0: 1 - 0.025^(1/10) = 0.3085 of the way to each bound."""
    interval = bootstrap_mean([0.0] * 10, seed=1)
    assert interval.mean == 0.0
    assert (interval.low, interval.high) == pytest.approx((-0.3085, 0.3085), abs=1e-4)


def test_bootstrap_when_there_is_no_value_then_knows_nothing():
    """No value, no mean."""
    assert bootstrap_mean([], seed=1) == (None, None, None, 0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 5))
def test_bootstrap_when_values_are_bounded_then_so_is_the_interval(values, seed):
    """low <= mean <= high, within the bounds."""
    interval = bootstrap_mean(values, seed=seed, draws=200)
    assert -1 - 1e-9 <= interval.low <= interval.mean + 1e-9
    assert interval.mean - 1e-9 <= interval.high <= 1 + 1e-9
