"""The trackers themselves: what W&B's offline files, TensorBoard's events and MLflow's database hold is read back."""

import struct
import time
from pathlib import Path

import orjson
import pytest

from callbacks.config import TrackingSection
from callbacks.tracking.rows import make_table, read_records
from callbacks.tracking.tracking import Tracker, publish_files

ROWS = [
    {
        "id": f"push-{number}", "task": "push", "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "Cafeteira"}],
        "completion": f"Só hoje! {number} \x00 <b>", "reference": "r", "truncated": False, "reward": number / 4,
        "scores": {"push": {"value": number / 4}, "sql_qa": {"value": None, "status": "unscored"}},
        "repairs": ["decimal_comma"], "step": 10, "stage": "train", "group": 0, "advantage": number / 4 - 0.5,
    }
    for number in range(4)
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    """No key and no server of anybody's."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def store_rows(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def test_table_has_every_row_and_a_column_for_each_function():
    """The rows that are sent are the rows that are stored."""
    columns, rows = make_table(ROWS)
    assert [row[columns.index("id")] for row in rows] == [record["id"] for record in ROWS]
    assert [row[columns.index("score/push")] for row in rows] == [0.0, 0.25, 0.5, 0.75]
    assert {row[columns.index("score/sql_qa")] for row in rows} == {None}
    assert rows[1][columns.index("advantage")] == -0.25
    assert rows[0][columns.index("prompt")].endswith("Cafeteira")
    assert "advantage" not in make_table([{"id": "x", "reward": 1.0}])[0]


def test_table_of_broken_and_odd_lines_is_made_of_what_is_left(tmp_path):
    """Half a line and texts without UTF-8 do not cost the table."""
    path = store_rows(tmp_path / "x.jsonl", ROWS[:1])
    path.write_bytes(path.read_bytes() + b'{"id": ')
    assert len(read_records(path)) == 1
    columns, rows = make_table([{"completion": "\ud800", "scores": 3, "repairs": None, "prompt": 5}])
    assert rows[0][columns.index("completion")] == "\ufffd"


def test_wandb_offline_file_holds_what_was_logged_and_one_run_id(tmp_path):
    """The offline file of a resumed run is read back: it holds the whole of it, with axes and config."""
    pytest.importorskip("wandb")
    section, said = TrackingSection(wandb="offline", project="shop"), []
    with Tracker(tmp_path, section, run_name="first", config={"seed": 42}, notify=said.append) as tracker:
        tracker.log({"sft/loss": 1.25, "sft/step": 10}, stage="warmup", step=0)
        tracker.log({"eval/extraction": 0.375, "gone": None}, stage="train", step=50)
    run_id = orjson.loads((tmp_path / "wandb_run.json").read_bytes())["id"]
    with Tracker(tmp_path, section, config={"seed": 42}, resume_from=("train", 50), notify=said.append) as tracker:
        tracker.log({"eval/extraction": 0.5}, stage="train", step=100)
    assert all("wandb sync" in line for line in said)
    records = wait_for_records(tmp_path / "wandb", parts=1)
    history = [
        {item.key or ".".join(item.nested_key): orjson.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert {"eval/extraction": 0.375, "stage": "train", "step": 50}.items() <= history[1].items()
    assert [row.get("eval/extraction") for row in history] == [None, 0.375, 0.5]
    assert history[0]["sft/loss"] == 1.25
    runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert {run.run_id for run in runs} == {run_id}
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


def test_wandb_offline_keeps_every_completion_of_every_step(tmp_path):
    """Each stored file is a table of its own; a later step takes nothing away from an earlier one."""
    pytest.importorskip("wandb")
    with Tracker(tmp_path, TrackingSection(wandb="offline"), notify=lambda _: None) as tracker:
        for step in (10, 20):
            rows = [{**row, "step": step, "completion": f"{row['completion']} {step}"} for row in ROWS]
            path = store_rows(tmp_path / "completions" / f"step-{step:06d}.jsonl", rows)
            tracker.log_completions(path, stage="train", step=step)
    wait_for_records(tmp_path / "wandb", parts=1)
    tables = [orjson.loads(path.read_bytes()) for path in (tmp_path / "wandb").rglob("*.table.json")]
    stored = [row for path in sorted((tmp_path / "completions").iterdir()) for row in read_records(path)]
    sent = [dict(zip(table["columns"], row, strict=True)) for table in tables for row in table["data"]]
    assert sorted((row["step"], row["id"], row["completion"], row["reward"]) for row in sent) == sorted(
        (row["step"], row["id"], row["completion"], row["reward"]) for row in stored
    )


def test_wandb_offline_has_margins_alerts_and_the_report_under_one_run(tmp_path):
    """What comes after training, the report, joins the same run."""
    pytest.importorskip("wandb")
    section = TrackingSection(wandb="offline")
    with Tracker(tmp_path, section, config={"seed": 1}, notify=lambda _: None) as tracker:
        tracker.log_margins([type("Node", (), {"name": "scale", "margin": 0.07})], stage="train", step=50)
        tracker.alert("zero_spread", "half of the groups", stage="train", step=50, level="stop")
    report = tmp_path / "report.html"
    report.write_text("<h1>A</h1>")
    publish_files(tmp_path, section, [report], notify=print)
    records = wait_for_records(tmp_path / "wandb", parts=2)
    history = [read_history(record) for record in records if record.WhichOneof("record_type") == "history"]
    assert history[0]["decision/scale/margin"] == 0.07
    alerts = [record.alert for record in records if record.WhichOneof("record_type") == "alert"]
    assert [(alert.title, alert.text) for alert in alerts] == [("zero_spread", "half of the groups")]
    names = {record.artifact.name for record in records if record.WhichOneof("record_type") == "artifact"}
    run_ids = {record.run.run_id for record in records if record.WhichOneof("record_type") == "run"}
    assert len(run_ids) == 1
    assert f"report-{run_ids.pop()}" in names


def test_secrets_reach_no_file_of_a_tracked_run(tmp_path, monkeypatch):
    """Neither keys of the environment nor values that look like keys are in anything a tracker leaves on disk."""
    pytest.importorskip("wandb")
    keys = {"WANDB_API_KEY": "a1b2c3d4e5" * 4, "HF_TOKEN": "hf_" + "Zq7" * 11, "option": "s3cr3tvalue-0815"}
    for name in ("WANDB_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, keys[name])
    monkeypatch.setattr("sys.argv", ["run", "--set", f"rewards.api_key={keys['option']}"])
    config = {"rewards": {"options": {"api_key": keys["option"], "note": f"with {keys['HF_TOKEN']}"}}}
    section = TrackingSection(wandb="offline", tensorboard=True)
    with Tracker(tmp_path, section, config=config, notify=lambda _: None) as tracker:
        tracker.log({"reward": 0.5}, stage="train", step=1)
    wait_for_records(tmp_path / "wandb", parts=1)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 4
    for path in written:
        data = path.read_bytes()
        assert not [name for name, key in keys.items() if key.encode() in data], path


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


def test_tensorboard_when_a_run_is_evaluated_at_every_stage_then_the_held_out_curve_is_one(tmp_path):
    """Before, after the warm-up, on the way and at the end: four points under one tag."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Tracker(tmp_path, TrackingSection(wandb="off", tensorboard=True)) as tracker:
        for stage, step, mean in (("before", 0, 0.0), ("warmup", 0, 0.25), ("train", 50, 0.375), ("final", 100, 0.5)):
            tracker.log({"eval/mean_reward": mean}, stage=stage, step=step)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["eval/mean_reward"]
    assert [(event.step, event.value) for event in events.Scalars("eval/mean_reward")] == [
        (0, 0.0), (0, 0.25), (50, 0.375), (100, 0.5)
    ]  # fmt: skip


def test_tensorboard_events_hold_completions_and_alerts_as_text(tmp_path):
    """The first completions of a step and every alert can be read there."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    path = store_rows(tmp_path / "completions" / "step-000010.jsonl", ROWS)
    with Tracker(tmp_path, TrackingSection(wandb="off", tensorboard=True)) as tracker:
        tracker.log_completions(path, stage="train", step=10)
        tracker.alert("zero_spread", "half of the groups", stage="train", step=10, level="stop")
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert texts["watch/zero_spread"] == "stop: half of the groups"
    assert events.Tensors("watch/zero_spread")[0].step == 10
    assert "completion: Só hoje! 3" in texts["completions/training/3"]


def write_run(directory: Path, section: TrackingSection, first: int, last: int, resume_from=None) -> None:
    """Steps of a run, with an evaluation and stored completions every other step."""
    with Tracker(directory, section, run_name="x", resume_from=resume_from, notify=lambda _: None) as tracker:
        if resume_from is None:
            tracker.log({"sft/loss": 2.0, "sft/step": 10}, stage="warmup", step=0)
        for step in range(first, last + 1):
            if step % 2 == 0:
                path = store_rows(directory / "completions" / f"step-{step:06d}.jsonl", ROWS[:1])
                tracker.log_completions(path, stage="train", step=step)
                tracker.log({"eval/push": step / 20}, stage="train", step=step)
            tracker.log({"reward": step / 10}, stage="train", step=step)


def test_wandb_offline_history_of_a_resumed_run_is_that_of_one_that_was_not_killed(tmp_path):
    """Killed after step 5 with a checkpoint of step 2: steps 3 to 5 are computed again and are there once."""
    pytest.importorskip("wandb")
    section, histories = TrackingSection(wandb="offline"), []
    for name, ends in (("whole", [(1, 6, None)]), ("resumed", [(1, 5, None), (3, 6, ("train", 2))])):
        (tmp_path / name).mkdir()
        for first, last, resume_from in ends:
            write_run(tmp_path / name, section, first, last, resume_from)
        records = wait_for_records(tmp_path / name / "wandb", parts=1)
        rows = [read_history(record) for record in records if record.WhichOneof("record_type") == "history"]
        tables = ("completions/training.sha256", "completions/training")
        histories.append(
            [
                {
                    key: value
                    for key, value in row.items()
                    if key in ("reward", "eval/push", "sft/loss", "stage", "step")
                }
                | {"table": any(key.startswith(tables) for key in row)}
                for row in rows
            ]
        )
    assert histories[0] == histories[1]
    assert sum(row["table"] for row in histories[0]) == 3


def test_wandb_online_run_is_told_what_its_service_lacks(tmp_path, monkeypatch):
    """The service has a message more than the checkpoint covers: that one is not sent again, all after it are."""
    wandb = pytest.importorskip("wandb")
    told = []

    class Run:
        url, id, starting_step = "https://wandb.example/run", "x", 0

        def define_metric(self, *_, **__):
            pass

        def log(self, row, step, commit):
            told.append((step, row["step"]))

        def finish(self):
            pass

    def start(**options):
        assert (options["resume"], options["mode"]) == ("allow", "online")
        return Run()

    monkeypatch.setattr(wandb, "init", start)
    section = TrackingSection(wandb="online", completions=False)
    write_run(tmp_path, section, 1, 4)
    whole = told[:]
    told.clear()
    Run.starting_step = 4
    write_run(tmp_path, section, 3, 4, ("train", 2))
    assert [step for step, _ in whole] == list(range(len(whole)))
    assert told == whole[4:]


def test_tensorboard_of_a_resumed_run_shows_each_step_once(tmp_path):
    """Killed after step 5 with a checkpoint of step 2: the curves are those of a run that was not killed."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    section = TrackingSection(wandb="off", tensorboard=True)
    write_run(tmp_path, section, 1, 5)
    write_run(tmp_path, section, 3, 6, ("train", 2))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("reward")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("eval/push")] == [2, 4, 6]
    assert [event.step for event in events.Tensors("completions/training/0")] == [2, 4, 6]


def test_tensorboard_of_a_run_killed_while_it_wrote_a_row_shows_that_row_once(tmp_path):
    """Half an event is none: its row is sent again, and no other."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    section = TrackingSection(wandb="off", tensorboard=True)
    write_run(tmp_path, section, 1, 3)
    (path,) = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    write_run(tmp_path, section, 4, 6, ("train", 3))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("reward")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("eval/push")] == [2, 4, 6]


def test_tensorboard_file_holds_a_row_as_soon_as_it_was_delivered(tmp_path):
    """A kill takes no rows away: what the cursor counts as delivered is on disk."""
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    tracker = Tracker(tmp_path, TrackingSection(wandb="off", tensorboard=True))
    tracker.log({"reward": 0.5}, stage="train", step=1)
    for _ in range(100):
        if (tmp_path / "tracked" / "tensorboard.json").is_file():  # the row was delivered
            break
        time.sleep(0.05)
    (path,) = (tmp_path / "tensorboard").iterdir()
    tags = [value.tag for event in loader.EventFileLoader(str(path)).Load() for value in event.summary.value]
    tracker.close()
    assert tags == ["reward"]


def test_mlflow_run_holds_metrics_config_completions_and_report_and_is_the_same_after_a_resume(tmp_path):
    """The database in the run directory is read back through MLflow's own client."""
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed (pip install mlflow)")
    section = TrackingSection(wandb="off", mlflow=True, project="shop")
    path = store_rows(tmp_path / "completions" / "step-000010.jsonl", ROWS)
    config = {"seed": 42, "model": {"name": "small", "token": "abcdefgh12345"}}
    with Tracker(tmp_path, section, run_name="first", config=config, notify=lambda _: None) as tracker:
        tracker.log({"eval/extraction": 0.375}, stage="train", step=50)
        tracker.log({"sft/loss": 2.0, "sft/step": 40}, stage="warmup", step=0)
        tracker.log_completions(path, stage="train", step=10)
        tracker.alert("zero_spread", "half of the groups", stage="train", step=50, level="stop")
    with Tracker(tmp_path, section, resume_from=("train", 50), notify=lambda _: None) as tracker:
        tracker.log({"eval/extraction": 0.5}, stage="train", step=100)
    (tmp_path / "report.html").write_text("<h1>A</h1>")
    publish_files(tmp_path, section, [tmp_path / "report.html"], notify=print)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("shop").experiment_id])
    assert len(runs) == 1
    run = runs[0]
    history = client.get_metric_history(run.info.run_id, "eval/extraction")
    assert sorted((metric.step, metric.value) for metric in history) == [(50, 0.375), (100, 0.5)]
    assert client.get_metric_history(run.info.run_id, "warmup/sft/loss")[0].step == 40
    assert run.data.params == {"seed": "42", "model.name": "small"}
    assert run.data.tags["watch.zero_spread"] == "stop: half of the groups"
    assert run.info.status == "FINISHED"
    kept = {path.name for path in (tmp_path / "mlflow").rglob("*") if path.is_file()}
    assert kept == {"config.json", "step-000010.jsonl", "report.html"}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"abcdefgh12345" in path.read_bytes()]


def read_history(record) -> dict:
    return {item.key or ".".join(item.nested_key): orjson.loads(item.value_json) for item in record.history.item}


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
        if place + 7 + length > len(data):
            return  # it is being written
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record
