"""The engine vllm in server mode on a processor: vLLM's own server, which takes weights as files, and a stand-in with faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
pytest.importorskip("vllm")

SERVED_RUN = (str(Path(__file__).with_name("served_run.py")),)
DIFFERENCE = "sampling/sampling_logp_difference/max"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def alive(directory: Path) -> list[str]:
    """The processes whose command line names the run's port or its server's model: what an orphan would be."""
    port = (directory / "port").read_text()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if port in words and not any(word.endswith("served_run.py") for word in words):
            found.append(" ".join(words))
    return found


@pytest.fixture(scope="module")
def folder(start):
    """A small model with a chat template on disk, as a hub model would be."""
    return start("model", "grpo.max_steps=2")[0] / "sft"


@pytest.fixture
def served(home, folder):
    """A function that makes the command of a run with a server of its own, and where the run will be."""

    def make(name: str, *settings: str, timeout: int = 200, own: bool = False) -> tuple[list[str], Path]:
        place = home.folder / f"{name}-place"
        place.mkdir()
        (place / "port").write_text(str(port := free_port()))
        vllm = (
            f"{{mode: server, server_devices: '0', server_port: {port}, group_port: {free_port()}, "
            f"server_timeout: {timeout}, gpu_memory_utilization: 0.1, importance_sampling_correction: {own}, "
            f"weight_transfer: {'file' if own else 'nccl'}}}"
        )
        command = home.command(
            name, "model.engine=vllm", "model.embedded=null", f"model.name={folder}", "sft_warmup.enabled=false",
            f"model.vllm={vllm}", *settings, entry=("-m", "grpo.run") if own else SERVED_RUN,
        )  # fmt: skip
        return command, place

    return make


def test_run_when_the_server_is_vllms_own_then_it_is_started_asked_and_stopped(served, home, read_rows):
    """It samples from the policy as it is after each update, with seeds of its own, and is gone in the end."""
    command, place = served("whole", own=True)
    home.run(command)
    rows = read_rows(home.folder / "whole", DIFFERENCE)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row[DIFFERENCE] < 1e-3 for row in rows)
    for path in sorted((home.folder / "whole" / "completions").glob("*.jsonl")):
        texts = {(row["group"], row["completion"]) for row in map(json.loads, path.read_text().splitlines())}
        assert len(texts) > 2, "all completions of a group are one text: they were drawn with one seed"
    assert "Application startup complete" in (home.folder / "whole" / "vllm-server.log").read_text()
    assert alive(place) == []


def test_weights_when_sent_from_a_processor_then_trl_refuses(tmp_path):
    """Why they go as files there, and why the engine refuses NCCL without a CUDA device."""
    from trl.generation.vllm_client import VLLMClient

    from grpo.engines.vllm_server import VllmServer

    port = free_port()
    # No model is asked for: nothing but TRL's client and its handshake is.
    command = [
        sys.executable,
        str(Path(__file__).with_name("stand_in_server.py")),
        str(port),
        "none",
        "0",
        str(tmp_path),
    ]
    server = VllmServer(command, f"http://127.0.0.1:{port}", Path(os.devnull))
    server.start(30)
    try:
        with pytest.raises(NotImplementedError, match="CUDA"):
            VLLMClient(base_url=server.url, connection_timeout=5).init_communicator(device="cpu")
    finally:
        server.stop()


def test_run_when_the_server_dies_then_one_line_says_so_and_it_resumes_as_if_nothing_had_been(served, home):
    """Exit code 75, its last words, a checkpoint of the last whole step; resumed, the metrics are those of a whole run."""
    whole, _ = served("unhurt")
    home.run(whole, STAND_IN="none 0")
    command, place = served("hurt")
    # Two prompts a step, each a request.
    shown = home.run(command, expect=75, STAND_IN="dies 5")
    assert "error: the vLLM server ended with exit code 1 (RuntimeError: out of memory); read " in shown
    assert alive(place) == []
    directory = home.folder / "hurt"
    home.run([*command[:2], "--resume", str(directory)], STAND_IN="none 0")
    assert (directory / "metrics.jsonl").read_bytes() == (home.folder / "unhurt" / "metrics.jsonl").read_bytes()
    assert alive(place) == []


def test_run_when_the_server_hangs_then_it_ends_after_the_time_limit(served, home):
    """TRL's client would wait for ever."""
    command, place = served("hangs", timeout=12)
    shown = home.run(command, expect=75, STAND_IN="hangs 3")
    assert "no longer answers (" in shown and "Read timed out" in shown and "--resume" in shown
    assert alive(place) == []


def test_run_when_the_server_never_answers_then_it_ends_after_the_time_limit(served, home):
    """A server that loads for ever is stopped, and its last line is shown."""
    command, place = served("loads", timeout=2)
    shown = home.run(command, expect=75, STAND_IN="starts 60")
    assert "within 2 s (loading the model); read " in shown
    assert alive(place) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
def test_run_when_it_is_stopped_in_the_middle_then_its_server_ends_too(served, home, number):
    """Ctrl-C and SIGTERM finish the step and leave a checkpoint; even a run that is killed leaves no orphan."""
    command, place = served(
        number.name, "grpo.max_steps=200", "evaluation.every_steps=200", "decision.watch.enabled=false"
    )
    directory = home.folder / number.name
    running = subprocess.Popen(
        command, env=home.environment(STAND_IN="none 0"), cwd=home.folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: '"grad_norm"' in read(directory / "metrics.jsonl"), running)
    assert alive(place)
    running.send_signal(number)
    shown = running.communicate(timeout=60)[0]
    if number != signal.SIGKILL:
        assert running.returncode == 75, shown[-2000:]
        assert list((directory / "checkpoints").glob("checkpoint-*"))
    wait_for(lambda: not alive(place))


def test_run_when_stopped_twice_while_its_server_loads_then_both_end_at_once(served, home):
    """A server may load for minutes; a second Ctrl-C does not wait for it."""
    command, place = served("impatient")
    running = subprocess.Popen(
        command, env=home.environment(STAND_IN="starts 120"), cwd=home.folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wait_for(lambda: read(home.folder / "impatient" / "vllm-server.log"), running)
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(1)
    assert "stopped" in running.communicate(timeout=30)[0]
    assert running.returncode == 75 and alive(place) == []


def test_run_when_its_port_is_taken_then_refused_before_anything_is_written(served, home):
    """By whomever: a server that answers, or one that does not."""
    command, place = served("taken")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", int((place / "port").read_text())))
        listener.listen()
        shown = home.run(command, expect=2, STAND_IN="none 0")
    assert "model.vllm.server_port: port" in shown
    assert not (home.folder / "taken").exists()


def test_run_when_a_proxy_is_set_then_its_own_server_is_reached_all_the_same(served, home):
    """Clusters set proxies for everything."""
    command, _ = served("proxied", "grpo.max_steps=2", timeout=20)
    home.run(command, STAND_IN="none 0", http_proxy="http://127.0.0.1:9", no_proxy="", NO_PROXY="")


def read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def wait_for(condition, process: subprocess.Popen | None = None, seconds: float = 90) -> None:
    """Wait until the condition holds; fail when the process ends first or it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0][-3000:]
        assert time.monotonic() < end
        time.sleep(0.05)
