"""What the decision's questions look at, by numbers computed by hand."""

from __future__ import annotations

from math import sqrt

import pytest

from callbacks.config import DecisionSection
from callbacks.decision.measures import (
    UNKNOWN,
    Recorded,
    Schedule,
    measure_gain,
    measure_rate_share,
    measure_recent_gain,
)
from callbacks.evaluation.history import Evaluation, compare, measure_scatter
from rewards.statistics.estimates import ALL, Estimate

NO_SPREAD = Estimate(0.4, None, None, None, None)


def make_evaluation(step: int, mean: float, stage: str = "train", n: int = 100, std: float = 0.2) -> Evaluation:
    half = 1.96 * std / sqrt(n)
    return Evaluation(stage, step, {ALL: Estimate(mean, n, std, mean - half, mean + half)})


def record(*evaluations: Evaluation, **others: object) -> Recorded:
    """A history with a window of 100 steps for the plateau."""
    return Recorded(evaluations, DecisionSection(plateau_window=100), others.pop("rates", {}), **others)


CURVE = [make_evaluation(*point) for point in ((50, 0.3), (100, 0.5), (150, 0.45), (200, 0.4))]


@pytest.mark.parametrize(
    ("schedule", "step", "share"),
    [
        (Schedule("cosine", 110, 1e-5, 10), 35, 0.5 * (1 + sqrt(0.5))),
        (Schedule("constant", 110, 1e-5), 60, 1.0),
        (Schedule("inverse_sqrt", 110, 1e-5), 1, 1.0),
        (Schedule("inverse_sqrt", 110, 1e-5), 4, 0.5),
        (Schedule("linear", 10, 1e-5, 10), 11, 0.0),
        (Schedule("linear", 100, 1e-5), 150, 0.0),
    ],
)
def test_schedule_when_asked_for_a_step_then_its_share_is_the_formulas(schedule, step, share):
    """A quarter of the cosine, a root without a warm-up, and nothing left behind the last step."""
    assert schedule.share_at(step) == pytest.approx(share)


def test_recent_gain_when_the_best_are_not_the_last_then_they_are_compared():
    """0.45 at step 150 is the best of the last hundred steps, 0.5 at step 100 the best before them."""
    gain, note = measure_recent_gain(record(*CURVE), None)
    assert gain.mean == pytest.approx(-0.05)
    assert note == "best 0.450 at step 150 against 0.500 at step 100"


def test_recent_gain_when_the_curve_scatters_less_than_samples_then_its_interval_is_the_scatter():
    """The narrower one of the two counts, on both sides of the gain."""
    wide = [make_evaluation(step, 0.3 + 0.002 * (step % 20), n=10, std=0.5) for step in range(50, 260, 30)]
    half = measure_scatter(wide)
    gain, _ = measure_recent_gain(record(*wide), None)
    assert half < 0.1 and gain.low == pytest.approx(gain.mean - half) and gain.high == pytest.approx(gain.mean + half)
    narrow = [make_evaluation(step, 0.3 + 0.002 * (step % 20), n=1_000_000) for step in range(50, 260, 30)]
    assert measure_recent_gain(record(*narrow), None)[0].half_width < half


def test_gain_when_paired_differences_are_known_then_they_count_only_for_the_runs_two_ends():
    """Between the warm-up and the judged checkpoint; not without an interval, nor from another start."""
    paired = {ALL: Estimate(0.11, 80, 0.1, 0.08, 0.14)}
    ends = make_evaluation(0, 0.3, "warmup"), make_evaluation(100, 0.41, "judged")
    assert measure_gain(record(*ends, paired=paired), None) == (
        paired[ALL],
        "against 0.300 at the warm-up, paired by example",
    )
    note = "against 0.300 at the warm-up"
    assert measure_gain(record(*ends, paired={ALL: NO_SPREAD}), None) == (compare(*ends), note)
    others = make_evaluation(10, 0.3), make_evaluation(100, 0.41)
    assert measure_gain(record(*others, paired=paired), None) == (compare(*others), "against 0.300 at step 10")


def test_gain_when_the_start_itself_is_judged_then_the_end_of_the_curve_is_what_training_led_to():
    """Nothing beat the start: the change that is told is the last step's."""
    start, judged = make_evaluation(0, 0.3, "warmup"), make_evaluation(0, 0.31, "judged")
    curve = [make_evaluation(50, 0.4), make_evaluation(100, 0.35)]
    assert measure_gain(record(start, *curve, judged), None)[0].mean == pytest.approx(0.05)
    later = make_evaluation(50, 0.41, "judged")
    assert measure_gain(record(start, *curve, later), None)[0].mean == pytest.approx(0.11)


def test_rate_share_when_rates_were_recorded_then_is_their_mean_over_the_peak():
    """From behind the best of step 100 to the end: half of the peak, without any noise."""
    rates = {50: 1e-5, 100: 1e-5, 150: 6e-6, 200: 4e-6}
    assert measure_rate_share(record(*CURVE, rates=rates), None) == (
        Estimate(pytest.approx(0.5), None, 0.0, pytest.approx(0.5), pytest.approx(0.5)),
        "as recorded, from step 100 to 200",
    )


def test_rate_share_when_only_the_schedule_is_known_then_is_its_mean():
    """Linear from 0.5 at step 100 to 0 at step 200: a quarter, over 101 steps; an unknown kind tells nothing."""
    share, note = measure_rate_share(record(*CURVE, schedule=Schedule("linear", 200, 1e-5)), None)
    assert (share.mean, note) == (pytest.approx(0.25), "by the schedule linear, from step 100 to 200")
    unknown = measure_rate_share(record(*CURVE, schedule=Schedule("stairs", 200, 1e-5)), None)
    assert unknown == (UNKNOWN, "what the schedule stairs does is not known here")


def test_rate_share_when_every_rate_is_zero_then_nothing_was_recorded():
    """A share of no peak is no number."""
    assert measure_rate_share(record(*CURVE, rates={150: 0.0}), None) == (UNKNOWN, "no learning rate was recorded")
