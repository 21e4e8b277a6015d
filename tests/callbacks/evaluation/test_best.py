"""The best checkpoint: highest mean with a floor for each task."""

from callbacks.evaluation.best import BestCheckpoint, find_fallen_tasks
from callbacks.evaluation.task_scores import evaluation_metrics
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
