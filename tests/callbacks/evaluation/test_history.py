"""Recorded histories: which evaluations they hold, in which order, and how noisy their curve is."""

import random

import pytest

from callbacks.evaluation.history import (
    compare,
    find_baseline,
    measure_scatter,
    read_evaluations,
    read_rates,
    take_curve,
)


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


@pytest.mark.parametrize(
    ("points", "width"),
    [
        # Three residuals of 0.05 from the middle of their neighbours, each weighing 1.5; two degrees of freedom.
        (((0, 0.5), (50, 0.55), (100, 0.5), (150, 0.55), (200, 0.5)), 4.302653 * (2 * 0.05**2 / 1.5) ** 0.5),
        # Five of them have three.
        ([(50 * place, (0.5, 0.55)[place % 2]) for place in range(7)], 3.182446 * (2 * 0.05**2 / 1.5) ** 0.5),
        # A quarter of the way from 0.5 to 0.7 is 0.55, and 0.1 above it weighs 1 + 1/16 + 9/16; the others lie straight.
        (((0, 0.5), (50, 0.65), (200, 0.7), (350, 0.75), (500, 0.8)), 4.302653 * (2 * 0.1**2 / 1.625 / 3) ** 0.5),
        # A straight line: what the rounding of recorded means may hide.
        ([(50 * place, 0.1 * place) for place in range(5)], 0.001),
    ],
)
def test_scatter_when_computed_by_hand_then_it_is_that(points, width):
    """The bends of a curve at even and uneven steps, weighed by where a point lies between its neighbours."""
    assert measure_scatter(read_evaluations([row(*point) for point in points])) == pytest.approx(width, rel=1e-6)


def test_scatter_when_a_step_stands_twice_then_it_bends_nothing():
    """Of six evaluations at five steps two bends are left; a seventh makes them three, which is enough."""
    steps = (0, 50, 50, 100, 150, 200)
    assert measure_scatter(read_evaluations([row(step, 0.5) for step in steps])) is None
    assert measure_scatter(read_evaluations([row(step, 0.5) for step in (*steps, 250)])) == 0.001


def test_baseline_when_the_judged_checkpoint_had_rows_of_its_own_then_it_is_the_start_on_those():
    """Only where a step was judged, and where the start answered them."""
    rows = [row(0, 0.1, "before"), row(0, 0.2, "start"), row(50, 0.4), row(50, 0.5, "judged")]
    assert find_baseline(read_evaluations(rows)).mean == 0.2
    assert find_baseline(read_evaluations([*rows[:3], row(0, 0.5, "judged")])).mean == 0.1
    assert find_baseline(read_evaluations([rows[0], *rows[2:]])).mean == 0.1


def test_curve_when_taken_then_it_is_of_the_same_rows_and_random_numbers():
    """Neither the zero-shot evaluation, nor those of the kept rows; a stage that is none of ours is training's."""
    rows = [row(0, 0.1, "before"), row(0, 0.2, "warmup"), row(0, 0.2, "start"), row(50, 0.5, "judged"), row(50, 0.3)]
    assert [item.stage for item in take_curve(read_evaluations([*rows, row(60, 0.3, ["before"])]))] == [
        "warmup",
        "train",
        "train",
    ]


def test_task_when_it_was_not_evaluated_then_there_is_no_estimate():
    """A task that the row has is given; another one is None."""
    (found,) = read_evaluations([row(10, 0.2, **{"eval/push": 0.4})])
    assert found.task("push").mean == 0.4
    assert found.task("sql_qa") is None
