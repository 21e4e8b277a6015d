"""A run that is all SFT: the same evaluation, decision and report, with the held-out loss beside them."""

from __future__ import annotations

import json
import os

import pytest

from grpo.config.loading import load_config
from grpo.run import main
from rewards.errors import UserError
from tests import starter

SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=12", "data.shop.warmup_rows=80",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=20", "sft_warmup.batch_size=8", "sft_warmup.micro_batch_size=4", "sft_warmup.packing=true",
    "evaluation.max_completion_length=16", "evaluation.every_steps=10", "threads=1", "tracking.wandb=off",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of such a run, and what it showed."""
    pytest.importorskip("trl")
    home = tmp_path_factory.mktemp("home")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(home / "cache"), "HOME": str(home), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = ["--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", "run"]
    settings = [part for each in ("stages=[sft]", *SMALL) for part in ("--set", each)]
    done = starter.run("grpo.run", [*words, *settings], home, environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return home / "run", done.stdout


def test_sft_run_when_it_ends_then_it_has_what_every_run_has(run):
    """Evaluations before, on the way and at the end, a decision, a report, the best policy; and no GRPO."""
    folder, shown = run
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    evaluated = [(row["stage"], row["step"]) for row in rows if "eval/mean_reward" in row]
    assert evaluated == [("before", 0), ("train", 10), ("final", 20)]
    assert "SFT: done, 20 steps" in shown and "GRPO:" not in shown
    for name in ("decision.json", "report.html", "best", "sft", "eval/final.jsonl"):
        assert (folder / name).exists(), name
    status = json.loads((folder / "status.json").read_text())
    assert (status["stage"], status["step"], status["finished"]) == ("done", 20, True)
    assert status["policy"]["folder"] == "best"


def test_sft_run_when_rows_are_held_out_then_their_loss_has_an_interval(run):
    """Measured before the first step and ten times on the way, it falls."""
    folder, _ = run
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    measured = [row for row in rows if "sft/held_out_loss" in row]
    assert [row["sft/step"] for row in measured] == list(range(0, 21, 2))
    assert measured[-1]["sft/held_out_loss"] < measured[0]["sft/held_out_loss"]
    last = measured[-1]
    assert last["sft/held_out_loss_low"] < last["sft/held_out_loss"] < last["sft/held_out_loss_high"]
    assert last["sft/held_out_token_accuracy_n"] == last["sft/held_out_loss_n"] == 12


def test_sft_run_when_the_loss_falls_and_a_task_stays_at_nothing_then_it_says_so(run):
    """Twenty steps teach a policy of this size no SQL: a falling loss alone proves nothing."""
    folder, shown = run
    events = [json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()]
    assert "sft_loss_without_task" in [event["rule"] for event in events]
    assert "a falling loss alone proves nothing" in " ".join(shown.split())


def test_stages_when_given_then_they_stand_above_the_profile():
    """The embedded profile switches the warm-up on; whoever writes stages decides."""
    assert load_config("v4_1", [], "embedded").sft_warmup.enabled
    alone = load_config("v4_1", ["stages=[grpo]"], "embedded")
    assert not alone.sft_warmup.enabled and alone.trains_grpo
    supervised = load_config("v4_1", ["stages=[sft]"], "gpu")
    assert supervised.sft_warmup.enabled and not supervised.trains_grpo
    assert supervised.last_step(592) == 37
    assert load_config("v4_1", ["stages=[sft, grpo]"], "gpu").last_step(592) == 600


def test_plan_when_grpo_settings_do_not_fit_then_a_supervised_run_does_not_care(capsys, tmp_path, monkeypatch):
    """Its batches are its own: 8 completions a step are no multiple of its 16 rows a pass."""
    small = ["data.shop.train_rows=8", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40"]
    settings = ["stages=[sft]", "grpo.prompts_per_step=2", "grpo.num_generations=4", *small]
    words = [word for setting in settings for word in ("--set", setting)]
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    assert main(["--config", "v4_1.yaml", "--profile", "embedded", "--dry-run", *words]) == 0
    assert "dry run" in capsys.readouterr().out


def test_stages_when_in_another_order_then_one_line_says_what_is_allowed():
    """GRPO comes after SFT or alone."""
    with pytest.raises(UserError, match=r"stages: .*write \[sft\], \[sft, grpo\] or \[grpo\]"):
        load_config("v4_1", ["stages=[grpo, sft]"], "gpu")


def test_float16_when_there_is_nothing_frozen_then_it_is_refused():
    """Scaled losses need float32 weights to step: those of adapters."""
    with pytest.raises(UserError, match="float16 weights cannot be trained themselves"):
        load_config("v4_1", ["model.dtype=float16", "model.lora=null"], "gpu")
    assert load_config("v4_1", ["model.dtype=float16"], "gpu").model.effective_dtype("cuda") == "float16"
