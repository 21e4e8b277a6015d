"""`recompensa plan --measure`: two real steps of a config on this machine, what they took, and go or no go."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from grpo.data.run_rows import RunRows
from grpo.plan.plan import Plan
from rewards.screen.amounts import format_seconds, format_size
from rewards.screen.harmless_text import make_harmless
from rewards.siblings import command_words
from rewards.types import Example
from rewards.writing.files import read_object

STEPS = 2
TIGHT = 0.95
"""Share of the device's memory from which a longer batch than those measured would not fit."""

_ANSWERED = 16
"""Held-out rows that the measured evaluations answer."""

_SHOWN = 3


@dataclass
class Measurement:
    """What two steps took. Seconds of the second step, as the first one warms up; None where a stage is not trained."""

    sft_step_seconds: float | None = None
    grpo_step_seconds: float | None = None
    evaluation_row_seconds: float | None = None
    peak_bytes: int | None = None
    device_bytes: int | None = None
    free_disk_bytes: int | None = None
    total_seconds: float | None = None
    estimated_seconds: float | None = None
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def goes(self) -> bool:
        """Whether nothing stands against the run."""
        return not self.refusals

    def to_json(self) -> dict[str, Any]:
        """Seconds and bytes as numbers, null where not measured."""
        return {
            "go": self.goes,
            "refusals": self.refusals,
            "notes": self.notes,
            "sft_step_seconds": self.sft_step_seconds,
            "grpo_step_seconds": self.grpo_step_seconds,
            "evaluation_row_seconds": self.evaluation_row_seconds,
            "peak_bytes": self.peak_bytes,
            "device_bytes": self.device_bytes,
            "free_disk_bytes": self.free_disk_bytes,
            "total_seconds": self.total_seconds,
            "estimated_seconds": self.estimated_seconds,
        }

    def lines(self) -> list[str]:
        """The measurement as a person reads it, the verdict last."""
        shown = []
        if self.sft_step_seconds is not None:
            shown.append(f"an SFT step took {self.sft_step_seconds:.2f} s")
        if self.grpo_step_seconds is not None:
            shown.append(f"a GRPO step took {self.grpo_step_seconds:.2f} s")
        if self.evaluation_row_seconds is not None:
            shown.append(f"a held-out answer took {self.evaluation_row_seconds:.3f} s")
        if self.peak_bytes is not None:
            of = f" of {format_size(self.device_bytes)}" if self.device_bytes else ""
            shown.append(f"peak memory {format_size(self.peak_bytes)}{of}")
        if self.total_seconds is not None:
            planned = f"; the plan estimated {format_seconds(self.estimated_seconds)}" if self.estimated_seconds else ""
            shown.append(f"the whole run takes about {format_seconds(self.total_seconds)}{planned}")
        shown += [f"note: {note}" for note in self.notes]
        return [*shown, *(f"no go: {refusal}" for refusal in self.refusals), *(["go"] if self.goes else [])]


def measure_plan(
    plan: Plan, inputs: RunRows, words: Sequence[str], *, most_hours: float | None = None, folder: Path | None = None
) -> Measurement:
    """Start the config of `words` (as `recompensa run` takes them) for two steps a stage in a folder that is thrown away.

    Half of its rows are the longest there are, for memory; half are spread over the file, for time. `folder` is where a run
    would be written, whose free space counts.
    """
    with tempfile.TemporaryDirectory(prefix="recompensa-measure-") as temporary:
        place = Path(temporary)
        settings = _shorten(plan, inputs, place)
        options = [part for setting in settings for part in ("--set", setting)]
        done = subprocess.run(
            command_words("run", *words, *options, "--run-dir", str(place / "run"), "--quiet"),
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        found = read_measurement(place / "run", plan, len(inputs.held_out))
        found.free_disk_bytes = shutil.disk_usage(folder or Path.cwd()).free
        stopped = read_object(place / "run" / "status.json").get("stopped_by")
    if done.returncode == 3 and stopped:
        found.refusals.append(f"watch rule {stopped} stopped it within {STEPS} steps")
    elif done.returncode != 0:
        said = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("error:")] or said[-_SHOWN:]
        found.refusals += [make_harmless(line.removeprefix("error: "), 400) for line in errors[:_SHOWN]]
        found.total_seconds = None
    judge(found, plan, most_hours)
    return found


def judge(found: Measurement, plan: Plan, most_hours: float | None) -> None:
    """Add to a measurement what stands against the run, and what to know of it."""
    if found.peak_bytes and found.device_bytes and found.peak_bytes > TIGHT * found.device_bytes:
        found.refusals.append(
            f"memory: {format_size(found.peak_bytes)} of {format_size(found.device_bytes)} leave no room; lower "
            "grpo.micro_batch_size or grpo.max_completion_length, or set model.gradient_checkpointing"
        )
    if plan.disk_bytes and found.free_disk_bytes is not None and plan.disk_bytes > found.free_disk_bytes:
        found.refusals.append(
            f"disk: about {format_size(plan.disk_bytes)} are needed and {format_size(found.free_disk_bytes)} are free"
        )
    if most_hours is not None and found.total_seconds is not None and found.total_seconds > most_hours * 3600:
        found.refusals.append(
            f"time: about {format_seconds(found.total_seconds)}, and --max-hours allows {most_hours:g} h"
        )
    if found.total_seconds and found.estimated_seconds and found.total_seconds > 3 * found.estimated_seconds:
        found.notes.append("it takes more than three times what the plan estimated: look whether the machine is busy")
    if plan.sft_steps and plan.config.trains_grpo:
        found.notes.append(
            "GRPO was measured after two steps of SFT: answers that learn to end early make its steps shorter"
        )


def read_measurement(run: Path, plan: Plan, held_out: int) -> Measurement:
    """What the folder of a run of two steps says it took, and what the whole run of the plan will take by it."""
    rows = _read_timings(run / "timings.jsonl")
    found = Measurement(device_bytes=plan.device.memory_bytes if not plan.device_is_reference else None)
    steps = [row["step_time"] for row in rows if row.get("stage") == "train" and "step_time" in row]
    found.grpo_step_seconds = round(steps[-1], 4) if steps else None
    warm_up = [row["step_seconds"] for row in rows if row.get("stage") == "warmup" and row.get("step_seconds")]
    found.sft_step_seconds = round(warm_up[-1], 4) if warm_up else None
    answered = min(held_out, _ANSWERED)
    evaluations = [row["evaluation_seconds"] for row in rows if "evaluation_seconds" in row]
    found.evaluation_row_seconds = round(max(evaluations[-2:]) / answered, 4) if evaluations and answered else None
    found.peak_bytes = max((row["peak_memory_bytes"] for row in rows if "peak_memory_bytes" in row), default=None)
    found.estimated_seconds = round(plan.duration.total, 1) if plan.duration else None
    if (steps or not plan.config.trains_grpo) and (warm_up or not plan.sft_steps) and evaluations:
        asked = min(held_out, plan.config.evaluation.max_examples or held_out)
        found.total_seconds = round(
            plan.sft_steps * (found.sft_step_seconds or 0.0)
            + (plan.config.grpo.max_steps * (found.grpo_step_seconds or 0.0) if plan.config.trains_grpo else 0.0)
            + plan.evaluations * asked * (found.evaluation_row_seconds or 0.0),
            1,
        )
    return found


def _shorten(plan: Plan, inputs: RunRows, place: Path) -> list[str]:
    """The settings of two steps a stage, over the rows that are measured."""
    config = plan.config
    settings = [
        f"grpo.max_steps={STEPS}", f"grpo.save_every_steps={STEPS}", "evaluation.every_steps=1000000",
        f"evaluation.max_examples={_ANSWERED}", "evaluation.kept_examples=0", "tracking.wandb=off",
    ]  # fmt: skip
    if config.sft_warmup.enabled:
        settings += [f"sft_warmup.max_steps={STEPS}", "sft_warmup.held_out_rows=2"]
    if config.model.embedded is not None:
        return settings  # its tokenizer is made of the rows: other rows would be another policy
    written = {
        "data.train": _choose(inputs.train, STEPS * config.grpo.prompts_per_step),
        "data.held_out": _choose(inputs.held_out, _ANSWERED),
    }
    if config.sft_warmup.enabled:
        written["sft_warmup.data"] = _choose(inputs.warmup, STEPS * config.sft_warmup.batch_size)
    settings += ["data.source=files", "data.hub=null", "data.task_column=null"]
    for key, rows in written.items():
        path = place / f"{key}.jsonl"
        path.write_bytes(b"".join(_as_row(example) + b"\n" for example in rows))
        settings.append(f"{key}={json.dumps(str(path))}")
    return settings


def _choose(rows: Sequence[Example], wanted: int) -> list[Example]:
    """The longest half of what is wanted, and the rest spread over the file."""
    longest = sorted(range(len(rows)), key=lambda at: -_length(rows[at]))[: math.ceil(wanted / 2)]
    rest = sorted(set(range(len(rows))) - set(longest))
    count = min(wanted - len(longest), len(rest))
    spread = [rest[index * len(rest) // count] for index in range(count)]
    return [rows[at] for at in sorted((*longest, *spread))]


def _length(example: Example) -> int:
    return sum(len(str(turn.get("content") or "")) for turn in example.prompt) + len(example.reference or "")


def _as_row(example: Example) -> bytes:
    row = {**example.columns, "id": example.id, "task": example.task, "prompt": [dict(turn) for turn in example.prompt]}
    return orjson.dumps({**row, "reference": example.reference}, default=str)


def _read_timings(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [orjson.loads(line) for line in path.read_bytes().splitlines() if line.strip()]
    except (OSError, ValueError):
        return []
