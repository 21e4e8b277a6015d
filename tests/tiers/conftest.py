"""What the tiers share: a whole run on a policy of a few thousand weights, started as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Home:
    """A folder in which runs are started as a user starts them, each in a folder of its own."""

    folder: Path

    def command(self, name: str, *settings: str, entry: Sequence[str] = ("-m", "grpo.run")) -> list[str]:
        """The command of the small run `name` with these settings more; `entry` stands for `-m grpo.run`."""
        parts = [part for each in (*SMALL, *settings) for part in ("--set", each)]
        return [
            sys.executable, *entry, "--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", str(self.folder / name),
            *parts,
        ]  # fmt: skip

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ, "RECOMPENSA_CACHE": str(self.folder / "cache"), "HOME": str(self.folder), "OMP_NUM_THREADS": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1", "UNSLOTH_COMPILE_LOCATION": str(self.folder / "compiled"), **more,
        }  # fmt: skip

    def run(self, command: Sequence[str], *, expect: int = 0, **environment: str) -> str:
        """What the command says; it has to end with the exit code `expect`."""
        done = subprocess.run(
            command, env=self.environment(**environment), cwd=self.folder, capture_output=True, text=True, timeout=280
        )
        shown = done.stdout + done.stderr
        assert done.returncode == expect, shown[-4000:]
        assert "Traceback" not in shown or done.returncode == 0, shown[-4000:]
        return shown


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the runs of a module live."""
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def start(home):
    """A function that runs `grpo.run` in a folder of its own and returns the run directory and what was said."""

    def run(name: str, *settings: str, expect: int = 0, entry: Sequence[str] = ("-m", "grpo.run"), **environment: str):
        return home.folder / name, home.run(home.command(name, *settings, entry=entry), expect=expect, **environment)

    return run


@pytest.fixture
def read_rows():
    """A function from a run and a stage to its rows of metrics that have a reward or an evaluation."""

    def read(directory: Path, key: str) -> list[dict]:
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        return [row for row in map(json.loads, lines) if key in row]

    return read
