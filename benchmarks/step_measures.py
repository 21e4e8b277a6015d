"""What the tables of a step are made of: seconds of its parts, the machine's best product, memory in a process of its own."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.step_trainers import build_trainer

PARTS = ("generation", "scoring", "loss")


def run_step(name: str, setting: dict) -> tuple[dict, dict]:
    """Seconds of the parts of one step and of the whole, its optimiser included; tokens it had."""
    counts = {}

    def count(inputs):
        prompts = inputs["prompt_mask"].sum(1)[:: setting["group"]]
        counts["prompts"] = max(counts.get("prompts", 0), int(prompts.sum()))
        counts["completions"] = counts.get("completions", 0) + int(inputs["completion_mask"].sum())

    with tempfile.TemporaryDirectory() as directory:
        trainer = build_trainer(name, setting, directory, 1)
        trainer.before_loss = count
        clock = time_steps(trainer)
        trainer.train()
    return {part: trainer.seconds[part] for part in PARTS} | {"step": clock[0]}, counts


def time_steps(trainer) -> list[float]:
    """A list that grows by the seconds of each step."""
    from transformers import TrainerCallback

    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            self.start = time.perf_counter()

        def on_step_end(self, *args, **kwargs):
            seconds.append(time.perf_counter() - self.start)

    trainer.add_callback(Clock())
    return seconds


def measure_matmul() -> float:
    """GFLOP/s of the best of a few products of two square float32 matrices, by MKL or by oneDNN."""
    import torch

    from grpo.policy.packed_products import has_onednn, multiply

    a, best = torch.randn(1536, 1536), math.inf
    for product in (torch.matmul, *([multiply] if has_onednn() else [])):
        for _ in range(8):
            start = time.perf_counter()
            product(a, a)
            best = min(best, time.perf_counter() - start)
    return 2 * 1536**3 / best / 1e9


def run_alone(what: str, setting: dict, threads: int) -> dict:
    """What `step.py --measure` says of a setting, in a process of its own."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("step.py")),
        "--threads",
        str(threads),
        "--measure",
        json.dumps(setting),
    ]
    # Freed memory goes back to the system at once, so that the peak of a part is its own.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    if run.returncode:
        raise SystemExit(f"{what} of {setting} failed:\n{run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def measure_memory(setting: dict) -> dict:
    """MiB that a step and its loss (with backward) add to this process at most; Linux."""
    with tempfile.TemporaryDirectory() as directory:
        # A tiny step loads all code, and its gradients and moments stay.
        tiny = setting | {"group": 2, "completion": 2, "prompt": 30, "micro": 2}
        build_trainer(setting["trainer"], tiny, directory, 1).train()
        trainer = build_trainer(setting["trainer"], setting, directory, 1)
        start = reset_peak()
        seen = {}

        def before(inputs):
            seen["generation"] = resident("VmHWM")
            seen["start"] = reset_peak()

        trainer.before_loss = before
        step = trainer.training_step

        def training_step(*args, **kwargs):
            loss = step(*args, **kwargs)
            seen["loss"] = resident("VmHWM")
            return loss

        trainer.training_step = training_step
        trainer.train()
    loss = seen["loss"] - seen["start"]
    return {"loss_mib": loss, "step_mib": max(seen["generation"], seen["loss"]) - min(start, seen["start"])}


def reset_peak() -> float:
    """Count the highest resident memory from here; what there is now, in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(field: str) -> float:
    """The present (VmRSS) or the highest (VmHWM) resident memory of this process in MiB; Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"{field}: not in /proc/self/status; this measure needs Linux")
