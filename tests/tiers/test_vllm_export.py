"""An export proved by vLLM's CPU build: it loads the merged folder and answers as the run's policy does."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
pytest.importorskip("vllm")


@pytest.mark.parametrize("adapters", ["null", "{r: 4, alpha: 8}"], ids=["full", "lora"])
def test_export_when_vllm_loads_it_then_its_answers_are_the_runs(start, home, adapters):
    """From a run to a folder that vLLM serves: the template and the end of an answer are those beside the weights."""
    name = f"run-{len(adapters)}"
    run, _ = start(name, f"model.lora={adapters}")
    target = home.folder / f"{name}-export"
    command = [sys.executable, "-m", "grpo.export", str(run), "--to", str(target), "--format", "safetensors"]
    shown = home.run([*command, "--proof-rows", "8", "--vllm"])
    assert "model.safetensors in vLLM" in shown
    record = json.loads((target / "export.json").read_text(encoding="utf-8"))
    by_transformers, by_vllm = record["proofs"]
    assert by_vllm["runtime"].startswith("vLLM 0.") and by_vllm["passed"] and by_vllm["rows"] == 8
    assert by_transformers["equal_answers"] == 1.0 and by_vllm["equal_answers"] >= 0.95
    assert "in vLLM" in (target / "README.md").read_text(encoding="utf-8")
