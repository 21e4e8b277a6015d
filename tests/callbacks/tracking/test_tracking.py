"""The tracker: JSONL always, the same bytes after a resume, and backends that can fail or hang without harm."""

import threading
import time
from math import isnan
from types import SimpleNamespace

import orjson
import pytest

from callbacks.config import TrackingSection
from callbacks.tracking import backends as tracking_backends
from callbacks.tracking.backends import choose_wandb_mode
from callbacks.tracking.queue import QueuedBackend
from callbacks.tracking.tracking import Tracker, cut_rows_beyond, is_wall_clock, name_of_node, publish_files
from rewards.errors import UserError
from tests.timing import at_most

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
    """`auto` continues with JSONL and says so; `offline` is refused with the command that installs it."""
    monkeypatch.setattr(tracking_backends.importlib.util, "find_spec", lambda _: None)
    said = []
    Tracker(tmp_path, TrackingSection(wandb="auto"), notify=said.append).close()
    assert "not installed" in said[0]
    with pytest.raises(UserError, match="pip install"):
        Tracker(tmp_path, TrackingSection(wandb="offline"))


def test_backend_that_fails_later_warns_once_and_the_run_goes_on(tmp_path, monkeypatch):
    """After the first failure the backend gets nothing but its end, and every row is still in metrics.jsonl."""
    calls, said = [], []

    class Broken:
        name = "W&B"
        delivered = None

        def log(self, row, stage, step):
            calls.append(step)
            raise ConnectionError("gone")

        def close(self):
            calls.append("close")

    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: Broken())
    with Tracker(tmp_path, TrackingSection(), notify=said.append) as tracker:
        write_run(tracker, 1, 3)
    assert (calls, len(said)) == ([1, "close"], 1)
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 3


class Recorder:
    """A backend that remembers what it was told."""

    name = "W&B"
    delivered = None

    def __init__(self):
        self.calls = []

    def __getattr__(self, method):
        return lambda *arguments: self.calls.append((method, *arguments))


def test_tracker_sends_margins_alerts_and_completions_in_order_and_keeps_them_out_of_the_metrics(tmp_path, monkeypatch):
    """Margins follow from metrics.jsonl and alerts stand in watch.jsonl: only the trackers get them as well."""
    recorder = Recorder()
    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: recorder)
    nodes = [SimpleNamespace(name="floor: sql_qa", margin=-0.1), SimpleNamespace(name="plateau", margin=None)]
    with Tracker(tmp_path, TrackingSection()) as tracker:
        tracker.log({"eval/sql_qa": 0.1}, stage="train", step=50)
        tracker.log_margins(nodes, stage="train", step=50)
        tracker.log_completions(tmp_path / "x.jsonl", stage="train", step=50)
        tracker.alert("zero_spread", "half of the groups", stage="train", step=50, level="stop")
    assert recorder.calls == [
        ("log", {"eval/sql_qa": 0.1}, "train", 50),
        ("log", {"decision/floor_sql_qa/margin": -0.1}, "train", 50),
        ("log_completions", tmp_path / "x.jsonl", "train", 50),
        ("alert", "zero_spread", "half of the groups", "stop", "train", 50),
        ("close",),
    ]
    assert read_rows(tmp_path / "metrics.jsonl") == [{"eval/sql_qa": 0.1, "stage": "train", "step": 50}]


def test_tracker_that_must_not_send_completions_sends_none(tmp_path, monkeypatch):
    """`tracking.completions: false` keeps prompts on the machine."""
    recorder = Recorder()
    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: recorder)
    with Tracker(tmp_path, TrackingSection(completions=False)) as tracker:
        tracker.log_completions(tmp_path / "x.jsonl", stage="train", step=1)
    assert recorder.calls == [("close",)]


@pytest.mark.parametrize(
    ("name", "key"), [("floor: sql_qa", "floor_sql_qa"), ("not fallen: a/b", "not_fallen_a_b"), ("", "node")]
)
def test_node_names_become_one_part_of_a_metric_name(name, key):
    """No slash or space of a node's name opens another level of the metric."""
    assert name_of_node(name) == key


def test_backend_that_hangs_never_holds_up_the_training(tmp_path, monkeypatch):
    """A thousand rows to a service that does not answer cost well under a second, and the end does not wait for it."""
    release, said = threading.Event(), []

    class Hanging(Recorder):
        def log(self, *_):
            release.wait(30)

    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: Hanging())
    monkeypatch.setattr(
        "callbacks.tracking.tracking.QueuedBackend",
        lambda backend, **_: QueuedBackend(backend, length=50, close_seconds=0.2),
    )
    with at_most(2.0, time.perf_counter), Tracker(tmp_path, TrackingSection(), notify=said.append) as tracker:
        write_run(tracker, 1, 1000)
    release.set()
    assert len(said) == 1 and "50 messages behind" in said[0]
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1000


def test_backend_that_does_not_end_is_left_behind_with_a_warning(tmp_path, monkeypatch):
    """What was sent may still arrive; the run is not kept waiting for it."""
    release, said = threading.Event(), []

    class Endless(Recorder):
        def close(self):
            release.wait(30)

    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: Endless())
    monkeypatch.setattr(
        "callbacks.tracking.tracking.QueuedBackend", lambda backend, **_: QueuedBackend(backend, close_seconds=0.2)
    )
    Tracker(tmp_path, TrackingSection(), notify=said.append).close()
    release.set()
    assert len(said) == 1 and "did not end" in said[0]


def write_steps(tracker, first, last):
    """What a run sends at each step: a row, and every other step completions, margins and an alert."""
    for step in range(first, last + 1):
        if step % 2 == 0:
            tracker.log_completions(tracker.run_directory / f"step-{step}.jsonl", stage="train", step=step)
        tracker.log({"reward": step / 10}, stage="train", step=step)
        if step % 2 == 0:
            tracker.log_margins([SimpleNamespace(name="scale", margin=0.1)], stage="train", step=step)
            tracker.alert("zero_spread", "half of the groups", stage="train", step=step)


@pytest.mark.parametrize(("supervised", "kept"), [(20, 5), (19, 4), (7, 3), (99, 5)])
def test_tracker_when_resumed_in_the_warm_up_then_rows_beyond_its_step_go(tmp_path, supervised, kept):
    """All its rows stand at step 0 and count steps of their own; what was evaluated after it comes last."""
    rows = (
        ("before", {"eval/mean_reward": 0.1}), ("warmup", {"sft/step": 0, "sft/held_out_loss": 3.0}),
        ("warmup", {"sft/step": 7, "sft/held_out_loss": 2.0}), ("warmup", {"sft/step": 10, "sft/loss": 1.0}),
        ("warmup", {"sft/step": 20, "sft/loss": 0.5}), ("warmup", {"eval/mean_reward": 0.2}),
        ("start", {"eval/mean_reward": 0.2}),
    )  # fmt: skip
    with Tracker(tmp_path, OFF) as tracker:
        for stage, row in rows:
            tracker.log(row, stage=stage, step=0)
    lines = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    with Tracker(tmp_path, OFF, resume_from=("judged", 0), supervised_step=supervised):
        pass
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(lines[:kept])


def run_steps(tmp_path, monkeypatch, recorder, first, last, resume_from):
    """What a backend is told by a process that takes those steps."""
    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: recorder)
    with Tracker(tmp_path, TrackingSection(), resume_from=resume_from, notify=lambda _: None) as tracker:
        write_steps(tracker, first, last)
    return [call for call in recorder.calls if call != ("close",)]


class Killed(Recorder):
    """A backend of a process that is killed when this many messages were delivered."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def __getattr__(self, method):
        if len(self.calls) >= self.most and method != "close":
            raise ConnectionError("what is killed is told no more")
        return super().__getattr__(method)


@pytest.mark.parametrize("checkpoint", [0, 2, 4])
@pytest.mark.parametrize("delivered", range(0, 16, 2))
def test_backend_of_a_killed_and_resumed_run_gets_each_message_once(tmp_path, monkeypatch, delivered, checkpoint):
    """Neither what was delivered after the last checkpoint comes twice, nor is lost what lay in the queue before it."""
    (tmp_path / "whole").mkdir()
    whole = run_steps(tmp_path / "whole", monkeypatch, Recorder(), 1, 6, None)
    (tmp_path / "killed").mkdir()
    before = run_steps(tmp_path / "killed", monkeypatch, Killed(delivered), 1, 5, None)
    after = run_steps(tmp_path / "killed", monkeypatch, Recorder(), checkpoint + 1, 6, ("train", checkpoint))
    told, wanted = (
        [[getattr(part, "name", part) for part in call] for call in calls] for calls in (before + after, whole)
    )
    assert told == wanted
    messages = [(tmp_path / name / "tracked" / "messages.jsonl").read_bytes() for name in ("whole", "killed")]
    assert messages[0] == messages[1]


@pytest.mark.parametrize("known", [0, 3])
def test_backend_that_knows_what_it_has_is_told_the_rest(tmp_path, monkeypatch, known):
    """A service that lost what it was given gets it again, whatever the cursor says."""
    whole = run_steps(tmp_path, monkeypatch, Recorder(), 1, 4, None)
    recorder = Recorder()
    recorder.delivered = known
    assert run_steps(tmp_path, monkeypatch, recorder, 5, 4, ("train", 4)) == whole[known:]


def test_messages_with_a_value_that_is_no_number_keep_it(tmp_path, monkeypatch):
    """JSON has no NaN; a tracker that is told again is told NaN all the same."""
    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: Killed(0))
    with Tracker(tmp_path, TrackingSection(), notify=lambda _: None) as tracker:
        tracker.log({"loss": float("nan"), "gone": None}, stage="train", step=1)
    recorder = Recorder()
    run_steps(tmp_path, monkeypatch, recorder, 2, 1, ("train", 1))
    (_, row, *_), *_ = recorder.calls
    assert list(row) == ["loss"] and isnan(row["loss"])


def test_config_that_is_sent_has_audit_versions_and_no_secret(tmp_path, monkeypatch):
    """The run's config at the tracker holds the facts of the run directory, with values that look like keys hidden."""
    sent = {}

    def open_wandb(section, run_directory, run_name, config, notify):
        sent.update(config)

    monkeypatch.setattr(tracking_backends, "open_wandb", open_wandb)
    audit = {"passed": True, "reward_versions": {"push": "2"}, "near_duplicate_rows": [{"id": "x"}] * 50}
    (tmp_path / "audit.json").write_bytes(orjson.dumps(audit))
    options = {"api_key": "0123456789abcdef", "max_tokens": 12, "eos_token": "<|im_end|>"}
    Tracker(tmp_path, TrackingSection(), config={"seed": 42, "rewards": options}).close()
    assert sent == {
        "seed": 42,
        "rewards": {"api_key": "(hidden)", "max_tokens": 12, "eos_token": "<|im_end|>"},
        "audit": {"passed": True, "reward_versions": {"push": "2"}},
        "reward_versions": {"push": "2"},
    }


def test_files_that_cannot_be_sent_after_the_run_are_a_warning(tmp_path, monkeypatch):
    """The report is written already: a tracker that is gone by then costs a line."""
    said = []

    def refuse(*_):
        raise UserError("tracking.wandb: W&B could not start in online mode (no route to host)")

    monkeypatch.setattr(tracking_backends, "open_wandb", refuse)
    publish_files(tmp_path, TrackingSection(), [tmp_path / "report.html"], notify=said.append)
    assert len(said) == 1 and "no route to host" in said[0]


def test_files_are_sent_to_every_backend_where_they_exist(tmp_path, monkeypatch):
    """Only files that are there are named."""
    recorder = Recorder()
    monkeypatch.setattr(tracking_backends, "open_wandb", lambda *_: recorder)
    (tmp_path / "report.html").write_text("x")
    publish_files(tmp_path, TrackingSection(), [tmp_path / "report.html", tmp_path / "none.md"])
    assert recorder.calls == [("log_files", [tmp_path / "report.html"], "report"), ("close",)]
