"""A config that continues from a run, and files that change what a profile lays over them."""

from __future__ import annotations

import json

import pytest

from grpo.config.loading import load_config
from grpo.data.run_rows import load_inputs
from grpo.data.tmf921.weak import FEW
from rewards.errors import UserError


def write_run(folder, model, rewards=(("camara", 0.5, 9),), policy="best"):
    """The folder of a run as far as another one continues from it; `rewards` are (task, reward, rows)."""
    (folder / policy).mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"config": {"model": model}, "profile": "gpu"}))
    (folder / "eval").mkdir()
    rows = [{"task": task, "reward": reward} for task, reward, count in rewards for _ in range(count)]
    (folder / "eval" / "final.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_run_when_it_trained_all_weights_then_its_policy_is_the_next_ones_model(tmp_path):
    """No policy is made on the spot any more; the profile's other settings stay."""
    run = write_run(tmp_path / "one", {"name": "Qwen/Qwen3-8B", "lora": None, "embedded": {"layers": 2}})
    config = load_config("tmf921_stage2", [f"continue_from={run}"], "embedded")
    assert config.model.name == str(run / "best") and config.model.embedded is None and config.model.lora is None
    assert config.model.max_sequence_length == 512


def test_run_when_it_trained_an_adapter_then_that_adapter_is_trained_on(tmp_path):
    """Over the model that it was trained on."""
    run = write_run(tmp_path / "one", {"name": "some/base", "lora": {"r": 8}, "embedded": None}, policy="sft")
    config = load_config("tmf921_stage2", [f"continue_from={run}"], "gpu")
    assert config.model.name == "some/base" and config.model.named_adapter == str(run / "sft")


def test_weak_layers_when_a_stage_continues_then_the_last_evaluation_chooses_them(tmp_path):
    """The lowest of those with enough rows to tell; what the command line says stands above it."""
    rewards = [("a1_policy", 0.9, 20), ("camara", 0.2, 20), ("etsi_zsm", 0.4, FEW), ("tmf921", 0.0, FEW - 1)]
    run = write_run(tmp_path / "one", {"name": "some/base", "lora": {"r": 8}}, rewards)
    settings = [f"continue_from={run}", "data.tmf921.weak_count=2"]
    assert load_config("tmf921_stage2", settings, "gpu").data.tmf921.weak == ["camara", "etsi_zsm"]
    own = load_config("tmf921_stage2", [*settings, "data.tmf921.weak=[o1_nrm]"], "gpu")
    assert own.data.tmf921.weak == ["o1_nrm"]


def test_stages_when_a_run_continues_then_sft_is_not_done_twice(tmp_path):
    """Unless the command line asks for it."""
    run = write_run(tmp_path / "one", {"name": "some/base", "lora": {"r": 8}})
    assert load_config("tmf921_grpo", [f"continue_from={run}"], "gpu").stages == ["grpo"]
    both = load_config("tmf921_grpo", [f"continue_from={run}", "stages=[sft, grpo]"], "gpu")
    assert both.stages == ["sft", "grpo"]
    assert load_config("tmf921_grpo", [], "gpu").stages == ["sft", "grpo"]


def test_rows_when_stages_follow_each_other_then_all_hold_the_same_rows_out(tmp_path, monkeypatch):
    """Weak layers and replay change what is trained on, never what is asked."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    sizes = ["data.tmf921.train_rows=200", "data.tmf921.held_out_rows=60"]
    asked = [
        [row.id for row in load_inputs(load_config(name, sizes, "embedded")).held_out]
        for name in ("tmf921_zero_shot", "tmf921_stage1", "tmf921_stage2", "tmf921_grpo")
    ]
    assert asked[0] == asked[1] == asked[2] == asked[3]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, r"--set: continue_from: .*one is not the folder of a run; give one that recompensa run wrote"),
        ("bare", r"continue_from: .*one kept no policy \(no best/, no sft/\); resume it, or give another run"),
    ],
)
def test_run_when_it_cannot_be_continued_then_one_line_says_why(tmp_path, made, said):
    """No such run, or one that left nothing."""
    if made:
        (write_run(tmp_path / "one", {"name": "x", "lora": {"r": 8}}) / "best").rmdir()
    with pytest.raises(UserError, match=said):
        load_config("tmf921_stage2", [f"continue_from={tmp_path / 'one'}"], "gpu")


def test_profiles_of_a_file_when_it_is_run_then_they_stand_above_the_profiles_overlay(tmp_path):
    """And above what the file extends, below --set; another profile is as if they were not written."""
    (tmp_path / "base.yaml").write_text(
        "extends: v4_1\nprofiles: {embedded: {grpo: {max_steps: 7, prompts_per_step: 4}}}\n"
    )
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nprofiles:\n  embedded:\n    grpo: {max_steps: 9}\n")
    config = load_config(tmp_path / "mine.yaml", profile="embedded")
    assert (config.grpo.max_steps, config.grpo.prompts_per_step) == (9, 4)
    assert load_config(tmp_path / "mine.yaml", ["grpo.max_steps=3"], "embedded").grpo.max_steps == 3
    assert load_config(tmp_path / "mine.yaml", profile="gpu").grpo.max_steps == 600


@pytest.mark.parametrize("profile", ["gpu", "small", "embedded"])
def test_profiles_of_a_file_when_a_key_is_misspelt_then_it_is_found_under_any_profile(tmp_path, profile):
    """With its file, its line and the right name."""
    (tmp_path / "mine.yaml").write_text("extends: v4_1\nprofiles:\n  embedded:\n    grpo: {max_step: 9}\n")
    with pytest.raises(UserError, match=r"mine\.yaml: profiles\.embedded: grpo\.max_step.*max_steps.*\n?"):
        load_config(tmp_path / "mine.yaml", profile=profile)


def test_profiles_of_a_file_when_a_profile_is_unknown_then_the_line_says_which_there_are(tmp_path):
    """`gpu` has no overlay: it is the file itself."""
    (tmp_path / "mine.yaml").write_text("extends: v4_1\nprofiles: {gpu: {seed: 1}, tiny: {seed: 1}, small: 3}\n")
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "mine.yaml", profile="gpu")
    said = str(caught.value)
    assert "profiles.gpu: gpu is the file itself; write embedded or small" in said
    assert "profiles.tiny: no such profile" in said and "profiles.small: no sections" in said


def test_warm_up_when_a_run_is_continued_then_it_is_left_out_unless_the_command_line_asks_for_it(tmp_path):
    """Also where a profile turns it on and no stages are written: the policy was fine-tuned already."""
    run = write_run(tmp_path / "one", {"name": "Qwen/Qwen3-8B", "lora": None, "embedded": {"layers": 2}})
    assert load_config("v4_1", [], "embedded").sft_warmup.enabled
    assert not load_config("v4_1", [f"continue_from={run}"], "embedded").sft_warmup.enabled
    assert load_config("v4_1", [f"continue_from={run}", "sft_warmup.enabled=true"], "embedded").sft_warmup.enabled
    alone = load_config("v4_1", [f"continue_from={run}", "stages=[sft]"], "embedded")
    assert alone.sft_warmup.enabled and not alone.trains_grpo
