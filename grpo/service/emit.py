"""The same run as a submission to what schedules machines: a Slurm script, a SkyPilot task, a Ray job, a Kubernetes Job."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from rewards.errors import UserError

_SECONDS_TO_CHECKPOINT = 300
_IMAGE = "REGISTRY/recompensa:VERSION"


def emit(
    target: str, config: str, overrides: Sequence[str] = (), profile: str = "auto", name: str | None = None
) -> str:
    """A submission of this run for `target`: slurm, skypilot, ray or kubernetes.

    Each starts the run, or continues with it where its folder is there already, so that a machine that is taken away costs no
    more than the steps since the last checkpoint. UserError for a name that cannot be that of a job.
    """
    name = name or re.sub(r"[^a-z0-9\-]+", "-", Path(config).stem.lower()).strip("-") or "run"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,62}", name):
        raise UserError(f"--name {name}: not a name for a job; use letters, digits, '.', '_' and '-', at most 63")
    writers: dict[str, Callable[[str, str], str]] = {
        "slurm": _slurm, "skypilot": _skypilot, "ray": _ray, "kubernetes": _kubernetes,
    }  # fmt: skip
    return writers[target](name, _start_or_resume(name, config, overrides, profile))


def _start_or_resume(name: str, config: str, overrides: Sequence[str], profile: str) -> str:
    """One line of shell; a run whose folder is whole already is resumed."""
    run = f"runs/{name}"
    words = ["--config", config, "--run-dir", run, "--profile", profile]
    for override in overrides:
        words += ["--set", override]
    start = f"python -m grpo.run {shlex.join(words)}"
    resume = f"python -m grpo.run --resume {shlex.quote(run)}"
    return f"if [ -f {shlex.quote(run)}/config.json ]; then exec {resume}; else exec {start}; fi"


def _slurm(name: str, line: str) -> str:
    return f"""#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=24:00:00
#SBATCH --output={name}-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
# SIGTERM so long before the limit: the run finishes its step, saves a checkpoint and ends with 75.
#SBATCH --signal=B:TERM@{_SECONDS_TO_CHECKPOINT}
cd "$SLURM_SUBMIT_DIR" || exit 1
[ -f .venv/bin/activate ] && . .venv/bin/activate
bash -c {shlex.quote(line)} &
run=$!
trap 'kill -TERM $run' TERM
wait $run; code=$?
# A trapped signal ends the first wait; the run's own exit code comes with the second.
while kill -0 $run 2>/dev/null; do wait $run; code=$?; done
if [ $code -eq 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code
"""


def _skypilot(name: str, line: str) -> str:
    return f"""# sky jobs launch {name}.yaml    (a managed job: it is started again where its machine was taken away)
name: {name}
resources:
  accelerators: L4:1
  job_recovery:
    max_restarts_on_errors: 3
    recover_on_exit_codes: [75]
workdir: .
file_mounts:
  /runs:
    name: recompensa-runs
    store: s3
    mode: MOUNT_CACHED
setup: |
  pip install torch==2.13.0 && pip install 'recompensa[train]'
run: |
  ln -sfn /runs runs
  {line}
"""


def _ray(name: str, line: str) -> str:
    inner = shlex.quote(line)
    return f"""#!/bin/bash
# The working folder goes along; runs/ has to lie where every node sees it.
set -euo pipefail
ray job submit --submission-id {shlex.quote(name)} --working-dir . --entrypoint-num-gpus 1 \\
  --runtime-env-json '{{"pip": ["recompensa[train]"], "excludes": ["runs", ".venv"]}}' \\
  -- bash -c {inner}
"""


def _kubernetes(name: str, line: str) -> str:
    label = re.sub(r"[^a-z0-9\-]+", "-", name.lower()).strip("-")
    quoted = line.replace("'", "''")
    return f"""# kubectl apply -f {label}.yaml    (the image holds recompensa[train]; the claim keeps runs/)
apiVersion: batch/v1
kind: Job
metadata:
  name: {label}
  labels: {{app: recompensa, run: {label}}}
spec:
  backoffLimit: 10
  podFailurePolicy:
    rules:
      # 1 failed, 2 refused, 3 stopped by a watch rule: trying again would give the same. 75 is started again.
      - action: FailJob
        onExitCodes: {{containerName: run, operator: In, values: [1, 2, 3]}}
  template:
    metadata:
      labels: {{app: recompensa, run: {label}}}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {_SECONDS_TO_CHECKPOINT}
      containers:
        - name: run
          image: {_IMAGE}
          workingDir: /train
          command: [bash, -c]
          args:
            - '{quoted}'
          resources:
            limits: {{nvidia.com/gpu: 1, memory: 64Gi, cpu: "8"}}
          volumeMounts:
            - {{name: runs, mountPath: /train/runs}}
      volumes:
        - name: runs
          persistentVolumeClaim: {{claimName: recompensa-runs}}
"""
