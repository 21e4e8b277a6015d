"""V4.2: the decision of a V4.1 run chooses A, B or C, and the run that it names is started, by --follow and by the queue.

The models are stand-ins of a few thousand weights in a Hub cache of their own, under the names that the recipes have.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("trl")

spec = importlib.util.spec_from_file_location(
    "v4_2_families", Path(__file__).parent / "grpo" / "policy" / "families.py"
)
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

MODELS = ("0.5B-Instruct", "3.7B-Instruct", "0.5B-Base")
SMALL = (
    "data.shop.train_rows=40", "data.shop.held_out_rows=120", "data.shop.instructions=short", "data.shop.warmup_rows=8",
    "grpo.max_completion_length=8", "grpo.num_generations=4", "grpo.micro_batch_size=8", "grpo.warmup_ratio=0",
    "evaluation.max_completion_length=8", "evaluation.batch_size=120", "evaluation.temperature=1.0",
    "tracking.wandb=off", "threads=1", "model.device=cpu", "model.dtype=float32",
)  # fmt: skip
SHORT = ("grpo.max_steps=4", "grpo.save_every_steps=4", "evaluation.every_steps=1")
# V4.2-A has 400 steps of 1,024 tokens: a rule of the test's own ends it after a few, which is exit code 3 and a report all the same.
END = "decision.watch.rules.enough={metric: grad_norm, above: -1, from_step: 6, action: stop}"
# What of the thresholds makes an untrained stand-in exhaust its rung, stand on V4's plateau, or improve with a weak task.
SCENARIOS = {
    "A": ("grpo.max_steps=4", "grpo.save_every_steps=4", "evaluation.every_steps=20", "decision.scale_at=0", END),
    "B": (*SHORT, "decision.plateau_window=1", "decision.plateau_extraction_tolerance=0.8"),
    "C": (
        "grpo.max_steps=30", "grpo.save_every_steps=30", "evaluation.every_steps=30", "grpo.learning_rate=0.01",
        "grpo.prompts_per_step=8", "grpo.micro_batch_size=32", "model.lora=null", "grpo.max_completion_length=16",
        "evaluation.max_completion_length=16",
        "decision.scale_at=1", "decision.floors={extraction: 1.0}", "decision.watch.enabled=false",
    ),
}  # fmt: skip
FOUR = ("extraction", "sql_qa", "insights", "push")
NEXT = {"A": "v4_2_a", "B": "v4_2_b", "C": "v4_2_c"}
# For C the stand-in has to improve: it is paid for small letters, which it learns in seconds, beside extraction's own reward.
LETTERS = '''"""Pays for the share of small letters."""
from rewards.decorator import reward


@reward(judges_content=False)
def letters(completion) -> float:
    """The share of small letters."""
    text = completion.text
    return sum(char.isascii() and char.islower() for char in text) / max(1, len(text))
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a Hub cache that holds the three models, and the plugin."""
    home = tmp_path_factory.mktemp("v4_2")
    for number, model in enumerate(MODELS):
        folder = home / "hub" / f"models--Polygl0t--Tucano2-qwen-{model}"
        families.write_model("qwen3", folder / "snapshots" / ("0" * 40), seed=number)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("0" * 40)
    (home / "letters.py").write_text(LETTERS)
    return home


def list_settings(home, scenario):
    own = [
        f"rewards.plugins=[{home / 'letters.py'}]",
        # The recipe's four stay: without one of them its thresholds would not be those of this run.
        f"rewards.functions=[{', '.join(f'{{name: {name}, weight: 0.02}}' for name in FOUR)}, {{name: letters, weight: 1.0}}]",
    ]
    return [*SMALL, *SCENARIOS[scenario], *(own if scenario == "C" else ())]


def make_environment(home):
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(home / "cache"), "HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip


def check(first, following, scenario):
    """The first run decided for the scenario, and the one behind it is its recipe, run to its report."""
    decision = json.loads((first / "decision.json").read_text())
    assert decision["scenario"] == scenario, decision["reason"]
    assert decision["next_config"] == f"{NEXT[scenario]}.yaml"
    status = json.loads((following / "status.json").read_text())
    assert (following / "report.html").is_file() and (following / "decision.json").is_file()
    assert status["finished"] is (scenario != "A") and status.get("stopped_by") == (
        "enough" if scenario == "A" else None
    )
    before, after = (json.loads((run / "config.json").read_text())["config"] for run in (first, following))
    if scenario == "A":
        assert (
            after["model"]["name"] == "Polygl0t/Tucano2-qwen-3.7B-Instruct" and after["grpo"]["learning_rate"] == 2e-6
        )
    elif scenario == "B":
        assert after["model"]["name"] == "Polygl0t/Tucano2-qwen-0.5B-Base" and after["sft_warmup"]["tasks"] == [
            "extraction"
        ]
        assert (following / "eval" / "warmup.jsonl").is_file() and (following / "sft").is_dir()
    else:
        (old, *_), (new, *_) = before["rewards"]["functions"], after["rewards"]["functions"]
        assert old["options"] == {} and new["options"]["synonym_credit"] == 0.75
        assert before["model"]["name"] == after["model"]["name"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_v4_1_when_followed_then_its_decision_starts_the_recipe_that_it_names(home, scenario):
    """One command: V4.1 to its decision, then V4.2-A, -B or -C to its own."""
    folder = home / f"follow-{scenario}"
    folder.mkdir()
    words = [sys.executable, "-m", "grpo.run", "--config", "v4_1", "--profile", "gpu", "--run-dir", "first", "--follow"]
    # C scores otherwise on purpose: what is compared is said to be so.
    words += ["--allow-changed-rewards"] if scenario == "C" else []
    done = subprocess.run(
        [*words, *(part for each in list_settings(home, scenario) for part in ("--set", each))],
        env=make_environment(home), capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    assert done.returncode == (3 if scenario == "A" else 0), done.stderr[-3000:] + done.stdout[-3000:]
    (following,) = (folder / "runs").iterdir()
    check(folder / "first", following, scenario)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_v4_1_when_queued_with_a_follower_then_the_queue_starts_what_each_decision_names(home, monkeypatch):
    """Three V4.1 runs in one queue, behind each the run that its decision will name."""
    pytest.importorskip("huey")
    from grpo.service.ledger import DECISION, QueuedRun
    from grpo.service.queue import RunQueue

    for key, value in make_environment(home).items():
        monkeypatch.setenv(key, value)
    root = home / "queue"
    root.mkdir()
    with RunQueue(root) as queue:
        for scenario in SCENARIOS:
            settings = tuple(list_settings(home, scenario))
            queue.submit([
                QueuedRun(f"first-{scenario}", "v4_1", overrides=settings, profile="gpu"),
                QueuedRun(f"next-{scenario}", DECISION, "waiting", after=f"first-{scenario}", profile="gpu"),
            ])  # fmt: skip
        deadline = time.monotonic() + 3000
        names = [f"next-{scenario}" for scenario in SCENARIOS]
        while time.monotonic() < deadline:
            states = {name: queue.ledger.find(name) for name in names}
            if all(run.state in ("done", "failed", "skipped", "stopped") for run in states.values()):
                break
            time.sleep(0.5)
    for scenario, run in zip(SCENARIOS, states.values(), strict=True):
        assert run.state == ("stopped" if scenario == "A" else "done"), (run.state, run.reason)
        check(root / f"first-{scenario}", root / run.id, scenario)
