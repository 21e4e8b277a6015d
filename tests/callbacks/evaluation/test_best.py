"""The best checkpoint: highest mean with a floor for each task."""

import pytest

from callbacks.evaluation.best import BestCheckpoint, find_fallen_tasks, find_paired_falls
from callbacks.evaluation.task_scores import evaluation_metrics, summarise
from rewards.statistics.estimates import Estimate


def measure(mean, **tasks):
    """Estimates with an interval of 0.05 to both sides."""
    return {
        name: Estimate(value, 50, 0.2, value - 0.05, value + 0.05) for name, value in {"all": mean, **tasks}.items()
    }


def test_best_with_a_higher_mean_moves_and_on_a_tie_stays():
    """Only a strictly higher mean takes the place."""
    best = BestCheckpoint()
    best.start(measure(0.3, a=0.3))
    assert best.consider(50, measure(0.4, a=0.4)).is_best
    assert not best.consider(100, measure(0.4, a=0.4)).is_best
    assert (best.step, best.mean) == (50, 0.4)


def test_best_with_a_fallen_task_is_refused_and_named():
    """A higher mean bought with a task below the warm-up's interval is not the best."""
    best = BestCheckpoint()
    best.start(measure(0.3, a=0.3, b=0.3))
    verdict = best.consider(50, measure(0.5, a=0.8, b=0.24))
    assert (verdict.is_best, verdict.fallen, best.step) == (False, ("b",), 0)
    assert best.consider(100, measure(0.5, a=0.8, b=0.26)).is_best


def test_best_with_a_margin_lets_a_task_fall_that_much_further():
    """`task_floor_margin` widens the floor."""
    best = BestCheckpoint(task_floor_margin=0.1)
    best.start(measure(0.3, b=0.3))
    assert best.consider(50, measure(0.5, b=0.16)).is_best
    assert not best.consider(60, measure(0.6, b=0.14)).is_best


def test_best_of_a_run_that_only_did_harm_is_the_warm_up():
    """Training that never beats the warm-up leaves step 0 as the best."""
    best = BestCheckpoint()
    best.start(measure(0.5, a=0.5))
    best.consider(50, measure(0.4, a=0.4))
    assert best.step == 0


def test_best_without_a_scored_row_says_so():
    """An evaluation in which nothing was scored is neither a best nor a crash."""
    verdict = BestCheckpoint().consider(50, {"all": Estimate(None, 0, None, None, None)})
    assert not verdict.is_best


def test_best_replayed_from_metrics_is_the_same():
    """A resumed run recalls the best from its own metrics rows, `final` included and `before` not."""
    rows = [
        {"stage": "before", "step": 0, **evaluation_metrics(measure(0.9, a=0.9))},
        {"stage": "warmup", "step": 0, **evaluation_metrics(measure(0.3, a=0.3))},
        {"stage": "train", "step": 1, "reward": 0.9},
        {"stage": "train", "step": 50, **evaluation_metrics(measure(0.5, a=0.5))},
        {"stage": "final", "step": 60, **evaluation_metrics(measure(0.6, a=0.6))},
    ]
    best = BestCheckpoint().replay(rows)
    assert (best.step, best.mean) == (60, 0.6)
    assert BestCheckpoint().replay(rows[:4]).step == 50


def test_fallen_tasks_with_paired_differences_follow_their_intervals():
    """The paired interval decides where there is one: it sees a fall that the means' own intervals hide."""
    before, after = measure(0.5, a=0.5, b=0.5), measure(0.5, a=0.47, b=0.40)
    paired = {"a": Estimate(-0.03, 50, 0.05, -0.05, -0.01), "b": Estimate(-0.10, 50, 0.5, -0.24, 0.04)}
    assert find_fallen_tasks(before, after, paired) == ("a",)
    assert find_fallen_tasks(before, after) == ("b",)


def look(**tasks):
    """The rewards of an evaluation by (task, id), and its estimates."""
    rewards = {(task, str(row)): value for task, values in tasks.items() for row, value in enumerate(values)}
    return summarise([(task, value) for (task, _), value in rewards.items()]), rewards


@pytest.mark.parametrize(("looks", "is_best"), [(1, True), (3, True), (4, False)])
def test_best_when_a_gain_is_held_against_its_looks_then_one_side_of_its_p_counts(looks, is_best):
    """Five rows of ten gain 0.2: p is 0.0253 on two sides, so 0.0127 on one; four looks make 0.0507 of that."""
    best = BestCheckpoint(looks=looks)
    best.start(*look(a=[0.2] * 10))
    verdict = best.consider(5, *look(a=[0.2, 0.4] * 5))
    assert verdict.is_best is is_best and verdict.fallen == ()
    assert is_best or verdict.reason == "+0.100 over the start is within the noise of 4 looks"


def test_falls_when_paired_then_looks_tasks_and_margin_are_counted():
    """The same change downwards: 0.0127 on its side, 0.084 beyond a margin of 0.05; Holm's correction doubles it for two."""
    down, up = [0.0, -0.2] * 5, [0.0, 0.2] * 5
    assert find_paired_falls({"a": down, "b": up}) == ("a",)
    assert [find_paired_falls({"a": down}, looks=looks) for looks in (3, 4)] == [("a",), ()]
    assert [find_paired_falls({"a": down, "b": down}, looks=looks) for looks in (1, 2)] == [("a", "b"), ()]
    assert find_paired_falls({"a": down}, margin=0.05) == find_paired_falls({"a": up}) == ()


def test_fallen_tasks_when_their_p_is_computed_by_hand_then_it_is_corrected_over_the_tasks():
    """-0.1 with a std of 0.25 over 25 rows is t = -2: 0.0285 of one side; two such make 0.0569, and `all` is no task.

    With a margin of 0.02 t is -1.6: 0.0613.
    """
    before, after = measure(0.5, a=0.5, b=0.5), measure(0.5, a=0.4, b=0.5)
    down = Estimate(-0.1, 25, 0.25, -0.2, -0.03)
    assert find_fallen_tasks(before, after, {"a": down, "all": down}) == ("a",)
    assert find_fallen_tasks(before, after, {"a": down, "b": down}) == ()
    assert find_fallen_tasks(before, after, {"a": down}, margin=0.02) == ()
    # All rows fell alike, or the spread was not recorded: the interval decides alone.
    for sure in (Estimate(-0.1, 25, 0.0, -0.1, -0.1), Estimate(-0.1, None, None, -0.2, -0.03)):
        assert find_fallen_tasks(before, after, {"a": sure}) == ("a",)
    assert find_fallen_tasks(before, after, {"a": Estimate(-0.1, 25, 0.2, -0.2, 0.0)}) == ()


def test_noise_when_computed_by_hand_then_is_that_of_one_mean():
    """Changes of 0.3 and 0.1 since the evaluation before: their std of 0.14142 over the root of two times two rows."""
    best = BestCheckpoint()
    start = look(a=[0.2, 0.4])
    now = look(a=[0.5, 0.5])
    assert best.measure_noise(start[1]) is None
    best.start(*start)
    assert best.measure_noise(now[1]) == pytest.approx(0.1414214 / 2)
    best.consider(5, *look(a=[0.5, 0.4]))
    assert best.measure_noise(now[1]) == pytest.approx(0.0707107 / 2)
    assert best.measure_noise(look(a=[0.1])[1]) is None
