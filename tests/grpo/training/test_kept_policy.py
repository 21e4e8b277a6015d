"""What best/ holds is one thing whatever the run: the policy of the judged step, noted beside it."""

from __future__ import annotations

import json

from grpo.config.sections import ModelSection
from grpo.lifecycle.run_directory import RunDirectory, name_policy, read_policy_note
from grpo.training.kept_policy import copy_folder, describe_policy, replace_folder


def test_note_when_lora_or_full_then_form_step_and_base_are_named():
    """Step 0 is what GRPO began with, in the form of the run."""
    lora = describe_policy(ModelSection(name="org/model"), 16, 16)
    assert lora == {
        "step": 16,
        "stage": "final",
        "kind": "adapter",
        "base": "org/model",
        "revision": None,
        "gguf": None,
    }
    assert name_policy(lora) == "LoRA adapter of step 16 on org/model"
    whole = describe_policy(ModelSection(name="org/model", lora=None), 0, 16)
    assert whole["kind"] == "model" and whole["base"] is None and whole["stage"] == "warmup"
    assert name_policy(whole) == "whole model of step 0, before GRPO"


def test_folder_when_replaced_then_the_note_and_a_manifest_lie_in_it(tmp_path):
    """A copy shares its bytes and has a note of its own."""
    sft, best = tmp_path / "sft", tmp_path / "best"

    def write(folder):
        folder.mkdir()
        (folder / "weights").write_text("w", encoding="utf-8")

    replace_folder(sft, write)
    replace_folder(best, lambda folder: copy_folder(sft, folder), {"step": 0})
    assert (best / "weights").stat().st_ino == (sft / "weights").stat().st_ino
    assert read_policy_note(tmp_path) == {"step": 0} and not (sft / "policy.json").exists()
    assert "policy.json" in json.loads((best / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert RunDirectory(tmp_path).best == best and not (tmp_path / "best.old").exists()
