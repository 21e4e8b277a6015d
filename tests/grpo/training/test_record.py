"""What a run writes down, and what a resumed run makes of it."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbacks.progress import Progress
from callbacks.tracking.tracking import Tracker
from callbacks.watch import watch
from grpo.config.loading import load_config
from grpo.lifecycle.run_directory import RunDirectory
from grpo.training.recorder import RunRecord, add_reports

OUTCOMES = st.lists(st.tuples(st.sampled_from(["value", "unscored", "died", "timeout"]), st.floats(0, 1)), max_size=30)


def make_report(outcomes) -> dict:
    """The report of a reward host after these outcomes, each of half a second."""
    values = [value for kind, value in outcomes if kind == "value"]
    faults = [kind for kind, _ in outcomes if kind in ("died", "timeout")]
    scores = len(values) + len(faults)
    return {
        "push": {
            "version": "2",
            "weight": 1.0,
            "values": len(values),
            "mean": sum(values) / len(values) if values else None,
            "unscored": sum(kind == "unscored" for kind, _ in outcomes),
            "errors": len(faults),
            "faults": {kind: faults.count(kind) for kind in sorted(set(faults))},
            "seconds": 0.5 * scores,
            "mean_seconds": 0.5 if scores else 0.0,
            "slowest_seconds": 0.5 if scores else 0.0,
            "worker_starts": 0,
        }
    }


@given(OUTCOMES, OUTCOMES)
def test_reports_when_a_run_was_cut_in_two_then_they_add_up_to_the_whole(first, second):
    """Counts, faults and seconds are those of a run that was not killed."""
    whole = add_reports({}, make_report(first + second))
    parts = add_reports(add_reports({}, make_report(first)), make_report(second))
    assert parts == whole


def test_reports_when_a_function_is_new_then_it_stands_alone():
    """A function that the earlier processes did not have is counted from here on."""
    now = make_report([("value", 0.25)])
    assert add_reports({"gone": {"values": 3}}, now) == add_reports({}, now)


@pytest.fixture
def make_record(tmp_path):
    """A record of a run whose only watch rule warns of a reward below 0.5."""
    rules = (
        "decision.watch.rules={plateau: off, low: {metric: reward, below: 0.5, window: 2, over: every, action: warn}}"
    )
    config = load_config("v4_1", [rules], "embedded")
    config = config.model_copy(update={"tracking": config.tracking.model_copy(update={"wandb": "off"})})
    host = SimpleNamespace(report=lambda: make_report([("value", 0.25)]), to_record=lambda scored: {})

    def make(resume_from=None) -> RunRecord:
        tracker = Tracker(tmp_path, config.tracking, resume_from=resume_from)
        return RunRecord(config, host, RunDirectory(tmp_path), tracker, Progress(quiet=True))

    return make


def read_rules(folder) -> list[tuple[str, int, str]]:
    events = map(orjson.loads, (folder / watch.EVENTS_FILE).read_bytes().splitlines())
    return [(event["stage"], event["step"], event["rule"]) for event in events]


def test_events_when_the_end_is_evaluated_again_then_each_is_there_once(make_record, tmp_path):
    """A run that was killed after its last step tells its rules what they had seen, and its events are not doubled."""
    record = make_record()
    record.log_training(1, {"reward": 0.9}, {})
    record.log_training(2, {"reward": 0.4}, {})
    record.log_training(3, {"reward": 0.3}, {})
    record.log_evaluation("final", 3, {"eval/mean_reward": float("nan")})
    record.tracker.close()
    whole = read_rules(tmp_path)
    assert ("train", 3, "low") in whole
    resumed = make_record(("train", 3))
    resumed.replay()
    resumed.log_evaluation("final", 3, {"eval/mean_reward": float("nan")})
    resumed.tracker.close()
    assert read_rules(tmp_path) == whole


def test_resume_when_there_is_a_checkpoint_then_counts_are_those_it_was_saved_with(make_record, tmp_path):
    """What was scored after the checkpoint is scored again, and is not counted twice."""
    record = make_record()
    record.effective["sft"] = {"max_steps": 3}
    record.directory.write_json(
        "environment.json",
        {"settings": record.effective, "rewards": make_report([("value", 0.5)] * 7)},
    )
    checkpoint = tmp_path / "checkpoints" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    state = {"stateful_callbacks": {"Follow": {"args": {}, "attributes": {"rewards": make_report([("value", 0.5)])}}}}
    (checkpoint / "trainer_state.json").write_bytes(orjson.dumps(state))
    resumed = make_record(("train", 2))
    resumed.resume(checkpoint)
    assert resumed.report_rewards()["push"]["values"] == 2
    assert resumed.effective == {"sft": {"max_steps": 3}}
    resumed.resume(None)
    assert resumed.report_rewards()["push"]["values"] == 8
    record.tracker.close()
    resumed.tracker.close()


@pytest.mark.parametrize(
    ("step", "reached", "iterations", "on_disk", "saves"),
    [
        (3, 3, 1, False, True),
        (2, 3, 1, False, False),  # the evaluation of step 3 failed: its row is not logged yet
        (0, 2, 1, False, False),  # resumed at step 2 and failed in step 3
        (3, 3, 2, False, False),  # step 4 uses the generation of step 3
        (2, 2, 1, True, False),
    ],
)
def test_fault_when_it_comes_in_the_middle_of_training_then_only_a_whole_step_is_kept(
    tmp_path, step, reached, iterations, on_disk, saves
):
    """A checkpoint is saved where a resumed run would write the same files, and never over one that is there."""
    pytest.importorskip("torch")
    from grpo.training.stages import Stages

    saved = []
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=reached), model=None, _save_checkpoint=lambda *_: saved.append(reached)
    )
    directory = RunDirectory(tmp_path)
    if on_disk:
        (directory.checkpoints / f"checkpoint-{reached}").mkdir(parents=True)
    config = SimpleNamespace(grpo=SimpleNamespace(num_iterations=iterations))
    Stages.save_checkpoint(SimpleNamespace(_trainer=trainer, _logged_step=step, config=config, directory=directory))
    assert bool(saved) is saves


def test_reward_errors_when_scores_fail_then_are_the_share_of_those_made_since_the_last_row(make_record):
    """2 of 5 failed, then 1 of 4 more, then none of 3 more: 0.4, 0.25, and no number."""
    record = make_record()
    counts = [("value", 0.5)] * 3 + [("died", 0.0), ("timeout", 0.0)]
    record.host.report = lambda: make_report(counts)
    assert record.log_training(1, {"reward": 0.9}, {})["reward_errors"] == pytest.approx(2 / 5)
    counts += [("value", 0.5)] * 3 + [("died", 0.0)]
    assert record.log_training(2, {"reward": 0.9}, {})["reward_errors"] == pytest.approx(1 / 4)
    counts += [("value", 0.5)] * 3
    assert "reward_errors" not in record.log_training(3, {"reward": 0.9}, {})
    record.tracker.close()
