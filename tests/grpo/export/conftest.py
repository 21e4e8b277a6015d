"""A tiny run as training leaves it: a random model of a family, an adapter with weights of its own, rows, an evaluation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("export_families", Path(__file__).parents[1] / "policy" / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

ROWS = 6


def write_rows(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {
                "task": "price",
                "id": f"{path.stem}-{number}",
                "prompt": [{"role": "user", "content": f"Quanto custa o item {number} da {path.stem}, não é?"}],
                "reference": json.dumps({"preço": number + 0.5}, ensure_ascii=False),
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_adapter(base: Path, folder: Path, **lora) -> None:
    """LoRA weights that matter: neither half is zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base)
    settings = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **lora}
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            weight.data = 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)


@pytest.fixture
def write_run(tmp_path):
    """A function from a family to the folder of a finished run over it."""
    from grpo.config.loading import load_config

    def write(name: str = "chatml", *, adapter: bool = True, **changes) -> Path:
        base = tmp_path / name
        families.write_model(name, base)
        for kind in ("train", "held_out"):
            write_rows(tmp_path / f"{kind}.jsonl", ROWS)
        settings = {
            "model": {"name": str(base), "max_sequence_length": 128, "lora": {"r": 4, "alpha": 8} if adapter else None,
                      "dtype": "float32", "device": "cpu"},
            "data": {"source": "files", "train": "train.jsonl", "held_out": "held_out.jsonl"},
            "sft_warmup": {"enabled": False},
            "grpo": {"max_steps": 2, "max_completion_length": 8, "warmup_steps": 0},
            "tracking": {"wandb": "off"},
            "rewards": {"functions": [{"name": "text_overlap", "weight": 1.0}]},
        }  # fmt: skip
        for section, values in changes.items():
            settings[section] = {**settings[section], **values}
        (tmp_path / "family.yaml").write_text(json.dumps(settings), encoding="utf-8")
        config = load_config(tmp_path / "family.yaml", [], "gpu")
        run = tmp_path / "run"
        run.mkdir()
        saved = {"profile": "gpu", "source": "family.yaml", "overrides": [], "config": config.model_dump(mode="json")}
        (run / "config.json").write_text(json.dumps(saved), encoding="utf-8")
        (run / "environment.json").write_text(
            json.dumps({"device": "cpu", "packages": {"torch": "2"}}), encoding="utf-8"
        )
        (run / "status.json").write_text(json.dumps({"stage": "done", "finished": True, "step": 2}), encoding="utf-8")
        decision = {"scenario": "A", "title": "Exhausted", "action": "Scale up.", "reason": "It rose."}
        (run / "decision.json").write_text(json.dumps(decision), encoding="utf-8")
        lines = [
            {"stage": stage, "step": step, "eval/mean_reward": mean, "eval/mean_reward_n": ROWS, "eval/mean_reward_low": 0.0,
             "eval/mean_reward_high": 1.0, "eval/mean_reward_std": 0.1}
            for stage, step, mean in (("before", 0, 0.1), ("warmup", 0, 0.2), ("final", 2, 0.4))
        ]  # fmt: skip
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        if adapter:
            write_adapter(base, run / "best")
        else:
            families.write_model(name, run / "best")
        return run

    return write
