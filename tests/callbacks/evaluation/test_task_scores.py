"""Means, intervals and metric keys of an evaluation."""

import random
from math import inf, nan, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.evaluation.task_scores import (
    evaluation_metrics,
    function_metrics,
    read_estimates,
    summarise,
    summarise_functions,
)
from rewards.host.verdicts import Outcome, ScoredCompletion
from rewards.statistics.estimates import (
    Estimate,
    examples_to_decide,
    interval_of,
    paired_differences,
    unpaired_difference,
)
from rewards.statistics.student import t_quantile
from rewards.types import Completion, Example

rewards = st.floats(0, 1, allow_nan=False)
tasks = st.sampled_from(["extraction", "sql_qa", "push"])


@pytest.mark.parametrize(
    ("freedom", "printed"),
    [(1, 12.706205), (2, 4.302653), (4, 2.776445), (10, 2.228139), (30, 2.042272), (120, 1.979930), (1000, 1.962339)],
)
def test_t_quantile_of_printed_tables_is_met(freedom, printed):
    """The quantile agrees with printed tables to six decimals, for odd, even and many degrees of freedom."""
    assert t_quantile(freedom) == pytest.approx(printed, abs=1e-6)


def test_t_quantile_where_the_two_ways_meet_has_no_step():
    """The closed form below 120 degrees and the expansion above it join smoothly."""
    left, middle, right = t_quantile(119), t_quantile(120), t_quantile(121)
    assert left - middle == pytest.approx(middle - right, rel=0.03)


def test_interval_of_hand_computed_values_is_met():
    """Of 0.2, 0.4, 0.6 with std 0.2: the variance is v = 1/6 of the largest, 0.24, so e = 2 / (1 + v (n - 1) / n) = 1.8.

    The ends m are where |0.4 - m| = 4.302653 * 0.2 / sqrt(3) * (m (1 - m) / 0.24)^0.9.
    """
    estimate = summarise([("a", 0.2), ("a", 0.4), ("a", 0.6)])["a"]
    assert (estimate.mean, estimate.n, estimate.std) == (pytest.approx(0.4), 3, pytest.approx(0.2))
    for end in (estimate.low, estimate.high):
        reach = 4.302653 * 0.2 / sqrt(3) * (end * (1 - end) / 0.24) ** 0.9
        assert abs(0.4 - end) == pytest.approx(reach, abs=1e-6)
    assert 0 < estimate.low < 0.4 < estimate.high < 1


def test_interval_when_values_lie_close_together_then_it_allows_for_what_was_not_seen():
    """Twelve values of 0.89 to 0.91 do not exclude one failure in ten: 1 - 0.25^(1/12) = 0.1091 of them may be 0."""
    values = [("a", 0.9 + 0.01 * (place % 3 - 1)) for place in range(12)]
    assert summarise(values)["a"].low == pytest.approx(0.9 * (1 - 0.1091), abs=1e-4)


def test_summarise_with_one_row_knows_only_the_bounds():
    """One value says nothing about noise, so the interval is all of 0..1."""
    assert summarise([("a", 0.3)])["a"] == Estimate(0.3, 1, None, 0.0, 1.0)


def test_summarise_with_equal_rewards_keeps_a_width():
    """Twenty perfect answers do not prove perfection: Wilson's low end is 20 / (20 + 1.96^2).

    Of twenty equal answers between the bounds it is Clopper and Pearson's way to each: 1 - 0.025^(1/20).
    """
    estimate = summarise([("a", 1.0)] * 20)["a"]
    assert (estimate.high, estimate.std) == (1.0, 0.0)
    assert estimate.low == pytest.approx(20 / (20 + 1.959964**2))
    estimate = summarise([("a", 0.5)] * 20)["a"]
    assert estimate.high - 0.5 == pytest.approx(0.5 * (1 - 0.025 ** (1 / 20)))


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(31, 32, 0.8426, 0.9945), (32, 32, 0.8928, 1.0), (0, 12, 0.0, 0.2425), (50, 100, 0.4038, 0.5962)],
)
def test_interval_when_rewards_are_right_or_wrong_then_it_is_wilsons(right, n, low, high):
    """Also from what a row of metrics records of them, which is mean, n and std."""
    estimate = summarise([("a", 1.0)] * right + [("a", 0.0)] * (n - right))["a"]
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert interval_of(estimate.mean, n, estimate.std) == estimate


@pytest.mark.parametrize("share", [0.9, 0.97])
@pytest.mark.parametrize("n", [32, 320])
def test_interval_when_few_answers_are_not_whole_then_it_covers_the_truth(share, n):
    """Most earn 1 and the rest anything: Student's t covered 0.86 to 0.91 here."""
    draw, hits = random.Random(n), 0
    for _ in range(1500):
        estimate = summarise([("a", 1.0 if draw.random() < share else draw.random()) for _ in range(n)])["a"]
        hits += estimate.low <= share + (1 - share) / 2 <= estimate.high
    assert hits / 1500 > 0.91


@pytest.mark.parametrize("reward", [nan, inf, -inf])
def test_summarise_with_a_reward_that_is_not_finite_refuses(reward):
    """A NaN must never reach a mean in silence."""
    with pytest.raises(ValueError, match="not a finite"):
        summarise([("a", reward)])


def test_summarise_with_a_task_named_all_refuses():
    """The name would be mixed up with the mean over all tasks."""
    with pytest.raises(ValueError, match="'all'"):
        summarise([("all", 0.5)])


@given(st.lists(st.tuples(tasks, st.none() | rewards), max_size=60))
def test_summarise_of_anything_keeps_mean_in_interval_in_bounds(values):
    """Whatever the rewards, 0 <= low <= mean <= high <= 1 and the counts add up."""
    estimates = summarise(values)
    assert estimates["all"].n == sum(estimate.n for name, estimate in estimates.items() if name != "all")
    for estimate in estimates.values():
        if estimate.n:
            assert -1e-12 <= estimate.low <= estimate.mean + 1e-9
            assert estimate.mean - 1e-9 <= estimate.high <= 1 + 1e-12


@given(st.lists(st.tuples(tasks, st.none() | rewards), max_size=40))
def test_read_estimates_of_written_metrics_gives_them_back(values):
    """Metric keys are read back to the estimates they were written from."""
    estimates = summarise(values)
    assert read_estimates(evaluation_metrics(estimates)) == estimates


def test_evaluation_metrics_with_names_that_meet_refuses():
    """Task `a_n` would write the count of task `a`."""
    one = Estimate(0.5, 3, 0.1, 0.4, 0.6)
    with pytest.raises(ValueError, match="rename"):
        evaluation_metrics({"a": one, "a_n": one})


def test_read_estimates_with_other_metrics_takes_tasks_only():
    """Truncation and unscored counts in an evaluation row are not tasks; a bare recorded task is one."""
    row = {
        "step": 5,
        "reward": 0.3,
        "eval/mean_reward": 0.5,
        "eval/sql_qa": 0.4,
        "eval/truncated_ratio": 0.1,
        "eval/unscored": 2,
    }
    assert set(read_estimates(row)) == {"all", "sql_qa"}


def test_read_estimates_with_n_and_std_computes_the_interval():
    """A recorded history without low and high gets the same interval as a fresh one."""
    row = {"eval/mean_reward": 0.476, "eval/mean_reward_n": 300, "eval/mean_reward_std": 0.25}
    assert read_estimates(row)["all"] == interval_of(0.476, 300, 0.25)


def test_paired_difference_of_shared_ids_ignores_the_others():
    """Only ids scored on both sides count, and the order of the ids does not."""
    before = {("t", "a"): 0.2, ("t", "b"): 0.5, ("t", "c"): None, ("t", "d"): 0.9}
    after = {("t", "c"): 1.0, ("t", "b"): 0.7, ("t", "a"): 0.6, ("t", "e"): 0.0, ("t", "d"): None}
    difference = paired_differences(before, after)["all"]
    assert (difference.mean, difference.n) == (pytest.approx(0.3), 2)
    assert -1.0 <= difference.low < difference.high <= 1.0


def test_paired_difference_of_a_constant_gain_is_narrower_than_unpaired():
    """Pairing takes the spread between examples out of the noise."""
    draw = random.Random(3)
    before = {("a", str(n)): draw.uniform(0, 0.8) for n in range(80)}
    after = {n: reward + 0.1 + draw.uniform(-0.02, 0.02) for n, reward in before.items()}
    paired = paired_differences(before, after)["a"]
    sides = [summarise(("a", reward) for reward in side.values())["a"] for side in (before, after)]
    unpaired = unpaired_difference(*sides)
    assert paired.mean == pytest.approx(unpaired.mean)
    assert paired.low > 0.09
    assert unpaired.low < 0.05


def test_unpaired_difference_of_known_spreads_is_welchs():
    """Equal n and std: half-width t(2n - 2) * std * sqrt(2 / n)."""
    difference = unpaired_difference(interval_of(0.4, 50, 0.2), interval_of(0.5, 50, 0.2))
    assert difference.mean == pytest.approx(0.1)
    assert difference.high - 0.1 == pytest.approx(t_quantile(98) * 0.2 * sqrt(2 / 50))


def test_unpaired_difference_without_counts_has_no_interval():
    """A history of means alone gives a difference whose noise is unknown."""
    bare = Estimate(0.4, None, None, None, None)
    assert unpaired_difference(bare, Estimate(0.6, None, None, None, None)).low is None


def test_intervals_of_simulated_evaluations_cover_the_truth():
    """Of 600 simulated evaluations of 75 rewards in 0..1, 93 to 97 in a hundred intervals hold the true mean."""
    draw = random.Random(11)
    hits = 0
    for _ in range(600):
        estimate = summarise(("a", draw.betavariate(2, 3)) for _ in range(75))["a"]
        hits += estimate.low <= 0.4 <= estimate.high
    assert 0.93 <= hits / 600 <= 0.97


@given(st.floats(0.05, 0.5), st.integers(5, 400), st.floats(0.01, 0.3))
def test_examples_to_decide_when_added_clear_the_margin(std, n, margin):
    """With that many more examples the interval is just clear of the threshold, and with none if it already was."""
    estimate = interval_of(0.5, n, std)
    further = examples_to_decide(estimate, margin)
    assert further is not None
    assert t_quantile(n + further - 1) * std / sqrt(n + further) < margin
    clear_already = t_quantile(n - 1) * std / sqrt(n) < margin
    assert (further == 0) == clear_already


def test_examples_to_decide_without_a_margin_cannot_say():
    """On the threshold itself no number of examples decides."""
    assert examples_to_decide(interval_of(0.5, 100, 0.2), 0.0) is None


def score_by(task, **values):
    """A completion of a task with these values of functions; None is one that did not apply."""
    outcomes = tuple(
        Outcome(name, "1", "unscored" if value is None else "value", value) for name, value in values.items()
    )
    return ScoredCompletion(Example("1", task, (), None), Completion("x"), outcomes, 0.5)


def test_functions_when_a_completion_is_scored_by_several_then_each_has_its_own_mean_and_n():
    """The form is kept in all, the answer right in one of the two that were asked for it."""
    scored = [
        score_by("a", form=1.0, answer=0.0),
        score_by("a", form=1.0, answer=1.0),
        score_by("a", form=1.0, answer=None),
    ]
    found = summarise_functions(scored)
    assert {name: (each.mean, each.n) for name, each in found.items()} == {"form": (1.0, 3), "answer": (0.5, 2)}
    row = function_metrics(found)
    assert row["eval_by_function/answer"] == 0.5 and row["eval_by_function/answer_n"] == 2
    assert read_estimates(row) == {}


def test_functions_when_each_task_has_one_then_they_are_not_told_again():
    """Their means are those of the tasks."""
    assert summarise_functions([score_by("a", form=1.0), score_by("b", answer=0.0)]) == {}
