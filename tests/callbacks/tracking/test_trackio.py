"""trackio as a tracker: numbers, alerts, and stored completions as its traces, read back out of its own store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from callbacks.tracking.trackio import describe_record

pytest.importorskip("trackio")

SCRIPT = """
import json, sys
from pathlib import Path
from callbacks.config import TrackingSection
from callbacks.tracking.tracking import Tracker

run = Path(sys.argv[1])
section = TrackingSection(wandb="off", trackio=True, project="test")
with Tracker(run, section, run_name="one", config={"seed": 1}, notify=print) as tracker:
    tracker.log({"reward": 0.5}, stage="train", step=1)
    tracker.log({"eval/mean_reward": 0.25}, stage="final", step=2)
    tracker.log_completions(run / "rows.jsonl", stage="train", step=1)
    tracker.alert("collapse", "reward fell", stage="train", step=2)
import trackio
print(json.dumps(trackio.SQLiteStorage.get_logs("test", "one"), default=str))
"""


def test_trackio_when_a_run_is_tracked_then_its_store_has_numbers_and_traces(tmp_path):
    """From the tracker's own thread; in a process of its own, as trackio reads its folder when it is imported."""
    row = {
        "id": "7", "task": "t", "prompt": [{"role": "user", "content": "Q"}], "completion": "A", "reference": "R",
        "reward": 0.5, "advantage": 1.5, "group": 3, "scores": {"f": {"value": 0.5, "reason": "half"}},
    }  # fmt: skip
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "store"), "PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("trackio: trackio show --project test") and not any("warning" in line for line in lines)
    (logs,) = (line for line in lines if line.startswith("["))
    assert '"reward": 0.5' in logs and '"eval/mean_reward": 0.25' in logs
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert b"completions/training/0" in stored and b"group_id" in stored and b"collapse" in stored


def test_trace_when_described_then_has_what_a_reader_sorts_by():
    """Reward, advantage, group, each function's score and reason."""
    record = {"id": "7", "reward": 0.5, "advantage": 1.5, "group": 3, "scores": {"f": {"value": None, "reason": "why"}}}
    said = describe_record(record, "train")
    assert (said["reward"], said["advantage"], said["group_id"], said["rewards/f"], said["reason/f"]) == (
        0.5,
        1.5,
        3,
        None,
        "why",
    )
