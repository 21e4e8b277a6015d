"""What the folder of a run holds, read for the report; a missing or broken piece is noted and does not stop it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from callbacks.best import BestCheckpoint
from callbacks.history import Evaluation, read_evaluations
from rewards.errors import UserError

Record = Mapping[str, Any]


@dataclass
class RunFiles:
    """The pieces of a run; `notes` says in a line each what was not there or could not be read."""

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
    evaluations: list[Evaluation] = field(default_factory=list)
    records: dict[str, list[Record]] = field(default_factory=dict)
    best: BestCheckpoint = field(default_factory=BestCheckpoint)
    stored_completions: int = 0
    has_next_config: bool = False
    notes: list[str] = field(default_factory=list)

    def find_evaluation(self, stage: str) -> Evaluation | None:
        """The evaluation of `before`, `warmup` or `final`; None when it was not made."""
        return next((item for item in self.evaluations if item.stage == stage), None)


def read_run(folder: Path | str) -> RunFiles:
    """Read a run; raises UserError when the folder is none or holds nothing of a run."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a run, such as runs/mine")
    if not any((folder / name).exists() for name in ("config.json", "metrics.jsonl", "plan.json")):
        raise UserError(f"{folder}: no run there (neither config.json nor metrics.jsonl); give the folder of a run")
    run = RunFiles(folder)
    saved = _read_object(run, "config.json", "the settings are not shown")
    # A bare config is read too: config.json of a run holds it beside where it came from.
    run.config = saved["config"] if isinstance(saved.get("config"), dict) else saved
    run.profile, run.source = saved.get("profile"), saved.get("source")
    run.overrides = [str(item) for item in saved.get("overrides") or []]
    run.environment = _read_object(run, "environment.json", "versions and device are not known")
    run.plan = _read_object(run, "plan.json", "there is no plan to compare with")
    run.audit = _read_object(run, "audit.json", "there is no audit to show")
    run.decision = _read_object(run, "decision.json", "no decision was made")
    run.status = _read_object(run, "status.json", "whether the run finished is not known")
    run.sft_baseline = _read_object(run, "sft_baseline.json")
    run.metrics = _read_rows(run, "metrics.jsonl", "there are no numbers")
    run.timings = _read_rows(run, "timings.jsonl", "times are not known")
    run.evaluations = read_evaluations(row for row in run.metrics if isinstance(row.get("step"), int))
    run.best.task_floor_margin = float((run.config.get("evaluation") or {}).get("task_floor_margin") or 0.0)
    run.best.replay(row for row in run.metrics if isinstance(row.get("step"), int))
    for name in ("before", "warmup", "final"):
        missing = "" if name == "before" else "its completions are not shown"
        run.records[name] = _read_rows(run, f"eval/{name}.jsonl", missing)
    run.stored_completions = _count_stored(folder)
    run.has_next_config = (folder / "next_config.yaml").is_file()
    if not run.evaluations:
        run.notes.append("metrics.jsonl has no evaluation: there is no learning curve")
    if run.status and not run.status.get("finished"):
        run.notes.append("the run has not finished: everything here is as far as it came")
    return run


def _read_object(run: RunFiles, name: str, missing: str = "") -> dict[str, Any]:
    try:
        value = orjson.loads((run.folder / name).read_bytes())
    except OSError:
        if missing:
            run.notes.append(f"{name} is missing: {missing}")
        return {}
    except ValueError:
        run.notes.append(f"{name} is not JSON and was left out")
        return {}
    if not isinstance(value, dict):
        run.notes.append(f"{name} holds no object and was left out")
        return {}
    return value


def _read_rows(run: RunFiles, name: str, missing: str = "") -> list[dict[str, Any]]:
    try:
        lines = (run.folder / name).read_bytes().splitlines()
    except OSError:
        if missing:
            run.notes.append(f"{name} is missing: {missing}")
        return []
    rows, broken = [], 0
    for line in lines:
        try:
            row = orjson.loads(line)
        except ValueError:
            broken += 1
            continue
        if isinstance(row, dict):
            rows.append(row)
        else:
            broken += 1
    if broken:
        run.notes.append(f"{name}: {broken} of {len(lines)} lines could not be read and were left out")
    return rows


def _count_stored(folder: Path) -> int:
    count = 0
    for path in [*folder.glob("completions/*.jsonl"), *folder.glob("eval/*.jsonl")]:
        with path.open("rb") as file:
            count += sum(1 for _ in file)
    return count
