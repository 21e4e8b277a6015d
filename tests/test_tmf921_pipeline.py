"""The TMF921 recipes end to end on the embedded profile: zero-shot, stage 1, stage 2 on what it found weak, GRPO on values."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from grpo.console import main
from grpo.data.tmf921.weak import choose_weak, read_estimates

pytest.importorskip("trl")

# Numbers of rows, steps, tokens and weights; stages, layers, replay, rewards and masks stay the recipes'.
MINIATURE = (
    "data.tmf921.train_rows=240", "data.tmf921.held_out_rows=60", "data.tmf921.layers=[a1_policy, camara]", "data.tmf921.weak_count=1",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=48",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=24", "evaluation.every_steps=100", "evaluation.max_completion_length=40",
    "grpo.max_steps=2", "grpo.max_completion_length=40", "grpo.save_every_steps=2", "grpo.prompts_per_step=4",
    "grpo.num_generations=4", "threads=1", "tracking.wandb=off",
)  # fmt: skip
PAGE = Path(__file__).parents[1] / "docs" / "tmf921.md"
STAGES = ("zero_shot", "stage1", "stage2", "grpo")


def read_page():
    """The words of each command of the page's first block."""
    block = re.findall(r"^```\n(recompensa run.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
    return [shlex.split(line)[1:] for line in block.splitlines()]


def add_settings(words, settings):
    """The words of a `run` with settings on top: those of the policy's shape only where it is made on the spot."""
    if words[0] != "run":
        return words
    continued = any(word.startswith("continue_from=") for word in words)
    given = [each for each in settings if not (continued and each.startswith("model.embedded."))]
    return [*words, "--profile", "embedded", *(part for each in given for part in ("--set", each))]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """The folder of the four runs, and what each showed: the page's commands as they stand, in miniature."""
    home, shown = tmp_path_factory.mktemp("tmf921"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for key, value in (("RECOMPENSA_CACHE", str(home / "cache")), ("HF_HUB_OFFLINE", "1")):
            patch.setenv(key, value)
        for words in read_page():
            with redirect_stdout(io.StringIO()) as out:
                code = main(add_settings(words, MINIATURE))
            # A comparison says by its exit code whether stage 2 is promoted.
            assert code == 0 or (words[0], code) == ("compare", 1), words
            shown[" ".join(words)] = out.getvalue()
    return home / "runs", {
        name: next(said for words, said in shown.items() if f"runs/{name}" in words) for name in STAGES
    }


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def answers(run, stage):
    return [(row["id"], row["completion"]) for row in read(run / "eval" / f"{stage}.jsonl")]


def test_pipeline_when_run_then_each_stage_has_its_report_and_asks_the_same_rows(pipeline):
    """One held-out set of six splits for all; what an evaluation stored names split and layer."""
    home, _ = pipeline
    ids = {}
    for name in STAGES:
        assert (home / name / "report.html").is_file() and json.loads((home / name / "status.json").read_text())[
            "finished"
        ]
        rows = read(home / name / "eval" / "final.jsonl")
        ids[name] = [row["id"] for row in rows]
        assert {"split", "target_layer", "latency_ms", "lifecycle_operation"} <= rows[0]["columns"].keys()
    assert ids["zero_shot"] == ids["stage1"] == ids["stage2"] == ids["grpo"]
    assert len({row["columns"]["split"] for row in rows}) == 6


def test_zero_shot_when_run_then_nothing_was_trained(pipeline):
    """The very answers that stage 1 gave before its first step, asked once."""
    home, shown = pipeline
    assert answers(home / "zero_shot", "final") == answers(home / "stage1", "before")
    assert not (home / "zero_shot" / "eval" / "before.jsonl").exists()
    assert "nothing is trained" in shown["zero_shot"] and "1 held-out" not in shown["zero_shot"]


def test_stage_1_when_run_then_its_held_out_loss_fell(pipeline):
    """Even a policy of a few thousand weights learns the frame of the answers."""
    rows = [row for row in read(pipeline[0] / "stage1" / "metrics.jsonl") if "sft/held_out_loss" in row]
    assert rows[-1]["sft/held_out_loss_high"] < rows[0]["sft/held_out_loss_low"]


def test_stage_2_when_it_continues_then_it_begins_where_stage_1_ended(pipeline):
    """Word for word, on the layers that the last evaluation found weakest, and nearly a third of replay."""
    home, _ = pipeline
    assert answers(home / "stage2", "before") == answers(home / "stage1", "final")
    section = json.loads((home / "stage2" / "config.json").read_text())["config"]["data"]["tmf921"]
    estimates = read_estimates(home / "stage1" / "eval" / "final.jsonl")
    assert section["weak"] == choose_weak(estimates, section["weak_count"])
    plan = json.loads((home / "stage2" / "plan.json").read_text())
    every = read(next((home.parent / "cache").glob("tmf921-*")) / "train_sota.jsonl")
    weak = sum(row["target_layer"] in section["weak"] for row in every)
    assert weak > 50 and plan["train_rows"] == weak + round(weak * 0.3 / 0.7) < len(every)


def test_grpo_when_it_continues_then_values_are_paid_and_telemetry_is_masked(pipeline):
    """It starts from stage 1's policy without another warm-up; monitor rows pay nothing for what no prompt contains."""
    home, shown = pipeline
    assert answers(home / "grpo", "before") == answers(home / "stage1", "final") and "warm-up:" not in shown["grpo"]
    rows = read(home / "grpo" / "eval" / "final.jsonl")
    assert all(set(row["scores"]) == {"telecom", "kpi_values"} for row in rows)
    assert any(row["scores"]["kpi_values"]["status"] == "value" for row in rows)
    trained = [row for row in read(home / "grpo" / "metrics.jsonl") if row["stage"] == "train" and "loss" in row]
    assert [row["step"] for row in trained] == [1, 2]


def test_tables_when_made_of_the_stages_then_each_split_and_layer_is_in_them(pipeline):
    """The four runs side by side, with n and interval; beside them the data card of the generated set."""
    home = pipeline[0].parent
    found = {table["name"]: table for table in json.loads((home / "paper" / "tables.json").read_text())}
    assert len(found["by_split"]["rows"]) == 6 * len(STAGES) and found["changes_stage1"]["rows"]
    assert all(row["parse"]["n"] and row["parse"]["low"] is not None for row in found["by_layer"]["rows"])
    assert (home / "paper" / "split_x_layer_stage1.tex").is_file()
    assert "| o1_nrm |" in (home / "tmf921" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_pipeline_when_run_as_the_profile_says_then_each_stage_learns(tmp_path):
    """Stage 1 from nothing, stage 2 and GRPO beyond stage 1: each gain is clear of zero, paired by example."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    for words in [words for words in read_page() if words[0] == "run"]:
        command = [sys.executable, "-m", "grpo.run", *add_settings(words, ("threads=2", "tracking.wandb=off"))[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    gains = {}
    for name, question in (("stage1", "gain"), ("stage2", "gain"), ("grpo", "clear of zero")):
        path = json.loads((tmp_path / "runs" / name / "decision.json").read_text())["path"]
        gains[name] = next(node for node in path if node["name"] == question)
    assert gains["stage1"]["low"] > 0.5
    assert gains["stage2"]["low"] > 0 and gains["grpo"]["low"] > 0
