"""What the folder of a run holds, read for the report; a missing or broken piece is noted and does not stop it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from callbacks.evaluation.best import BestCheckpoint
from callbacks.evaluation.history import Evaluation, read_evaluations, take_curve
from callbacks.evaluation.judged import JUDGED, JudgedCheckpoint, find_judged
from grpo.lifecycle.run_group import hint_group
from rewards.errors import UserError
from rewards.writing.secrets import redact, redact_text

Record = Mapping[str, Any]
RECORD_BYTES = 32 << 20
"""Of one file of completions, whose rows are held together; of a larger one rows are taken evenly."""


@dataclass
class RunFiles:
    """The pieces of a run; `notes` says in a line each what was not there or could not be read.

    `records` holds the stored completions of `before`, `warmup` and `final`, and of the last stored step of training
    under `train`. `ended` names where those of `final` come from: the last evaluation on the way, in a run that has not
    finished.
    """

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    profile: str | None = None
    source: str | None = None
    overrides: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    decision: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    sft_baseline: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    timings: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    watched: bool = False
    evaluations: list[Evaluation] = field(default_factory=list)
    records: dict[str, Sequence[Record]] = field(default_factory=dict)
    ended: str = "final"
    best: BestCheckpoint = field(default_factory=BestCheckpoint)
    judged: JudgedCheckpoint | None = None
    stored_completions: int = 0
    has_next_config: bool = False
    notes: list[str] = field(default_factory=list)

    def find_evaluation(self, stage: str) -> Evaluation | None:
        """The evaluation of `before`, `warmup` or `final`; None when it was not made."""
        return next((item for item in self.evaluations if item.stage == stage), None)

    @property
    def last_step(self) -> int:
        """The last step of GRPO that left a number; 0 before the first."""
        return max((row["step"] for row in self.metrics if row["stage"] in ("train", "final")), default=0)


def read_run(folder: Path | str, *, completions: bool = True) -> RunFiles:
    """Read a run, without its completions where they are not wanted.

    Raises UserError when the folder is none or holds nothing of a run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a run, such as runs/mine")
    if not any((folder / name).exists() for name in ("config.json", "metrics.jsonl", "plan.json")):
        told = hint_group(folder) or "; give the folder of a run"
        raise UserError(f"{folder}: no run there (neither config.json nor metrics.jsonl){told}")
    run = RunFiles(folder)
    # Whatever wrote these files: a key that stands in one of them must not stand in a page that is passed on.
    saved = redact(_read_object(run, "config.json", "the settings are not shown"))
    # A bare config is read too: config.json of a run holds it beside where it came from.
    run.config = saved["config"] if isinstance(saved.get("config"), dict) else saved
    run.profile, run.source = (saved[key] if isinstance(saved.get(key), str) else None for key in ("profile", "source"))
    run.overrides = [redact_text(str(item)) for item in as_list(saved.get("overrides"))]
    run.environment = redact(_read_object(run, "environment.json", "versions and device are not known"))
    run.plan = _read_object(run, "plan.json", "there is no plan to compare with")
    run.audit = _read_object(run, "audit.json", "there is no audit to show")
    run.decision = _read_object(run, "decision.json", "no decision was made")
    run.status = _read_object(run, "status.json", "whether the run finished is not known")
    run.sft_baseline = _read_object(run, "sft_baseline.json")
    run.metrics = [clean_row(row) for row in _read_rows(run, "metrics.jsonl", "there are no numbers")]
    run.timings = [clean_row(row) for row in _read_rows(run, "timings.jsonl", "times are not known")]
    run.watched = (folder / "watch.jsonl").is_file()
    run.events = [row for row in _read_rows(run, "watch.jsonl") if isinstance(row.get("rule"), str)]
    run.evaluations = read_evaluations(run.metrics)
    margin = as_mapping(run.config.get("evaluation")).get("task_floor_margin")
    run.best.task_floor_margin = margin if is_number(margin) else 0.0
    run.judged = find_judged(folder)
    if run.judged.stage == JUDGED:
        # It was chosen with more than numbers; they are those it was chosen by.
        run.best.step = run.judged.step
        chosen = [item for item in take_curve(run.evaluations) if item.step == run.judged.step]
        run.best.estimates = dict(chosen[-1].estimates) if chosen else {}
    else:
        run.best.replay(run.metrics)
    if completions:
        _read_records(run)
        run.stored_completions = _count_stored(folder)
    run.has_next_config = (folder / "next_config.yaml").is_file()
    if not run.evaluations:
        run.notes.append("metrics.jsonl has no evaluation: there is no learning curve")
    return run


def clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of numbers: `stage` a string and `step` a whole number, all else finite numbers; what is neither is left out."""
    step = row.get("step")
    return {
        # A mean of null is not a number, but says that its n, std and interval are not tasks of their own.
        **{
            str(key): value for key, value in row.items() if is_number(value) or (value is None and "eval/" in str(key))
        },
        "stage": row["stage"] if isinstance(row.get("stage"), str) else "train",
        "step": int(step) if is_number(step) else 0,
    }


def is_number(value: Any) -> TypeGuard[float]:
    """Whether this is a finite number that arithmetic may be done with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _read_records(run: RunFiles) -> None:
    """Stored completions of the evaluations before, after the warm-up and at the end, and of the last training step."""
    anew = run.judged is not None and run.judged.stage == JUDGED and run.judged.step and run.judged.evaluation
    kept = "start" if anew and (run.folder / "eval" / "start.jsonl").is_file() else "warmup"
    # What is shown as the start and the end are the policies that the decision is about.
    files = {"before": "before", "warmup": kept, "final": JUDGED if anew else "final"}
    for name, file in files.items():
        missing = "its completions are not shown" if name == "warmup" else ""
        run.records[name] = _read_rows(run, f"eval/{file}.jsonl", missing, most_bytes=RECORD_BYTES)
    if not run.records["final"]:
        on_the_way = sorted(run.folder.glob("eval/step-*.jsonl"))
        if on_the_way:
            run.ended = on_the_way[-1].stem
            run.records["final"] = _read_rows(run, f"eval/{run.ended}.jsonl", most_bytes=RECORD_BYTES)
            run.notes.append(f"eval/final.jsonl is missing: the completions at the end are those of {run.ended}")
        else:
            run.notes.append("eval/final.jsonl is missing: its completions are not shown")
    trained = sorted(run.folder.glob("completions/step-*.jsonl"))
    last = f"completions/{trained[-1].name}" if trained else ""
    run.records["train"] = _read_rows(run, last, most_bytes=RECORD_BYTES) if last else []


def _read_object(run: RunFiles, name: str, missing: str = "") -> dict[str, Any]:
    try:
        value = _parse((run.folder / name).read_bytes())
    except OSError:
        if missing:
            run.notes.append(f"{name} is missing: {missing}")
        return {}
    except (ValueError, RecursionError):
        run.notes.append(f"{name} is not JSON and was left out")
        return {}
    if not isinstance(value, dict):
        run.notes.append(f"{name} holds no object and was left out")
        return {}
    return value


def _read_rows(run: RunFiles, name: str, missing: str = "", *, most_bytes: int | None = None) -> list[dict[str, Any]]:
    try:
        lines, every = _take_lines(run.folder / name, most_bytes)
    except OSError:
        if missing:
            run.notes.append(f"{name} is missing: {missing}")
        return []
    if every > 1:
        run.notes.append(f"{name} is large: of its rows one in {every} is looked at")
    rows, broken = [], 0
    for line in lines:
        try:
            row = _parse(line)
        except (ValueError, RecursionError):
            broken += 1
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            broken += 1
    if broken:
        run.notes.append(f"{name}: {broken} of {len(lines)} lines could not be read and were left out")
    return rows


def _take_lines(path: Path, most_bytes: int | None) -> tuple[list[bytes], int]:
    """The lines of a file that are not empty, and 1; of one that is larger than so many bytes one line in every so many."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        every = 1 if most_bytes is None else max(1, -(-size // most_bytes))
        return [line.rstrip(b"\n") for line in islice(file, 0, None, every) if line.strip()], every


def _parse(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        # Half of a surrogate pair, and NaN, are refused by orjson though other writers of JSON Lines leave them.
        return json.loads(text)


def _count_stored(folder: Path) -> int:
    count = 0
    for path in [*folder.glob("completions/*.jsonl"), *folder.glob("eval/*.jsonl")]:
        last = b"\n"
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    count += block.count(b"\n")
                    last = block
        except OSError:
            continue
        count += not last.endswith(b"\n")
    return count
