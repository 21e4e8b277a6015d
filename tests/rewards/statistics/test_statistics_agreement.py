"""Our statistics against scipy and statsmodels, and against rliable's definitions."""

import math
from random import Random

import pytest

from rewards.statistics.changes import Cell, adjust, tango_p, unpaired_change
from rewards.statistics.estimates import estimate_mean
from rewards.statistics.seeds import interquartile_mean, probability_of_improvement
from rewards.statistics.student import t_quantile

scipy_stats = pytest.importorskip("scipy.stats")
proportion = pytest.importorskip("statsmodels.stats.proportion")
multitest = pytest.importorskip("statsmodels.stats.multitest")


@pytest.mark.parametrize("n", [12, 32, 320, 3000])
def test_share_when_held_against_statsmodels_then_wilsons_ends_are_equal(n):
    """Of zeros and ones the interval is Wilson's, to 1e-9."""
    for right in {0, 1, 2, n // 2, n - 1, n}:
        ours = estimate_mean([1.0] * right + [0.0] * (n - right))
        low, high = proportion.proportion_confint(right, n, method="wilson")
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)


def test_quantiles_when_held_against_scipy_then_they_agree():
    """Student's quantiles from 1 to 3,000 degrees of freedom."""
    for freedom in (1, 2, 5, 11, 40, 119, 120, 500, 3000):
        assert t_quantile(freedom) == pytest.approx(scipy_stats.t.ppf(0.975, freedom), rel=1e-8)


def test_corrections_when_held_against_statsmodels_then_they_are_equal():
    """Holm's and Benjamini and Hochberg's adjusted p-values."""
    random = Random(1)
    ps = [random.random() ** 3 for _ in range(20)]
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh")):
        assert adjust(ps, ours) == pytest.approx(list(multitest.multipletests(ps, method=theirs)[1]), abs=1e-12)


def test_paired_shares_when_held_against_mcnemar_then_p_is_equal():
    """The score test of no difference is McNemar's without continuity correction."""
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    for gained, lost, n in ((4, 0, 33), (10, 3, 60), (40, 55, 320)):
        table = [[n - gained - lost, gained], [lost, 0]]
        expected = contingency.mcnemar(table, exact=False, correction=False).pvalue
        assert tango_p(gained, lost, n, 0.0) == pytest.approx(expected, abs=1e-9)


def test_unpaired_means_when_held_against_scipy_then_welchs_interval_is_near():
    """Welch's interval with its degrees of freedom rounded down: never narrower, at most a thousandth wider."""
    result = scipy_stats.ttest_ind_from_stats(0.6, 0.2, 320, 0.5, 0.3, 200, equal_var=False)
    ours = unpaired_change(Cell(0.5, 200, 0.3), Cell(0.6, 320, 0.2))
    error = math.sqrt(0.2**2 / 320 + 0.3**2 / 200)
    exact = 0.1 - scipy_stats.t.ppf(0.975, result.df if hasattr(result, "df") else 316) * error
    assert ours.low == pytest.approx(exact, abs=1e-4)


def test_interquartile_mean_when_held_against_scipy_then_it_is_its_trimmed_mean():
    """rliable's IQM is scipy's trim_mean with a quarter cut at each end."""
    random = Random(2)
    for n in (1, 3, 4, 5, 10, 23):
        values = [random.random() for _ in range(n)]
        assert interquartile_mean(values) == pytest.approx(scipy_stats.trim_mean(values, 0.25), abs=1e-12)


def test_probability_of_improvement_when_held_against_scipy_then_it_is_mann_whitneys():
    """rliable's probability of improvement is U / (n m), averaged over tasks."""
    random = Random(3)
    one, other = ({task: [round(random.random(), 1) for _ in range(5)] for task in "ab"} for _ in range(2))
    expected = [scipy_stats.mannwhitneyu(one[task], other[task]).statistic / 25 for task in "ab"]
    assert probability_of_improvement(one, other) == pytest.approx(sum(expected) / 2, abs=1e-12)
