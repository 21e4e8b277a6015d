"""The engine unsloth on its fallback for processors: whole runs, the order of imports, the settings it changes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.unsloth, pytest.mark.timeout(900)]
if __import__("importlib.util").util.find_spec("unsloth") is None:
    pytest.skip("unsloth is not installed", allow_module_level=True)


@pytest.mark.parametrize("adapters", ["null", "{r: 4, alpha: 8}"], ids=["full", "lora"])
def test_run_when_the_engine_is_unsloth_then_it_trains_from_start_to_report(start, read_rows, adapters):
    """Warm-up, GRPO, evaluations and report, with the settings of the config in force."""
    directory, shown = start(f"run-{len(adapters)}", "model.engine=unsloth", f"model.lora={adapters}")
    rows = read_rows(directory, "reward")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert any(row["grad_norm"] > 0 for row in rows)
    assert "prompts are not shared within a group: unsloth has a generation and a loss of its own" in shown
    recorded = json.loads((directory / "environment.json").read_text())
    assert recorded["packages"]["unsloth"]
    settings = recorded["settings"]["grpo"]
    assert (settings["loss_type"], settings["beta"], settings["seed"]) == ("dr_grpo", 0.0, 42)
    assert settings["per_device_train_batch_size"] == 8
    assert (directory / "report.html").is_file()


def test_run_when_the_engine_is_unsloth_and_the_policy_nf4_then_adapters_learn_in_float32(start, read_rows):
    """QLoRA on a pretrained folder; TRL would keep the adapters in bfloat16, where small updates round to nothing."""
    from safetensors import safe_open

    folder = start("plain", "grpo.max_steps=2", "model.engine=transformers")[0] / "sft"
    directory, _ = start(
        "qlora", "model.engine=unsloth", "model.embedded=null", f"model.name={folder}", "model.quantization=nf4",
        "model.lora={r: 8, alpha: 16}", "sft_warmup.max_steps=20",
    )  # fmt: skip
    assert any(row["grad_norm"] > 0 for row in read_rows(directory, "grad_norm"))
    with safe_open(directory / "checkpoints" / "checkpoint-4" / "adapter_model.safetensors", "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.float32"}  # noqa: SIM118


def test_settings_when_unsloth_changes_one_then_the_run_says_so(start):
    """It takes another optimiser on a processor than the config names: seen, although it is changed at construction."""
    directory, shown = start("changed", "model.engine=unsloth", "grpo.max_steps=2")
    changed = json.loads((directory / "environment.json").read_text())["settings"]["changed_by_libraries"]
    assert any(line.startswith("optim: the config says 'adamw_torch', in force is") for line in changed)
    assert all(line in shown for line in changed)


def test_import_when_trl_came_first_then_refused_in_one_line():
    """Unsloth patches what it finds on its way in; after trl it would patch only half."""
    code = (
        "import transformers\n"
        "from grpo.engines.choose import choose_engine\n"
        "from grpo.config.sections import ModelSection\n"
        "choose_engine(ModelSection(engine='unsloth')).prepare()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "unsloth must be imported before transformers" in done.stderr
