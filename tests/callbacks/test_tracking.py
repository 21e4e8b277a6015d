"""The tracker: JSONL always, W&B and TensorBoard beside it, the same bytes after a resume."""

import struct
import time
from pathlib import Path

import orjson
import pytest

from callbacks import tracking_backends
from callbacks.config import TrackingSection
from callbacks.tracking import Tracker, cut_rows_beyond, is_wall_clock
from callbacks.tracking_backends import choose_wandb_mode
from rewards.errors import UserError

OFF = TrackingSection(wandb="off")


def read_rows(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def write_run(tracker, first, last):
    for step in range(first, last + 1):
        tracker.log({"reward": step / 10, "step_time": 0.5 + step}, stage="train", step=step)


def test_tracker_splits_numbers_from_the_clock(tmp_path):
    """What differs between two runs of one seed goes to timings.jsonl, everything else to metrics.jsonl."""
    with Tracker(tmp_path, OFF) as tracker:
        tracker.log({"reward": 0.5, "train_runtime": 9.0, "step_time": 2.0, "note": "text"}, stage="train", step=3)
    assert read_rows(tmp_path / "metrics.jsonl") == [{"reward": 0.5, "stage": "train", "step": 3}]
    assert read_rows(tmp_path / "timings.jsonl") == [
        {"stage": "train", "step": 3, "step_time": 2.0, "train_runtime": 9.0}
    ]


@pytest.mark.parametrize("key", ["step_time", "sft/train_runtime", "train_steps_per_second", "profiling/Time taken"])
def test_wall_clock_keys_are_known(key):
    """TRL's and the Trainer's times and rates are told from metrics."""
    assert is_wall_clock(key)
    assert not is_wall_clock("reward")


def test_tracker_writes_sorted_keys_and_null_for_nan(tmp_path):
    """The bytes do not depend on the order of a dict, and NaN is valid JSON's null."""
    with Tracker(tmp_path, OFF) as tracker:
        tracker.log({"b": float("nan"), "a": 1}, stage="warmup", step=0)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"a":1,"b":null,"stage":"warmup","step":0}\n'


def test_tracker_with_numpy_scalars_writes_plain_numbers(tmp_path):
    """Scalars of numpy are numbers too."""
    numpy = pytest.importorskip("numpy")
    with Tracker(tmp_path, OFF) as tracker:
        tracker.log({"x": numpy.float32(0.5), "n": numpy.int64(3)}, stage="train", step=1)
    assert read_rows(tmp_path / "metrics.jsonl")[0] == {"n": 3, "x": 0.5, "stage": "train", "step": 1}


def test_tracker_with_an_unknown_stage_refuses(tmp_path):
    """A misspelt stage would be cut at the next resume."""
    with Tracker(tmp_path, OFF) as tracker, pytest.raises(ValueError, match="training"):
        tracker.log({"x": 1}, stage="training", step=1)


def test_killed_and_resumed_run_has_the_bytes_of_an_uninterrupted_one(tmp_path):
    """Rows beyond the resumed step, and a half-written line, are written again and not twice."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    with Tracker(whole, OFF) as tracker:
        tracker.log({"eval/mean_reward": 0.3}, stage="warmup", step=0)
        write_run(tracker, 1, 6)
        tracker.log({"eval/mean_reward": 0.4}, stage="final", step=6)
    with Tracker(killed, OFF) as tracker:
        tracker.log({"eval/mean_reward": 0.3}, stage="warmup", step=0)
        write_run(tracker, 1, 5)
    with (killed / "metrics.jsonl").open("ab") as file:
        file.write(b'{"reward":0.')
    with Tracker(killed, OFF, resume_from=("train", 4)) as tracker:
        write_run(tracker, 5, 6)
        tracker.log({"eval/mean_reward": 0.4}, stage="final", step=6)
    for name in ("metrics.jsonl", "timings.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_cut_rows_keeps_the_order_of_stages(tmp_path):
    """Resuming after the warm-up keeps `before` and `warmup` and drops all of `train` and `final`."""
    path = tmp_path / "metrics.jsonl"
    rows = [("before", 0), ("warmup", 0), ("train", 1), ("final", 1)]
    path.write_bytes(b"".join(orjson.dumps({"stage": stage, "step": step}) + b"\n" for stage, step in rows))
    assert cut_rows_beyond(path, "warmup", 0) == 2
    assert [row["stage"] for row in read_rows(path)] == ["before", "warmup"]


def test_cut_rows_of_a_missing_file_does_nothing(tmp_path):
    """A run killed before its first row has no file to cut."""
    assert cut_rows_beyond(tmp_path / "none.jsonl", "train", 1) == 0


@pytest.mark.parametrize(
    ("environment", "mode"),
    [({}, "offline"), ({"WANDB_API_KEY": "k"}, "online"), ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"), ({"WANDB_MODE": "disabled"}, "off")],
)  # fmt: skip
def test_wandb_auto_follows_the_environment(environment, mode, tmp_path):
    """A key means online, none offline, and WANDB_MODE has the last word."""
    assert choose_wandb_mode("auto", environment, home=tmp_path) == mode


def test_wandb_auto_finds_a_netrc_login(tmp_path):
    """A login of the W&B host in netrc means online; a login of another host does not."""
    path = tmp_path / ".netrc"
    path.write_text("machine example.org login user password none\n")
    assert choose_wandb_mode("auto", {}, home=tmp_path) == "offline"
    path.write_text("machine api.wandb.ai login user password none\n")
    assert choose_wandb_mode("auto", {}, home=tmp_path) == "online"


def test_wandb_that_cannot_start_is_one_clear_error(tmp_path, monkeypatch):
    """A failure at the start stops the run before any file is touched."""
    wandb = pytest.importorskip("wandb")

    def fail(**_):
        raise RuntimeError("no route to host\nmore")

    monkeypatch.setattr(wandb, "init", fail)
    with pytest.raises(UserError) as caught:
        Tracker(tmp_path, TrackingSection(wandb="online"))
    assert len(caught.value.problems) == 1
    assert "no route to host" in caught.value.problems[0]
    assert list(tmp_path.iterdir()) == []


def test_wandb_that_is_not_installed_is_an_error_only_when_asked_for(tmp_path, monkeypatch):
    """`auto` goes on with JSONL and says so; `offline` is refused with the command that installs it."""
    monkeypatch.setattr(tracking_backends.importlib.util, "find_spec", lambda _: None)
    said = []
    Tracker(tmp_path, TrackingSection(wandb="auto"), notify=said.append).close()
    assert "not installed" in said[0]
    with pytest.raises(UserError, match="pip install"):
        Tracker(tmp_path, TrackingSection(wandb="offline"))


def test_backend_that_fails_later_warns_once_and_the_run_goes_on(tmp_path, monkeypatch):
    """After the first failure the backend is left alone and every row is still in metrics.jsonl."""
    calls, said = [], []

    class Broken:
        name = "W&B"

        def log(self, row, stage, step):
            calls.append(step)
            raise ConnectionError("gone")

        def close(self):
            calls.append("close")

    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: Broken())
    with Tracker(tmp_path, TrackingSection(), notify=said.append) as tracker:
        write_run(tracker, 1, 3)
    assert (calls, len(said)) == ([1], 1)
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 3


def test_wandb_offline_file_holds_what_was_logged_and_one_run_id(tmp_path, monkeypatch):
    """The offline file of a run and of its resume is read back: values, axes, config, and the same run."""
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    section, said = TrackingSection(wandb="offline", project="shop"), []
    with Tracker(tmp_path, section, run_name="first", config={"seed": 42}, notify=said.append) as tracker:
        tracker.log({"sft/loss": 1.25, "sft/step": 10}, stage="warmup", step=0)
        tracker.log({"eval/extraction": 0.375, "gone": None}, stage="train", step=50)
    with Tracker(tmp_path, section, resume_from=("train", 50), notify=said.append) as tracker:
        tracker.log({"eval/extraction": 0.5}, stage="train", step=100)
    assert all("wandb sync" in line for line in said)
    records = wait_for_records(tmp_path / "wandb", parts=2)
    history = [
        {item.key or ".".join(item.nested_key): orjson.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert {"eval/extraction": 0.375, "stage": "train", "step": 50}.items() <= history[1].items()
    assert [row.get("eval/extraction") for row in history] == [None, 0.375, 0.5]
    assert history[0]["sft/loss"] == 1.25
    runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert {run.run_id for run in runs} == {orjson.loads((tmp_path / "wandb_run.json").read_bytes())["id"]}
    assert {run.project for run in runs} == {"shop"}
    steps = [record.history.step.num for record in records if record.WhichOneof("record_type") == "history"]
    assert steps == sorted(set(steps)), "a step seen before is dropped when the parts are synced"
    assert any(item.key == "seed" and item.value_json == "42" for run in runs for item in run.config.update)
    axes = {
        (r.metric.name or r.metric.glob_name): r.metric.step_metric
        for r in records
        if r.WhichOneof("record_type") == "metric"
    }
    assert "step" in axes.values()
    assert "sft/step" in axes.values()


def test_tensorboard_events_hold_what_was_logged(tmp_path):
    """Scalars are read back from the event file at their steps."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Tracker(tmp_path, TrackingSection(wandb="off", tensorboard=True)) as tracker:
        tracker.log({"reward": 0.25}, stage="train", step=7)
        tracker.log({"sft/loss": 2.0, "sft/step": 40}, stage="warmup", step=0)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(7, 0.25)]
    assert [(event.step, event.value) for event in events.Scalars("warmup/sft/loss")] == [(40, 2.0)]


def wait_for_records(folder: Path, parts: int):
    """The records of all parts of a run; W&B's own process ends its files a moment after the run is finished."""
    for _ in range(100):
        records = [record for path in sorted(folder.glob("offline-run-*/*.wandb")) for record in read_wandb(path)]
        if sum(record.WhichOneof("record_type") == "exit" for record in records) == parts:
            return records
        time.sleep(0.1)
    raise AssertionError("the offline files were not finished within ten seconds")


def read_wandb(path: Path):
    """The records of an offline file: a LevelDB log behind a header of seven bytes, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, parts = path.read_bytes(), 7, []
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record
