"""Our statistics against scipy and statsmodels, and against rliable's definitions."""

import math
from random import Random

import pytest

from rewards.statistics.changes import Cell, adjust, tango_p, unpaired_change
from rewards.statistics.estimates import estimate_mean
from rewards.statistics.seeds import (
    bootstrap,
    interquartile_mean,
    iqm_of_scores,
    mean_of_scores,
    probability_of_improvement,
)
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


PUBLISHED = ({"a": [1, 2, 1, 2], "b": [2, 2, 1, 1]}, {"a": [1, 2, 3], "b": [1, 2, 3]})
"""The two score matrices of rliable's own tests (tests/rliable/metrics_test.py), a column a task."""


def test_aggregates_when_held_against_rliables_published_examples_then_they_are_equal():
    """Means 1.5 and 2, interquartile means 1.5 and 2, probability of improvement 1/3."""
    one, other = PUBLISHED
    assert (mean_of_scores(one), mean_of_scores(other)) == (1.5, 2.0)
    assert (iqm_of_scores(one), iqm_of_scores(other)) == (1.5, 2.0)
    assert probability_of_improvement(one, other) == pytest.approx(1 / 3, abs=1e-9)


ONE = ((0.596, 0.498, 0.44, 0.576), (0.669, 0.379, 0.759, 0.682), (0.357, 0.539, 0.772, 0.354),
       (0.341, 0.553, 0.541, 0.435), (0.764, 0.308, 0.678, 0.738))  # fmt: skip
TWO = ((0.636, 0.532, 0.401, 0.625), (0.684, 0.522, 0.861, 0.73), (0.46, 0.562, 0.906, 0.404),
       (0.438, 0.5, 0.619, 0.35), (0.651, 0.334, 0.656, 0.801))  # fmt: skip


def test_bootstrap_when_held_against_rliable_then_its_ends_agree_within_the_error_of_the_draws():
    """rliable 1.2.0 over five seeds and four tasks: points to 1e-9, ends of 50,000 draws (10,000 of the last) to 0.01.

    With 2,000 draws an end's Monte-Carlo error is about 0.002 here, 0.01 for the probability of improvement, which moves in
    steps of 0.01.
    """
    one, other = (
        {str(task): list(column) for task, column in enumerate(zip(*seeds, strict=True))} for seeds in (ONE, TWO)
    )
    for found, point, ends, slack, statistic, sides in (
        (iqm_of_scores(one), 0.5525, (0.4598, 0.6322), 0.01, iqm_of_scores, (one,)),
        (iqm_of_scores(other), 0.5763, (0.4950, 0.6425), 0.01, iqm_of_scores, (other,)),
        (mean_of_scores(one), 0.54895, (0.48815, 0.60835), 0.01, mean_of_scores, (one,)),
        (probability_of_improvement(other, one), 0.56, (0.36, 0.75), 0.03, probability_of_improvement, (other, one)),
    ):
        assert found == pytest.approx(point, abs=1e-9)
        assert bootstrap(statistic, *sides) == pytest.approx(ends, abs=slack)
