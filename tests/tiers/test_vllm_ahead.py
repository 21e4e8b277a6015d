"""One step ahead with vLLM's own server on a processor: weights reach it as files, and it writes while the policy learns."""

from __future__ import annotations

import json
import math
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
pytest.importorskip("vllm")

AHEAD_RUN = (str(Path(__file__).with_name("ahead_run.py")),)
LIMIT = 800  # seconds a run may take: a server loads for a minute or two on a busy processor


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def ahead(home):
    """A function that makes the command of a run of six steps, one step ahead, with a server of its own."""

    def make(name: str, *settings: str) -> list[str]:
        vllm = (
            f"{{mode: server, server_devices: '-1', server_port: {free_port()}, server_timeout: 300, "
            "gpu_memory_utilization: 0.1, weight_transfer: file}"
        )
        return home.command(
            name, "model.engine=vllm", "sft_warmup.enabled=false", "grpo.one_step_ahead=server", f"model.vllm={vllm}",
            "grpo.max_steps=6", "evaluation.every_steps=200", "data.shop.held_out_rows=4", *settings, entry=AHEAD_RUN,
        )  # fmt: skip

    return make


def finish(home, command: list[str], watched: Path) -> None:
    done = subprocess.run(
        command, env=home.environment(WATCHED=str(watched)), cwd=home.folder, capture_output=True, text=True, timeout=LIMIT
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.fixture(scope="module")
def whole(home, ahead):
    """The folder of a run that went through, and what it noted of its times."""
    finish(home, ahead("whole"), watched := home.folder / "whole-times")
    return home.folder / "whole", [json.loads(line) for line in watched.read_text().splitlines()]


def test_batch_when_written_ahead_then_the_policy_learns_meanwhile(whole):
    """Every batch but the first is on its way before the loss of the one before it begins, and losses do not wait for it."""
    _, times = whole
    writes = sorted((start, end) for what, start, end in times if what == "write")
    learns = sorted((start, end) for what, start, end in times if what == "learn")
    assert len(writes) == len(learns) == 6
    for (start, _), (learnt, _) in zip(writes[1:], learns[:-1], strict=True):
        assert start < learnt
    # How long each takes is the machine's affair; where a batch takes long enough, both run at once.
    assert any(start < done and learnt < end for start, end in writes[1:] for learnt, done in learns)


def test_weights_when_sent_as_files_then_the_server_has_them_and_the_age_of_each_batch_is_told(whole, read_rows):
    """The server's log-probabilities of the probe are the policy's at each step, though it moves far from where it began."""
    directory, _ = whole
    rows = read_rows(directory, "ahead/updates_behind")
    assert [row["ahead/updates_behind"] for row in rows] == [0, 1, 1, 1, 1, 1]
    assert all(row["sampling/probe_difference"] < 1e-3 for row in rows[:-1])  # in the last step nothing is sent
    stale = [row["sampling/sampling_logp_difference/mean"] for row in rows]
    # The first batch is the policy's own; what is a step old differs by the step, and is weighed for it. The first update
    # has a learning rate of 0.
    assert max(stale[:2]) < 1e-3 < min(stale[2:])
    ratios = [row[key] for row in rows for key in row if key.startswith("sampling/importance_sampling_ratio")]
    assert ratios and all(math.isfinite(ratio) for ratio in ratios)
    assert list(directory.glob("vllm-weights*")) == []


def test_run_when_killed_and_resumed_then_it_ends_as_if_nothing_had_been(home, ahead, whole):
    """Killed with SIGKILL in the middle of a step; the batch that was under way lies in the checkpoint."""
    directory, command = home.folder / "killed", ahead("killed")
    running = subprocess.Popen(
        command, env=home.environment(WATCHED=str(home.folder / "killed-times")), cwd=home.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + LIMIT
    while not (directory / "checkpoints" / "checkpoint-4" / "manifest.json").is_file():
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    finish(home, [*command[:2], "--resume", str(directory)], home.folder / "resumed-times")
    assert (directory / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_server_when_it_takes_no_files_then_one_line_says_how_to_start_it(home, ahead):
    """A server that someone started without our extension."""
    shown = home.run(ahead("refused", "model.vllm.weights_folder=/no/such/folder"), expect=2)
    assert "model.vllm.weights_folder: /no/such/folder is no folder" in shown
