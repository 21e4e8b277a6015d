"""The engine vllm on its CPU build: colocated training for real, and of the server what needs no NCCL."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import Counter

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
pytest.importorskip("vllm")

DIFFERENCE = "sampling/sampling_logp_difference/max"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("adapters", ["null", "{r: 4, alpha: 8}"], ids=["full", "lora"])
def test_colocate_when_weights_change_every_step_then_vllm_samples_from_the_policy_itself(start, read_rows, adapters):
    """After each step vLLM gives the same log-probabilities as the policy: the weights arrived, all of them."""
    directory, _ = start(f"run-{len(adapters)}", "model.engine=vllm", f"model.lora={adapters}")
    rows = read_rows(directory, DIFFERENCE)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["grad_norm"] > 0 for row in rows[:-1]), "weights never moved, so nothing was tested"
    for row in rows:
        assert row[DIFFERENCE] < 1e-3
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-3)
    for path in sorted((directory / "completions").glob("*.jsonl")):
        texts = Counter((row["group"], row["completion"]) for row in map(json.loads, path.read_text().splitlines()))
        assert len(texts) > 2, "all completions of a group are one text: they were drawn with one seed"


def test_colocate_when_run_twice_then_metrics_are_the_same_bytes(start):
    """Requests have seeds of their own, so that a run with vLLM can be repeated."""
    first, second = (start(name, "model.engine=vllm")[0] for name in ("once", "twice"))
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()


@pytest.fixture(scope="module")
def server(start, tmp_path_factory):
    """A server of the run's own on the CPU, with a small model."""
    from grpo.engines.vllm_server import VllmServer, serve_command, serve_environment

    directory, _ = start("for-the-server", "grpo.max_steps=2")
    port = free_port()
    command = serve_command(
        str(directory / "sft"), port=port, dtype="float32", max_model_len=256, tensor_parallel_size=1,
        gpu_memory_utilization=0.1,
    )  # fmt: skip
    environment = {**serve_environment(None), "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
    server = VllmServer(command, f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("server") / "log", environment)
    server.start(400)
    yield server
    server.stop()


def test_server_when_started_then_it_generates_with_seeds_and_resets_its_prefix_cache(server):
    """TRL's client talks to it; the weights cannot follow without a CUDA device, and TRL says so."""
    from trl.generation.vllm_client import VLLMClient

    client = VLLMClient(base_url=server.url, connection_timeout=5)
    request = dict(n=2, max_tokens=6, generation_kwargs={"seed": 3})
    prompts = [[5, 6, 7, 8], [9, 10, 11]]
    first, again = (client.generate(prompts, **request)["completion_ids"] for _ in range(2))
    assert first == again and len(first) == 4
    assert first[0] != first[1]
    client.reset_prefix_cache()
    with pytest.raises(NotImplementedError, match="CUDA"):
        client.init_communicator(device="cpu")


def test_server_when_killed_then_the_run_says_so_in_one_line(server):
    """A dead server is an error with its last words and its log, not a hang."""
    from grpo.engines import EngineFailed

    server.check()
    os.killpg(server.pid, signal.SIGKILL)
    time.sleep(1)
    with pytest.raises(EngineFailed, match=r"was killed by signal 9 .*; read .*log"):
        server.check()


def test_server_mode_when_there_is_no_cuda_device_then_refused_before_anything_is_spent(start):
    """Server mode needs NCCL for its weights: the plan of the embedded policy refuses it."""
    _, shown = start("refused", "model.engine=vllm", "model.vllm={mode: server, server_devices: '1'}", expect=2)
    assert "model.vllm.mode: server takes its weights over NCCL" in shown and "Traceback" not in shown
