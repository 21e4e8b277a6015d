"""Submissions for other schedulers: files that their own readers take, with the run's own command in them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml

from grpo.service.emit import emit
from grpo.service.submit import main
from rewards.errors import UserError

OVERRIDES = ["grpo.max_steps=3", "name=it's"]


def test_slurm_when_the_run_is_interrupted_then_it_is_requeued_and_resumed(tmp_path):
    """The script is run by bash with fake commands: 75 leads to a requeue, a folder that is there to --resume."""
    (tmp_path / "job.sh").write_text(emit("slurm", "my.yaml", OVERRIDES, "gpu", "mine"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("python", 'printf "%s|" "$@" >> calls; exit 75'), ("scontrol", 'echo "$@" >> requeued')):
        (tools / name).write_text(f"#!/bin/bash\n{body}\n")
        (tools / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "7",
    }
    for _ in range(2):
        done = subprocess.run(["bash", "job.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 75, done.stderr
        (tmp_path / "runs" / "mine").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / "mine" / "config.json").touch()
    first, second = (tmp_path / "calls").read_text().split("-m|")[1:]
    assert (
        first == "grpo.run|--config|my.yaml|--run-dir|runs/mine|--profile|gpu|--set|grpo.max_steps=3|--set|name=it's|"
    )
    assert second == "grpo.run|--resume|runs/mine|"
    assert (tmp_path / "requeued").read_text() == "requeue 7\nrequeue 7\n"
    head = [line for line in (tmp_path / "job.sh").read_text().splitlines() if line.startswith("#SBATCH")]
    assert "#SBATCH --requeue" in head and "#SBATCH --signal=B:TERM@300" in head


def test_kubernetes_when_read_then_it_is_a_job_that_fails_for_good_on_1_2_and_3():
    """YAML with the command as one argument of bash; what would fail again is not tried again."""
    job = yaml.safe_load(emit("kubernetes", "my.yaml", OVERRIDES, "gpu", "My_Run"))
    assert (job["apiVersion"], job["kind"], job["metadata"]["name"]) == ("batch/v1", "Job", "my-run")
    rule = job["spec"]["podFailurePolicy"]["rules"][0]
    assert rule["action"] == "FailJob" and rule["onExitCodes"]["values"] == [1, 2, 3]
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never" and pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    check_shell(pod["containers"][0]["args"][0])


def test_skypilot_and_ray_when_read_then_they_hold_the_command():
    """A task in YAML that recovers from 75; a job submission that bash can read, with its environment as JSON."""
    task = yaml.safe_load(emit("skypilot", "my.yaml", OVERRIDES, "gpu", "mine"))
    assert task["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
    check_shell(task["run"].split("\n", 1)[1])
    script = emit("ray", "my.yaml", OVERRIDES, "gpu", "mine")
    said = subprocess.run(
        ["bash", "-c", f'ray() {{ printf "%s\\n" "$@"; }}\n{script}'], capture_output=True, text=True, check=True
    )
    words = said.stdout.splitlines()
    assert words[:4] == ["job", "submit", "--submission-id", "mine"]
    assert json.loads(words[words.index("--runtime-env-json") + 1])["excludes"] == ["runs", ".venv"]
    check_shell(words[-1])


def check_shell(line):
    """The line is what bash takes apart into the run's words."""
    said = subprocess.run(
        ["bash", "-c", f'python() {{ printf "%s|" "$@"; }}\nexec() {{ "$@"; }}\n{line}'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--set|grpo.max_steps=3|--set|name=it's|" in said.stdout


def test_emit_when_asked_by_the_command_then_it_prints_and_needs_no_service(capsys):
    """`recompensa submit X --emit slurm` speaks to nobody; a name that cannot be that of a job is a line."""
    assert main(["v4_1.yaml", "--emit", "slurm"]) == 0
    assert "#SBATCH --job-name=v4-1" in capsys.readouterr().out
    with pytest.raises(UserError, match="not a name for a job"):
        emit("slurm", "x.yaml", name="a b")
