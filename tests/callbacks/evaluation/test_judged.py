"""The judged checkpoint: chosen by pairs, estimated again, and the same one for everybody."""

import json
from random import Random

from callbacks.evaluation.best import LEVEL, BestCheckpoint, count_looks
from callbacks.evaluation.judged import find_judged
from callbacks.evaluation.task_scores import evaluation_metrics, summarise

TASKS = {"a": 128, "b": 128, "c": 32, "d": 32}


def draw(random, rows, gain=0.0):
    """Rewards of one look: each row keeps its own level, the answer adds noise."""
    return {key: min(1.0, max(0.0, level + gain + random.gauss(0, 0.14))) for key, level in rows.items()}


def make_rows(random):
    return {(task, str(i)): random.betavariate(2, 2) for task, n in TASKS.items() for i in range(n)}


def choose(seed, gains):
    """The step that is kept of a run whose looks have these true gains."""
    random = Random(seed)
    rows = make_rows(random)
    best = BestCheckpoint(looks=len(gains))
    start = draw(random, rows)
    best.start(summarise([(task, value) for (task, _), value in start.items()]), start)
    for step, gain in enumerate(gains, 1):
        now = draw(random, rows, gain)
        best.consider(step, summarise([(task, value) for (task, _), value in now.items()]), now)
    return best.step


def test_best_where_nothing_changed_then_the_start_is_kept_in_nearly_every_run():
    """The start is replaced in 5 % of such runs at most, however many looks there are."""
    replaced = sum(choose(seed, [0.0] * 12) > 0 for seed in range(120))
    assert replaced / 120 <= 2 * LEVEL


def test_best_where_training_helped_then_a_later_step_is_kept():
    """A gain that is beyond the noise is taken, and the highest mean among such steps."""
    assert all(choose(seed, [0.02, 0.06, 0.12, 0.12]) >= 3 for seed in range(20))


def test_best_where_a_task_fell_beyond_its_paired_noise_then_it_is_refused():
    """What one task lost is not made up by another."""
    random = Random(5)
    rows = make_rows(random)
    start = draw(random, rows)
    now = {key: max(0.0, value - 0.3) if key[0] == "c" else min(1.0, value + 0.3) for key, value in start.items()}
    best = BestCheckpoint(looks=4)
    best.start(summarise([(key[0], value) for key, value in start.items()]), start)
    verdict = best.consider(10, summarise([(key[0], value) for key, value in now.items()]), now)
    assert (verdict.is_best, verdict.fallen) == (False, ("c",))


def test_looks_when_the_steps_do_not_divide_then_the_last_one_counts_too():
    """600 steps at every 80 are seven on the way and the end."""
    assert (count_looks(600, 80), count_looks(600, 100), count_looks(4, 50)) == (8, 6, 1)


def test_judged_of_a_run_that_noted_it_then_step_and_evaluation_are_those(tmp_path):
    """What a run wrote down holds, whatever its metrics would say."""
    (tmp_path / "eval").mkdir()
    (tmp_path / "best").mkdir()
    (tmp_path / "eval" / "judged.jsonl").touch()
    (tmp_path / "judged.json").write_text(json.dumps({"step": 200, "estimated_anew": True, "seed": 1235}))
    judged = find_judged(tmp_path)
    assert (judged.step, judged.name, judged.anew) == (200, "step 200", True)
    assert (judged.weights, judged.evaluation) == (tmp_path / "best", tmp_path / "eval" / "judged.jsonl")


def test_judged_of_an_older_run_then_it_is_what_best_holds(tmp_path):
    """Nothing was written down: the metrics tell which step is in best/, and it was not estimated again."""
    rows = [
        {"stage": "warmup", "step": 0, **evaluation_metrics(summarise([("a", 0.2), ("a", 0.4)]))},
        {"stage": "train", "step": 50, **evaluation_metrics(summarise([("a", 0.7), ("a", 0.8)]))},
        {"stage": "final", "step": 60, **evaluation_metrics(summarise([("a", 0.5), ("a", 0.6)]))},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert find_judged(tmp_path).step == 0
    (tmp_path / "best").mkdir()
    judged = find_judged(tmp_path)
    assert (judged.step, judged.stage, judged.anew, judged.weights) == (50, "train", False, tmp_path / "best")
