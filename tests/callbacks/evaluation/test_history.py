"""Recorded histories: which evaluations they hold, in which order, and how noisy their curve is."""

import random

import pytest

from callbacks.evaluation.history import compare, find_baseline, measure_scatter, read_evaluations, read_rates


def row(step, mean, stage=None, **more):
    return {"step": step, "eval/mean_reward": mean, **({"stage": stage} if stage else {}), **more}


def test_evaluations_when_rows_come_in_any_order_then_they_are_in_the_order_of_the_run():
    """Before, warm-up, training by step, final; rows that are not evaluations are passed over."""
    rows = [row(600, 0.6, "final"), row(50, 0.4), {"step": 3, "loss": 1}, row(0, 0.3, "warmup"), row(0, 0.1, "before")]
    assert [(item.stage, item.step) for item in read_evaluations(rows)] == [
        ("before", 0),
        ("warmup", 0),
        ("train", 50),
        ("final", 600),
    ]


def test_baseline_when_there_was_a_warm_up_then_it_is_that_and_else_the_first():
    """A run is measured against what it started from; a single evaluation has no baseline."""
    whole = read_evaluations([row(0, 0.1, "before"), row(0, 0.3, "warmup"), row(50, 0.4)])
    assert find_baseline(whole).mean == 0.3
    assert find_baseline(read_evaluations([row(10, 0.2), row(50, 0.4)])).mean == 0.2
    assert find_baseline(read_evaluations([row(10, 0.2)])) is None


def test_change_when_n_and_std_are_missing_then_only_the_mean_is_known():
    """Bare means give a difference and no interval."""
    before, after = read_evaluations([row(10, 0.2), row(50, 0.5)])
    change = compare(before, after)
    assert (change.mean, change.low, change.high) == (pytest.approx(0.3), None, None)


def test_rates_when_recorded_then_only_those_of_training_count():
    """The warm-up has a rate of its own; null and text are none."""
    rows = [
        {"step": 0, "stage": "warmup", "learning_rate": 4e-3},
        {"step": 1, "stage": "train", "learning_rate": 1e-6},
        {"step": 2, "learning_rate": 2e-6},
        {"step": 3, "learning_rate": None},
        {"learning_rate": 1.0},
    ]
    assert read_rates(rows) == {1: 1e-6, 2: 2e-6}


def test_scatter_when_the_curve_is_noisy_then_it_is_the_interval_of_a_change():
    """Of straight curves with noise of 0.01 the half-width is about 2 * sqrt(2) * 0.01 on average."""
    widths = []
    for seed in range(200):
        numbers = random.Random(seed)
        rows = [row(step, 0.3 + step / 3000 + numbers.gauss(0, 0.01)) for step in range(0, 601, 50)]
        widths.append(measure_scatter(read_evaluations(rows)))
    assert sum(widths) / len(widths) == pytest.approx(2.36 * 2**0.5 * 0.01, rel=0.1)


def test_scatter_when_there_are_few_points_then_it_is_not_known():
    """Four evaluations have two bends: too few to call noise."""
    assert measure_scatter(read_evaluations([row(step, 0.5) for step in (0, 50, 100, 150)])) is None
