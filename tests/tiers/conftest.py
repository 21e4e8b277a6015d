"""What the tiers share: a whole run on a policy of a few thousand weights, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# vLLM's kernels for processors take heads of 32 numbers and more.
SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=128",
    "model.embedded.layers=1", "model.embedded.hidden_size=64", "model.embedded.intermediate_size=64",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=160", "grpo.max_steps=4", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=16", "evaluation.max_completion_length=16", "grpo.save_every_steps=2",
    "grpo.log_completions_every=1", "evaluation.every_steps=2", "grpo.learning_rate=0.005", "threads=1",
    'rewards.functions=[{"name":"text_overlap"}]', "tracking.wandb=off",
)  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A function that runs `grpo.run` in a folder of its own and returns the run directory and the process."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ, "RECOMPENSA_CACHE": str(home / "cache"), "HOME": str(home), "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "UNSLOTH_COMPILE_LOCATION": str(home / "compiled"),
    }  # fmt: skip

    def run(name: str, *settings: str, expect: int = 0) -> tuple[Path, str]:
        directory = home / name
        parts = [part for each in (*SMALL, *settings) for part in ("--set", each)]
        done = subprocess.run(
            [sys.executable, "-m", "grpo.run", "--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", str(directory), *parts],
            env=environment, cwd=home, capture_output=True, text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == expect, (done.stdout + done.stderr)[-4000:]
        return directory, done.stdout + done.stderr

    return run


@pytest.fixture
def read_rows():
    """A function from a run and a stage to its rows of metrics that have a reward or an evaluation."""

    def read(directory: Path, key: str) -> list[dict]:
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if key in row]

    return read
