"""The whole line as a user starts it: `python -m grpo.run`, with a policy that barely learns so that it takes seconds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import starter

pytest.importorskip("torch")

SMALL = (
    "data.shop.train_rows=60", "data.shop.held_out_rows=20", "data.shop.warmup_rows=120",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=3", "grpo.max_steps=4", "grpo.prompts_per_step=2", "grpo.num_generations=4",
    "grpo.max_completion_length=16", "evaluation.max_completion_length=16", "grpo.save_every_steps=2",
    "grpo.log_completions_every=2", "evaluation.every_steps=2", "threads=1",
)  # fmt: skip


PLANTED = {
    "HF_TOKEN": "hf_PlantedPlantedPlanted", "MY_API_KEY": "planted-0123456789", "PGPASSWORD": "planted-password",
    "SERVICE_URL": "https://ana:planted-login@example.org",
}  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A cache and a working directory of their own, and no key of anybody's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    home = tmp_path_factory.mktemp("home")
    return {**kept, "RECOMPENSA_CACHE": str(home / "cache"), "HOME": str(home), "OMP_NUM_THREADS": "1", **PLANTED}


def words(directory: Path, *arguments: str, settings=SMALL) -> list[str]:
    """The arguments of `python -m grpo.run` for a run in a folder."""
    embedded = ["--config", "v4_1.yaml", "--profile", "embedded", "--run-dir", str(directory)]
    return [*embedded, *arguments, *(part for each in settings for part in ("--set", each))]


def run(environment, *arguments: str) -> subprocess.CompletedProcess:
    """`python -m grpo.run`, forked from a process that has torch already."""
    return starter.run("grpo.run", arguments, environment["HOME"], environment)


@pytest.fixture(scope="module")
def finished(environment, tmp_path_factory):
    """A run from start to report, started as a user does: with a hash seed that those forked for other tests do not have."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    command = [sys.executable, "-m", "grpo.run", *words(directory)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=environment["HOME"])
    assert done.returncode == 0, done.stderr[-3000:]
    return directory, done.stdout


def test_run_when_it_ends_then_every_file_is_there(finished):
    """All that the architecture promises of a run directory is written, and nothing half-written is left."""
    directory, shown = finished
    for name in (
        "config.json", "plan.json", "audit.json", "environment.json", "metrics.jsonl", "timings.jsonl", "decision.json",
        "report.html", "report.md", "status.json", "eval/before.jsonl", "eval/warmup.jsonl", "eval/step-000002.jsonl",
        "eval/final.jsonl", "eval/judged.jsonl", "judged.json", "completions/step-000002.jsonl", "completions/step-000004.jsonl", "sft/model.safetensors",
    ):  # fmt: skip
        assert (directory / name).is_file(), name
    assert not list(directory.rglob("*.partial"))
    status = json.loads((directory / "status.json").read_text())
    assert status["finished"] is True
    peaks = [
        json.loads(line).get("peak_memory_bytes", 0) for line in (directory / "timings.jsonl").read_text().splitlines()
    ]
    assert status["peak_memory_bytes"] == max(peaks) > 1 << 26 and "peak memory" in shown.splitlines()[-1]
    assert str(directory / "report.html") in shown.splitlines()[-1]


def test_run_when_it_ends_then_metrics_have_the_promised_rows(finished):
    """Evaluations before, after the warm-up, on the way and at the end, and one training row a step under TRL's names."""
    directory, _ = finished
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    evaluations = [(row["stage"], row["step"]) for row in rows if "eval/mean_reward" in row]
    assert evaluations == [("before", 0), ("warmup", 0), ("train", 2), ("final", 4), ("judged", evaluations[-1][1])]
    training = [row for row in rows if "reward" in row]
    assert [row["step"] for row in training] == [1, 2, 3, 4]
    for key in (
        "loss",
        "grad_norm",
        "learning_rate",
        "reward_std",
        "frac_reward_zero_std",
        "completions/clipped_ratio",
    ):
        assert key in training[0], key
    for row in rows:
        if "eval/mean_reward" in row:
            assert row["eval/mean_reward_n"] == 20
            assert row["eval/mean_reward_low"] <= row["eval/mean_reward"] <= row["eval/mean_reward_high"]


def test_run_when_the_environment_holds_secrets_then_no_file_and_no_line_of_it_does(finished):
    """Config, environment, audit, metrics, completions, report: searched as bytes."""
    directory, shown = finished
    wanted = [value.encode() for value in (*PLANTED.values(), "planted-login")]
    files = [path for path in directory.rglob("*") if path.is_file()]
    found = [(path.name, value) for path in files for value in wanted if value in path.read_bytes()]
    assert found == [] and not [value for value in wanted if value.decode() in shown]


def test_run_when_rewards_are_stored_then_means_follow_from_them(finished):
    """The evaluation's mean is the mean of the stored rewards: it is computed from our own rows."""
    directory, _ = finished
    stored = [json.loads(line) for line in (directory / "eval" / "final.jsonl").read_text().splitlines()]
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    final = next(row for row in rows if row["stage"] == "final")
    assert final["eval/mean_reward"] == pytest.approx(sum(row["reward"] for row in stored) / len(stored))
    assert all(score["version"] for row in stored for score in row["scores"].values())


def test_run_when_settings_are_recorded_then_they_are_those_in_force(finished):
    """environment.json holds TRL's arguments as they were used."""
    directory, _ = finished
    recorded = json.loads((directory / "environment.json").read_text())["settings"]
    assert recorded["grpo"]["loss_type"] == "dr_grpo"
    assert recorded["grpo"]["beta"] == 0.0
    assert recorded["grpo"]["scale_rewards"] == "none"
    assert recorded["grpo"]["bf16"] is False
    assert recorded["changed_by_libraries"] == []


def test_run_when_started_twice_with_one_seed_then_metrics_are_the_same_bytes(finished, environment, tmp_path):
    """Same seed, same machine, same result."""
    directory, _ = finished
    again = run(environment, *words(tmp_path / "again"))
    assert again.returncode == 0, again.stderr[-3000:]
    assert (tmp_path / "again" / "metrics.jsonl").read_bytes() == (directory / "metrics.jsonl").read_bytes()


def test_run_when_interrupted_and_resumed_then_it_ends_as_if_it_had_not_been(finished, environment, tmp_path):
    """Ctrl-C leaves a checkpoint, says how to go on and exits with 75; the resumed run has the same metrics."""
    whole, _ = finished
    directory = tmp_path / "interrupted"
    process = starter.Started("grpo.run", words(directory), environment["HOME"], environment)
    metrics = directory / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (metrics.is_file() and b'"reward":' in metrics.read_bytes()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    interrupted = process.wait()
    if interrupted.returncode == 0:
        pytest.skip("the run was over before the signal came")
    shown = interrupted.stdout + interrupted.stderr
    assert interrupted.returncode == 75, shown[-3000:]
    assert f"--resume {directory}" in shown
    resumed = run(environment, "--resume", str(directory))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert metrics.read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert (directory / "eval" / "final.jsonl").read_bytes() == (whole / "eval" / "final.jsonl").read_bytes()
    assert (directory / "watch.jsonl").read_bytes() == (whole / "watch.jsonl").read_bytes()
    assert read_decision(directory) == read_decision(whole)
    (known, settings), (known_whole, settings_whole) = (read_environment(path) for path in (directory, whole))
    assert known == known_whole, "scores of the process that was interrupted count"
    assert settings == settings_whole == {"sft", "grpo", "changed_by_libraries"}
    last = Path("checkpoints", "checkpoint-4")
    for name in ("model.safetensors", "optimizer.pt", "tokenizer_config.json"):
        assert (directory / last / name).read_bytes() == (whole / last / name).read_bytes(), name


def read_decision(directory: Path) -> dict:
    """The decision, but for the commands that follow from it, which name the folder."""
    return {**json.loads((directory / "decision.json").read_text()), "commands": None}


def read_environment(directory: Path) -> tuple[dict, set]:
    """What each reward function did, without its times, and the stages whose settings were recorded."""
    environment = json.loads((directory / "environment.json").read_text())
    counts = {
        name: {key: report[key] for key in ("values", "unscored", "errors", "faults", "version")}
        for name, report in environment["rewards"].items()
    }
    return counts, set(environment["settings"])


@pytest.mark.parametrize("stage", ["grpo", "decision"])
def test_run_when_killed_after_its_last_step_then_a_resumed_one_makes_the_rest(finished, environment, tmp_path, stage):
    """Killed before the end of GRPO was noted it takes no step beyond the last, killed before the report it writes it."""
    whole, _ = finished
    directory = tmp_path / "killed"
    shutil.copytree(whole, directory)
    (directory / "status.json").write_text(json.dumps({"stage": stage, "step": 0, "finished": False}))
    (directory / "report.html").unlink()
    resumed = run(environment, "--resume", str(directory))
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert (directory / "report.html").is_file()
    assert json.loads((directory / "status.json").read_text())["stage"] == "done"
    for name in ("metrics.jsonl", "eval/final.jsonl"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes(), name
    assert read_decision(directory) == read_decision(whole)
    assert read_environment(directory) == read_environment(whole)
    again = run(environment, "--resume", str(directory))
    assert again.returncode == 2 and "this run is finished" in again.stderr


def test_run_when_sigterm_comes_twice_then_it_stops_at_once_and_says_how_to_go_on(environment, tmp_path):
    """The second signal does not wait for the step; the run is kept, without a traceback."""
    directory = tmp_path / "run"
    settings = (*SMALL, "sft_warmup.max_steps=100000")
    process = starter.Started("grpo.run", words(directory, settings=settings), environment["HOME"], environment)
    deadline = time.monotonic() + 120
    metrics = directory / "metrics.jsonl"
    while time.monotonic() < deadline and not (metrics.is_file() and b"sft/loss" in metrics.read_bytes()):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.003)
    process.send_signal(signal.SIGTERM)
    done = process.wait()
    shown = done.stdout + done.stderr
    assert done.returncode == 75, shown[-3000:]
    assert f"--resume {directory}" in shown and "Traceback" not in shown


def test_run_when_the_directory_exists_then_one_line_and_exit_2(finished, environment):
    """A run is never written over another."""
    directory, _ = finished
    before = sorted(directory.rglob("*"))
    refused = run(environment, *words(directory))
    assert refused.returncode == 2
    assert "exists already" in refused.stderr and "Traceback" not in refused.stderr
    assert sorted(directory.rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("grpo.learning_rte=1",), "did you mean learning_rate?"),
        (("grpo.max_steps=many",), "grpo.max_steps"),
        (("rewards.plugins=[no_such_module]",), "no_such_module"),
        (("rewards.functions=[{name: extraktion}]",), "extraction"),
        (
            ("data.source=files", "data.train=nowhere.jsonl", "data.held_out=nowhere_either.jsonl"),
            "nowhere_either.jsonl",
        ),
        (("data.max_prompt_tokens=10",), "prompt"),
        (("grpo.prompts_per_step=4000",), "generation batch"),
    ],
)
def test_run_when_input_is_bad_then_one_line_exit_2_and_nothing_written(environment, tmp_path, settings, said):
    """A user's mistake costs a line and no GPU time."""
    refused = run(environment, *words(tmp_path / "run", settings=(*SMALL, *settings)))
    assert refused.returncode == 2, refused.stdout[-2000:] + refused.stderr[-2000:]
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()


def test_dry_run_when_asked_then_plan_and_preflight_and_nothing_written(environment, tmp_path):
    """--dry-run passes and writes nothing."""
    shown = run(environment, *words(tmp_path / "run", "--dry-run"))
    assert shown.returncode == 0, shown.stderr
    assert "dry run" in shown.stdout
    assert not (tmp_path / "run").exists()


def test_dry_run_when_traced_then_torch_is_not_imported(environment, tmp_path):
    """The plan starts on a laptop without torch."""
    code = "import sys; from grpo.run import main; code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    arguments = words(tmp_path / "run", "--dry-run")
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


def test_gpu_profile_when_there_is_no_gpu_then_one_line_and_exit_2(environment, tmp_path):
    """A missing device is refused before anything is spent."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    refused = run(environment, "--config", "v4_1.yaml", "--profile", "gpu", "--run-dir", str(tmp_path / "run"))
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "no CUDA device" in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "run").exists()
