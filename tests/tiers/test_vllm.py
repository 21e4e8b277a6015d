"""The engine vllm on its CPU build, colocated: whole runs that train for real."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
pytest.importorskip("vllm")

DIFFERENCE = "sampling/sampling_logp_difference/max"
WATCHED_RUN = (str(Path(__file__).with_name("watched_run.py")),)
# Prompts of some hundred tokens: vLLM caches them in blocks of 128 on a processor.
LONG_PROMPTS = ("data.shop.instructions=full", "model.max_sequence_length=1024")


@pytest.mark.parametrize("adapters", ["null", "{r: 4, alpha: 8}"], ids=["full", "lora"])
def test_colocate_when_weights_change_every_step_then_vllm_samples_from_the_policy_itself(
    start, read_rows, adapters, tmp_path
):
    """After each step vLLM gives the policy's own log-probabilities and greedy text: the weights arrived, all of them.

    Within a step the prompt of a group is read once, and nothing is left of it when the weights have changed.
    """
    directory, _ = start(
        f"run-{len(adapters)}", "model.engine=vllm", f"model.lora={adapters}", *LONG_PROMPTS,
        entry=WATCHED_RUN, WATCHED=str(tmp_path / "watched"),
    )  # fmt: skip
    rows = read_rows(directory, DIFFERENCE)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["grad_norm"] > 0 for row in rows[:-1]), "weights never moved, so nothing was tested"
    for row in rows:
        assert row[DIFFERENCE] < 1e-3
        assert row["sampling/importance_sampling_ratio/mean"] == pytest.approx(1, abs=1e-3)
    for path in sorted((directory / "completions").glob("*.jsonl")):
        texts = Counter((row["group"], row["completion"]) for row in map(json.loads, path.read_text().splitlines()))
        assert len(texts) > 2, "all completions of a group are one text: they were drawn with one seed"
    watched = [json.loads(line) for line in (tmp_path / "watched").read_text().splitlines()]
    assert [line["step"] for line in watched] == [0, 1, 2, 3]
    for line in watched:
        assert line["theirs"] == line["ours"]
        assert line["prefix_caching"]
        first, *others = line["cached_tokens"][:4]
        assert first == 0 and all(cached == line["prompt_tokens"][0] // 128 * 128 for cached in others)


def test_colocate_when_run_twice_then_metrics_are_the_same_bytes(start):
    """Requests have seeds of their own, so that a run with vLLM can be repeated."""
    first, second = (start(name, "model.engine=vllm")[0] for name in ("once", "twice"))
    assert (first / "metrics.jsonl").read_bytes() == (second / "metrics.jsonl").read_bytes()


def test_colocate_when_vllm_cannot_start_then_one_line_says_why_and_the_run_is_kept(start):
    """What vLLM refuses comes in its own words, not in pages of traces."""
    _, shown = start(
        "no-memory", "model.engine=vllm", "model.vllm.gpu_memory_utilization=0.999", "sft_warmup.enabled=false",
        expect=75, VLLM_CPU_KVCACHE_SPACE="",
    )  # fmt: skip
    assert "error: vLLM cannot start alongside the training (" in shown and "--resume" in shown


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ("model.vllm={mode: server, server_devices: '1'}",),
            "model.vllm.mode: server takes its weights over NCCL",
        ),
        (
            ("model.vllm.enable_sleep_mode=true",),
            "model.vllm.enable_sleep_mode: gives back the memory of a CUDA device",
        ),
        (("grpo.top_k=3",), "grpo.top_k: 3 with engine vllm and its importance sampling correction"),
    ],
    ids=["server", "sleep", "top-k"],
)
def test_plan_when_vllm_cannot_do_it_then_refused_before_anything_is_spent(start, settings, said):
    """One line and exit code 2, from the command itself."""
    _, shown = start("refused", "model.engine=vllm", *settings, expect=2)
    assert said in shown
