"""What a run writes of each step, against numbers worked out by hand."""

from __future__ import annotations

from math import nan
from types import SimpleNamespace

import orjson
import pytest

from callbacks.progress import Progress
from callbacks.tracking.tracking import Tracker
from grpo.config.loading import load_config
from grpo.lifecycle.run_directory import RunDirectory
from grpo.training.recorder import RunRecord, add_reports, find_tasks_at_zero
from rewards.statistics.estimates import Estimate


def report_of(values=0, errors=0, seconds=0.0, slowest=0.0, faults=(), **more):
    return {
        "values": values,
        "errors": errors,
        "seconds": seconds,
        "slowest_seconds": slowest,
        "faults": dict(faults),
        "mean": 0.5,
        **more,
    }


@pytest.fixture
def record(tmp_path):
    """The record of a run that keeps the completions of every fourth step and tracks nowhere."""
    config = load_config("v4_1", ["grpo.log_completions_every=4", "tracking.wandb=off"], "embedded")
    host = SimpleNamespace(report=dict, to_record=lambda scored: {"id": scored.name})
    tracker = Tracker(tmp_path, config.tracking)
    yield RunRecord(config, host, RunDirectory(tmp_path), tracker, Progress(quiet=True))
    tracker.close()


def rows_of(record, *keys):
    """The rows of metrics.jsonl that have one of these keys, without anything else."""
    rows = map(orjson.loads, (record.directory.path / "metrics.jsonl").read_bytes().splitlines())
    return [{key: row[key] for key in keys if key in row} for row in rows if any(key in row for key in keys)]


def test_tasks_at_zero_when_a_mean_is_none_or_nearly_nothing_then_only_tasks_count():
    """0.005 is chance; the mean of all, what was not scored and what is no task are left out."""
    means = {"a": 0.0, "b": 0.006, "c": 0.005, "d": None, "mean_reward": 0.0}
    metrics = {f"eval/{name}": mean for name, mean in means.items()} | {f"eval/{name}_n": 9 for name in means}
    assert find_tasks_at_zero({**metrics, "eval/unscored": 0, "other": 0}) == {"eval/a", "eval/c"}


def test_reports_when_added_then_counts_and_faults_add_up_and_the_slowest_stays():
    """2 + 3 values and 1 + 1 errors in 1.5 + 2.0 seconds: half a second each."""
    earlier = {"f": report_of(2, 1, 1.5, 0.9, {"died": 1, "odd": 2}, unscored=4, version="1")}
    now = {"f": report_of(3, 1, 2.0, 0.6, {"died": 1}, unscored=1, version="2"), "g": report_of()}
    added = add_reports(earlier, now)
    assert [added["f"][key] for key in ("values", "errors", "seconds", "mean_seconds", "slowest_seconds", "unscored", "version")] == [5, 2, 3.5, 0.5, 0.9, 5, "2"]  # fmt: skip
    assert added["f"]["faults"] == {"died": 2, "odd": 2} and "mean" not in added["f"]
    assert (added["g"]["mean_seconds"], added["g"]["worker_starts"], added["g"]["stray_answers"]) == (0.0, 0, 0)


def test_held_out_loss_when_it_rises_again_then_says_by_which_share_above_its_best(record):
    """2.0, 1.0, 1.5: the last is half above the best; a loss that is no number is logged as it is."""
    for step, loss in ((10, 2.0), (20, 1.0), (30, 1.5), (40, nan)):
        record.log_held_out_loss(
            step, {"loss": Estimate(loss, 7, 0.1, 0.9, 1.1), "token_accuracy": Estimate(0.5, 7, 0.1, 0.4, 0.6)}
        )
    key = "sft/held_out_loss"
    assert rows_of(record, "sft/step", key, f"{key}_above_best")[:3] == [
        {"sft/step": 10, key: 2.0, f"{key}_above_best": 0.0},
        {"sft/step": 20, key: 1.0, f"{key}_above_best": 0.0},
        {"sft/step": 30, key: 1.5, f"{key}_above_best": 0.5},
    ]
    assert len(rows_of(record, f"{key}_above_best")) == 3
    assert rows_of(record, f"{key}_n", f"{key}_low", f"{key}_high", "sft/held_out_token_accuracy")[0] == {
        f"{key}_n": 7, f"{key}_low": 0.9, f"{key}_high": 1.1, "sft/held_out_token_accuracy": 0.5,
    }  # fmt: skip


def evaluate(record, stage, **means):
    cells = {f"eval/{name}": mean for name, mean in means.items()} | {f"eval/{name}_n": 9 for name in means}
    record.log_evaluation(stage, 0, cells)


FELL = "sft/loss_fell_for_nothing"


@pytest.mark.parametrize(
    ("losses", "before", "after", "stage", "fell"),
    [
        ((2.0, 1.5, 0.5), 0.0, 0.0, "warmup", 0.75),
        ((2.0, 1.0), 0.0, 0.0, "final", 0.5),
        ((2.0, 0.5), 0.0, 0.3, "warmup", None),
        ((2.0, 0.5), 0.3, 0.0, "warmup", None),
        ((2.0, 0.5), 0.0, 0.0, "train", None),
        ((0.5, 2.0), 0.0, 0.0, "warmup", None),
        ((2.0,), 0.0, 0.0, "warmup", None),
        ((0.0, 0.0), 0.0, 0.0, "warmup", None),
    ],
)
def test_supervised_loss_when_it_fell_and_a_task_stayed_at_nothing_then_says_by_which_share(
    record, losses, before, after, stage, fell
):
    """From the first loss to the last, where the same task was at 0 before and after; told once."""
    evaluate(record, "before", mean_reward=0.2, a=before)
    for step, loss in enumerate(losses, 1):
        record.log_warmup(step, {"loss": loss, "epoch": 0.1})
    record.log_warmup(9, {"train_runtime": 5.0})
    evaluate(record, stage, mean_reward=0.2, a=after)
    evaluate(record, "final", mean_reward=0.2, a=1.0)
    found = rows_of(record, FELL)
    assert found == ([] if fell is None else [{FELL: pytest.approx(fell)}])
    assert rows_of(record, "sft/step", "sft/loss", "sft/epoch") == [{"sft/step": step, "sft/loss": loss} for step, loss in enumerate(losses, 1)]  # fmt: skip
    assert rows_of(record, "sft/train_runtime") == []


def test_supervised_loss_when_a_run_is_resumed_then_it_is_known_from_the_rows_and_not_told_twice(record):
    """What was logged before is read back: the losses, the least held-out loss, the tasks at nothing."""
    evaluate(record, "before", mean_reward=0.2, a=0.0)
    for step, loss in ((1, 2.0), (2, 0.5)):
        record.log_warmup(step, {"loss": loss})
    record.log_held_out_loss(2, {"loss": Estimate(1.0, 7, 0.1, 0.9, 1.1)})
    record.replay()
    record.log_held_out_loss(3, {"loss": Estimate(1.25, 7, 0.1, 0.9, 1.1)})
    assert rows_of(record, "sft/held_out_loss_above_best")[-1] == {"sft/held_out_loss_above_best": 0.25}
    evaluate(record, "warmup", mean_reward=0.2, a=0.0)
    assert rows_of(record, FELL) == [{FELL: 0.75}]
    record.replay()
    assert (record.best.step, record.best.mean) == (0, 0.2)
    evaluate(record, "final", mean_reward=0.2, a=0.0)
    assert len(rows_of(record, FELL)) == 1


def complete(*texts):
    return [
        SimpleNamespace(name=f"c{place}", completion=SimpleNamespace(text=text)) for place, text in enumerate(texts)
    ]


def test_completions_when_a_step_is_over_then_the_first_and_every_fourth_are_kept(record):
    """With group and advantage; how much they repeat themselves goes into the row of every step."""
    for step in (1, 2, 4, 5):
        record.log_completions(step, complete("a b c", "d e f"), [0, 0], [0.5, -0.5])
        record.log_training(step, {"reward": 0.5, "rewards/f/mean": 0.5}, {"loss": 0.12345})
    assert sorted(path.name for path in record.directory.completions.iterdir()) == [
        "step-000001.jsonl",
        "step-000004.jsonl",
    ]
    rows = list(map(orjson.loads, (record.directory.completions / "step-000004.jsonl").read_bytes().splitlines()))
    assert rows == [
        {"id": "c0", "stage": "train", "step": 4, "group": 0, "advantage": 0.5},
        {"id": "c1", "stage": "train", "step": 4, "group": 0, "advantage": -0.5},
    ]
    assert len(rows_of(record, "completions/repetition")) == 4 and rows_of(record, "rewards/f/mean") == []
    timings = list(map(orjson.loads, (record.directory.path / "timings.jsonl").read_bytes().splitlines()))
    assert timings[-1]["loss_seconds"] == 0.1235 and timings[-1]["step"] == 5


def test_step_when_its_numbers_come_from_another_process_then_they_are_those_of_that_step(record):
    """Repetition, and the errors since the last row, as they were noted."""
    record.host.report = lambda: {"f": report_of(4, 1)}
    record.log_completions(2, complete("a a a a", "b"), [0, 0], [0.0, 0.0])
    noted = record.note_step()
    assert noted == {"repetition": noted["repetition"], "errors": 1, "scores": 5} and noted["repetition"] is not None
    record.host.report = dict
    record.recall_step({"repetition": 0.25, "errors": 1, "scores": 4})
    row = record.log_training(2, {"reward": 0.5}, {})
    assert (row["completions/repetition"], row["reward_errors"]) == (0.25, 0.25)
    assert "reward_errors" not in record.log_training(3, {"reward": 0.5}, {})


def test_batch_when_a_loss_is_no_number_then_its_completions_are_kept_for_whoever_asks_why(record):
    """Those of that very step; an event about a number keeps none."""
    record.log_completions(6, complete("x", "y"), [0, 0], [1.0, -1.0])
    record.log_training(6, {"grad_norm": 99.0}, {})
    assert not (record.directory.path / "not_finite").exists(), "a number, if a large one"
    record.log_training(6, {"loss": nan}, {})
    kept = list(
        map(orjson.loads, (record.directory.path / "not_finite" / "step-000006.jsonl").read_bytes().splitlines())
    )
    assert [(row["id"], row["advantage"], row["group"]) for row in kept] == [("c0", 1.0, 0), ("c1", -1.0, 0)]
    assert rows_of(record, "watch/grad_norm") == [{"watch/grad_norm": 99.0}]


def test_batch_when_the_loss_of_another_step_is_no_number_then_it_is_not_kept(record):
    """Nobody would look there for the reason."""
    record.log_completions(6, complete("x"), [0], [1.0])
    record.log_training(7, {"loss": nan}, {})
    assert not (record.directory.path / "not_finite").exists()


def test_row_when_the_folder_of_the_run_is_gone_then_the_step_fails(record):
    """What is written into it nobody would ever find."""
    record.log_training(1, {"reward": 0.5}, {})
    (record.directory.path / "metrics.jsonl").unlink()
    with pytest.raises(FileNotFoundError, match="the folder of the run is gone"):
        record.log_training(2, {"reward": 0.5}, {})
