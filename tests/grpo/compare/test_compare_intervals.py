"""Intervals and p-values of differences: known values, agreement with each other, and honesty over simulated runs."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import erfc, log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.statistics.changes import (
    Cell,
    adjust,
    largest_std,
    paired_change,
    t_p,
    tango_interval,
    tango_p,
    unpaired_change,
)
from rewards.statistics.estimates import estimate_cell

differences = st.lists(st.sampled_from([-1.0, -0.5, -0.1, 0.0, 0.0, 0.1, 0.3, 1.0]), min_size=2, max_size=60)


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(12.706205, 1, 0.05), (2.042272, 30, 0.05), (2.575829, 10**7, 0.01), (0.0, 4, 1.0)]
)
def test_t_p_of_printed_tables_is_met(t, freedom, p):
    """Two-sided p-values agree with printed quantiles."""
    assert t_p(t, freedom) == pytest.approx(p, abs=1e-6)


def test_tango_p_for_no_difference_is_mcnemars():
    """For a margin of 0 the statistic is (gained - lost) / sqrt(gained + lost)."""
    assert tango_p(9, 3, 50, 0.0) == pytest.approx(erfc(6 / sqrt(12) / sqrt(2)))


def test_tango_interval_of_a_published_example_is_met():
    """1 gained and 7 lost of 21 (the airway data of Fagerland, Lydersen and Laake 2014): -0.517 to -0.026."""
    assert tango_interval(1, 7, 21, 0.05) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (1, 7, 21), (0, 3, 40)])
def test_tango_interval_at_its_ends_has_a_score_of_the_normal_quantile(gained, lost, n):
    """With the lost share found by maximising the likelihood on a grid, not by its formula, each end scores 1.96."""
    for end in tango_interval(gained, lost, n, 0.05):
        shares = [k / 200_000 for k in range(1, 200_000) if k / 200_000 + end > 0 and 2 * k / 200_000 + end < 1]

        def likelihood(share, end=end):
            unchanged = 1 - 2 * share - end
            return gained * log(share + end) + lost * log(share) + (n - gained - lost) * log(unchanged)

        share = max(shares, key=likelihood)
        score = (gained - lost - n * end) / sqrt(n * (2 * share + end - end**2))
        assert abs(score) == pytest.approx(1.96, abs=5e-3)


def test_paired_change_when_one_of_33_is_lost_then_no_difference_stays_possible():
    """1 of 33 is noise: the interval holds 0, and a fall of 3 points as well as a small gain."""
    change = paired_change([-1.0] + [0.0] * 32)
    assert change.mean == pytest.approx(-1 / 33)
    assert change.low < -0.1 and change.high > 0.05 and change.p > 0.3
    assert (change.gained, change.lost, change.n) == (0, 1, 33)


def test_paired_change_when_nothing_changed_then_the_interval_has_a_width():
    """Equal answers on 33 examples leave room for what 33 examples cannot show."""
    change = paired_change([0.0] * 33)
    assert (
        change.p == 1.0 and change.low == pytest.approx(-0.1043, abs=1e-3) and change.high == pytest.approx(-change.low)
    )


def test_paired_change_of_one_example_says_nothing():
    """One example has no noise that could be known: anything is possible."""
    change = paired_change([1.0])
    assert (change.low, change.high, change.p) == (-1.0, 1.0, 1.0)


def test_paired_change_without_examples_is_refused():
    """No difference has no mean."""
    with pytest.raises(ValueError, match="no differences"):
        paired_change([])


@given(differences)
def test_paired_change_of_any_differences_agrees_with_its_p(values):
    """p is below 5 % exactly where the interval leaves 0 out, the mean lies inside, and the ends have a p of 5 %."""
    change = paired_change(values)
    assert -1.0 <= change.low <= change.mean + 1e-9 and change.mean - 1e-9 <= change.high <= 1.0
    if not (change.low <= 0.0 <= change.high):
        assert change.p <= 0.05 + 1e-6
    elif change.low < -1e-6 and change.high > 1e-6:
        assert change.p >= 0.05 - 1e-6
    if -0.999 < change.low < change.mean - 1e-6:
        assert change.p_beyond(change.low) == pytest.approx(0.05, abs=2e-3)


@given(differences)
def test_paired_change_of_mirrored_differences_is_mirrored(values):
    """Which run comes first changes the sign and nothing else."""
    one, other = paired_change(values), paired_change([-value for value in values])
    assert (one.low, one.high) == (pytest.approx(-other.high, abs=1e-6), pytest.approx(-other.low, abs=1e-6))
    assert one.p == pytest.approx(other.p, abs=1e-6)


def test_unpaired_change_of_hand_computed_means_is_welchs():
    """Half-width t(177) * sqrt(0.09/100 + 0.04/80) with Welch's degrees of freedom."""
    change = unpaired_change(Cell(0.5, 100, 0.3), Cell(0.6, 80, 0.2))
    assert change.high - change.mean == pytest.approx(1.97377 * sqrt(0.0009 + 0.0005), rel=1e-3)
    assert change.p_beyond(change.low) == pytest.approx(0.05, abs=1e-6)
    assert not change.paired


def test_unpaired_change_when_one_side_is_all_right_then_its_noise_is_not_nothing():
    """33 of 33 against 32 of 33: the side without variance keeps the interval of a fault that was never seen."""
    change = unpaired_change(Cell(1.0, 33, 0.0), Cell(32 / 33, 33, largest_std(32 / 33, 33)))
    assert change.low < -0.1 and change.high > 0.05 and change.p > 0.5


def test_unpaired_change_without_n_knows_only_the_mean():
    """Means alone have no interval, no p and therefore no verdict."""
    change = unpaired_change(Cell(0.333), Cell(0.5, 20, 0.1))
    assert (change.low, change.high, change.p, change.p_beyond(0.0)) == (None, None, None, None)


@given(st.lists(st.floats(0, 1, allow_nan=False), min_size=2, max_size=40))
def test_largest_std_of_any_values_is_not_exceeded(values):
    """The bound of Bhatia and Davis holds for every list of values in 0..1."""
    n, mean = len(values), sum(values) / len(values)
    std = sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    assert std <= largest_std(mean, n) + 1e-9


def test_mean_interval_without_std_is_none():
    """An interval is never made up."""
    assert estimate_cell(Cell(0.4, 10)).low is None
    assert estimate_cell(Cell(1.0, 33, 0.0)).low < 0.95


def test_adjust_by_holm_and_bh_gives_hand_computed_values():
    """0.01, 0.03, 0.04: Holm 0.03, 0.06, 0.06; Benjamini and Hochberg 0.03, 0.04, 0.04; None is not counted."""
    assert adjust([0.01, 0.04, None, 0.03], "holm") == [
        pytest.approx(0.03),
        pytest.approx(0.06),
        None,
        pytest.approx(0.06),
    ]
    assert adjust([0.01, 0.04, None, 0.03], "bh") == [
        pytest.approx(0.03),
        pytest.approx(0.04),
        None,
        pytest.approx(0.04),
    ]
    assert adjust([0.01, 0.04], "none") == [0.01, 0.04]


@given(st.lists(st.floats(0, 1, allow_nan=False), max_size=12), st.sampled_from(["holm", "bh", "none"]))
def test_adjust_of_any_p_values_never_lowers_one_and_keeps_their_order(ps, method):
    """A correction makes no difference more certain, and none overtakes another."""
    adjusted = adjust(ps, method)
    assert all(new >= old - 1e-12 and new <= 1.0 for old, new in zip(ps, adjusted, strict=True))
    ranked = [new for _, new in sorted(zip(ps, adjusted, strict=True))]
    assert ranked == sorted(ranked)


def draw_smooth(random):
    """Rewards of two runs on one example: alike, with a small gain."""
    first = random.random() ** 2
    return min(1.0, max(0.0, first + random.gauss(0.03, 0.15))) - first


def draw_two_levels(random):
    """Most examples stay, a tenth is lost, a quarter gains a little: skewed."""
    place = random.random()
    return -0.8 if place < 0.1 else 0.3 if place < 0.35 else 0.0


def draw_verdicts(random):
    """Right or wrong: 15 % gained, 8 % lost."""
    place = random.random()
    return 1.0 if place < 0.15 else -1.0 if place < 0.23 else 0.0


@pytest.mark.parametrize("draw", [draw_smooth, draw_two_levels, draw_verdicts])
@pytest.mark.parametrize("n", [75, 300])
def test_paired_change_of_simulated_runs_covers_the_truth(draw, n):
    """The 95 % interval holds the true difference in 93 to 97 % of simulated comparisons."""
    random = Random(7)
    truth = sum(draw(random) for _ in range(200_000)) / 200_000
    hits = 0
    for _ in range(1500):
        change = paired_change([draw(random) for _ in range(n)])
        hits += change.low <= truth <= change.high
    assert 0.93 <= hits / 1500 <= 0.97


def test_paired_change_when_every_one_of_five_fell_then_its_far_end_is_what_five_draws_never_showed():
    """Mean -0.18: the lower end is -0.18 - (1 - 0.025^(1/5)) * 0.82, where p is 5 %, and it mirrors for gains."""
    fell = paired_change([-0.5, -0.1, -0.1, -0.1, -0.1])
    rose = paired_change([0.5, 0.1, 0.1, 0.1, 0.1])
    assert fell.low == pytest.approx(-0.18 - (1 - 0.025**0.2) * 0.82)
    assert fell.p_beyond(fell.low) == pytest.approx(0.05, abs=1e-6)
    assert (rose.low, rose.high) == (pytest.approx(-fell.high), pytest.approx(-fell.low))
    assert rose.p_beyond(rose.high) == pytest.approx(0.05, abs=1e-6)


def test_paired_change_when_every_one_of_few_changed_alike_then_keeps_its_end_as_they_grow_equal():
    """Five falls of 0.1, one of them of 0.1001, are as uncertain as five equal falls."""
    equal, nearly = paired_change([-0.1] * 5), paired_change([-0.1] * 4 + [-0.1001])
    assert nearly.low == pytest.approx(equal.low, abs=1e-3)


@pytest.mark.parametrize("n", range(2, 8))
def test_paired_change_of_all_few_differences_agrees_with_its_p_at_both_ends(n):
    """Every multiset of 2 to 7 out of seven values: the mean lies inside, each end has a p of 5 %, and so has 0 its side."""
    for values in combinations_with_replacement([-1.0, -0.5, -0.1, 0.0, 0.1, 0.3, 1.0], n):
        change = paired_change(values)
        assert -1.0 <= change.low <= change.mean + 1e-9 <= change.high + 2e-9 <= 1.0 + 2e-9, values
        assert (change.low <= 1e-6 and change.high >= -1e-6) or change.p <= 0.05 + 1e-6, values
        for end in (change.low, change.high):
            if abs(end) < 0.999 and abs(end - change.mean) > 1e-6:
                assert change.p_beyond(end) == pytest.approx(0.05, abs=2e-3), values
