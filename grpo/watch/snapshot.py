"""One look at the folder of a run: how far it is, its numbers, what they would decide, events and last completions."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import orjson

from callbacks.config import DecisionSection
from callbacks.decision.decision import OWN, RECIPE
from callbacks.decision.tree import choose_tree, decide
from callbacks.evaluation.best import BestCheckpoint
from callbacks.evaluation.history import Evaluation, read_evaluations, take_curve
from callbacks.evaluation.judged import FILE, find_judged
from callbacks.watch.watch import EVENTS_FILE
from grpo.decide.decide_run import read_schedule
from grpo.ladder import find_rung
from grpo.lifecycle.run_group import hint_group
from grpo.watch.task_rows import TaskRow, make_task_rows, mean_of
from rewards.errors import UserError
from rewards.statistics.estimates import ALL
from rewards.writing.files import read_object

STAGES = {
    "sft": "SFT warm-up",
    "grpo": "GRPO",
    "final": "final evaluation",
    "decision": "decision and report",
    "done": "done",
}
TRAINING_CURVES = (
    "reward",
    "completions/mean_length",
    "completions/clipped_ratio",
    "frac_reward_zero_std",
    "grad_norm",
    "entropy",
)
_RECENT_STEPS = 20
_SHOWN_EVENTS = 50
_LAST_BYTES = 4 << 20
"""Of the file of completions that was written last."""


@dataclass(frozen=True, slots=True)
class LiveCurve:
    """The values of a metric by step; `limit` is the threshold of the decision it is held against."""

    metric: str
    points: list[tuple[int, float]]
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class WarmupProgress:
    """How far the supervised warm-up is; `steps` is None where no plan says it, `seconds_left` are those of the warm-up alone."""

    step: int
    steps: int | None
    loss: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Snapshot:
    """What is known of a run now. `seconds_left` is None where it cannot be said; `silent_seconds` is how long ago the
    last number was written; `warmup` is None but while the warm-up runs; texts of completions and events are foreign and
    as they were stored."""

    run: str
    model: str
    profile: str | None
    stage: str
    step: int
    max_steps: int | None
    finished: bool
    stopped_by: str | None
    seconds_left: float | None
    seconds_planned: float | None
    silent_seconds: float | None
    warmup: WarmupProgress | None
    best_step: int | None
    evaluated: str
    curves: list[LiveCurve]
    tasks: list[TaskRow]
    decision: dict[str, Any]
    events: list[dict[str, Any]]
    completions: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class LiveRun:
    """Reads a run again and again; only what was added is read again."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{folder}: no such folder; give the folder of a run, such as runs/mine")
        if not any((self.folder / name).exists() for name in ("config.json", "metrics.jsonl")):
            told = hint_group(self.folder) or "; give the folder of a run"
            raise UserError(f"{folder}: no run there (neither config.json nor metrics.jsonl){told}")
        self._metrics = _Tail(self.folder / "metrics.jsonl")
        self._timings = _Tail(self.folder / "timings.jsonl")
        self._events = _Tail(self.folder / EVENTS_FILE)
        self._stored: tuple[tuple[str, int, int], list[dict[str, Any]]] = (("", 0, 0), [])
        self._tasks: tuple[int, list[TaskRow]] = (0, [])
        self._decided: tuple[tuple[int, bool], dict[str, Any]] = ((-1, False), {})

    def read(self, *, completions: int = 8) -> Snapshot:
        """The run as it is now, with at most this many of the completions that were stored last."""
        saved = read_object(self.folder / "config.json")
        settings = saved["config"] if isinstance(saved.get("config"), dict) else {}
        status, plan = read_object(self.folder / "status.json"), read_object(self.folder / "plan.json")
        rows = [row for row in self._metrics.read() if isinstance(row.get("step"), int)]
        evaluations = _read_evaluations(rows)
        train = [row for row in rows if row.get("stage", "train") == "train"]
        steps = (settings.get("grpo") or {}).get("max_steps")
        if steps is None or settings.get("stages") == ["sft"]:
            steps = plan.get("max_steps")  # all of it is SFT: what the plan counts
        step = max((row["step"] for row in train), default=0)
        finished = bool(status.get("finished"))
        stage = "done" if finished else str(status.get("stage") or ("grpo" if train else "sft"))
        section = _read_section(settings)
        model = settings.get("model") or {}
        return Snapshot(
            run=str(self.folder),
            model="embedded policy" if model.get("embedded") else str(model.get("name") or "unknown model"),
            profile=saved.get("profile"),
            stage=stage,
            step=step,
            max_steps=steps if isinstance(steps, int) else None,
            finished=finished,
            # A resumed run that has gone beyond the step it was stopped at is no longer a stopped one.
            stopped_by=None if finished or step > (status.get("step") or 0) else status.get("stopped_by"),
            seconds_left=0.0 if finished else estimate_seconds_left(self._timings.read(), step, steps, settings),
            seconds_planned=_dig(plan, "seconds_estimated", "total"),
            silent_seconds=self._silence(),
            warmup=self._measure_warmup(rows, plan) if stage == "sft" else None,
            best_step=_find_best(self.folder, rows),
            evaluated=_name_evaluation(evaluations[-1]) if evaluations else "",
            curves=_make_curves(train, evaluations, _find_limits(section, saved, evaluations)),
            tasks=self._make_task_rows(evaluations),
            decision=self._decide(rows, section, settings, saved),
            events=self._events.read()[-_SHOWN_EVENTS:],
            completions=self._read_completions(completions),
        )

    def _make_task_rows(self, evaluations: Sequence[Evaluation]) -> list[TaskRow]:
        """Kept until there is another evaluation: pairing reads two files."""
        if self._tasks[0] != len(evaluations):
            self._tasks = len(evaluations), make_task_rows(evaluations, self.folder / "eval")
        return self._tasks[1]

    def _measure_warmup(self, rows: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> WarmupProgress | None:
        """The last row the warm-up wrote, and its pace since the stage began."""
        row = next((row for row in reversed(rows) if isinstance(row.get("sft/step"), int)), None)
        if row is None:
            return None
        planned = plan.get("sft_warmup")
        steps = planned.get("steps") if isinstance(planned, dict) else None
        step, steps = row["sft/step"], steps if isinstance(steps, int) and steps > 0 else None
        left = None
        with suppress(OSError):
            began, ended = ((self.folder / name).stat().st_mtime for name in ("status.json", "metrics.jsonl"))
            evaluated = [row.get("evaluation_seconds") for row in self._timings.read() if row.get("stage") == "before"]
            trained = ended - began - sum(value for value in evaluated if isinstance(value, int | float))
            if steps is not None and step > 0 and trained > 0:
                left = max(0, steps - step) * trained / step
        loss = row.get("sft/loss")
        return WarmupProgress(step, steps, float(loss) if isinstance(loss, int | float) else None, left)

    def _silence(self) -> float | None:
        times = []
        for name in ("metrics.jsonl", "timings.jsonl", "status.json"):
            with suppress(OSError):
                times.append((self.folder / name).stat().st_mtime)
        return max(0.0, time.time() - max(times)) if times else None

    def _decide(
        self,
        rows: list[dict[str, Any]],
        section: DecisionSection,
        settings: Mapping[str, Any],
        saved: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The decision that was made, or the one that would be made if the run ended now."""
        made = read_object(self.folder / "decision.json")
        if made:
            return {**made, "final": True}
        key = (len(rows), False)
        if self._decided[0] != key:
            rung, next_rung = find_rung((settings.get("model") or {}).get("name"), saved.get("source"))
            decision = decide(
                rows,
                section,
                rung=rung,
                next_rung=next_rung,
                rehearsal=saved.get("profile") == "embedded",
                schedule=read_schedule(settings),
            )
            self._decided = key, {**decision.to_json(), "final": False}
        return self._decided[1]

    def _read_completions(self, count: int) -> list[dict[str, Any]]:
        """The completions of the file that was written last, one a task before a second of any."""
        files = []
        for path in [*self.folder.glob("completions/*.jsonl"), *self.folder.glob("eval/*.jsonl")]:
            with suppress(OSError):
                stat = path.stat()
                files.append((stat.st_mtime_ns, str(path), stat.st_size))
        if not files:
            return []
        changed, name, size = max(files)
        if self._stored[0] != (name, changed, size):
            self._stored = (name, changed, size), _read_last_lines(Path(name))
        return _spread(self._stored[1], count)


class _Tail:
    """The rows of a JSONL file that grows, or that was cut and goes on; a line without its end is left for later."""

    def __init__(self, path: Path):
        self._path = path
        self._rows: list[dict[str, Any]] = []
        self._offset = 0
        self._identity: tuple[int, bytes] = (0, b"")

    def read(self) -> list[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                number = _inode(file)
                file.seek(max(0, self._offset - 64))
                mark = file.read(self._offset - max(0, self._offset - 64))
                if (number, mark) != self._identity:
                    # A resumed run cuts the file and writes on: what stood there before no longer counts.
                    self._rows, self._offset = [], 0
                file.seek(self._offset)
                added = file.read()
                whole = added[: added.rfind(b"\n") + 1]
                self._rows += _parse(whole)
                self._offset += len(whole)
                file.seek(max(0, self._offset - 64))
                self._identity = number, file.read(self._offset - max(0, self._offset - 64))
        except OSError:
            self._rows, self._offset, self._identity = [], 0, (0, b"")
        return self._rows


def estimate_seconds_left(
    timings: Sequence[Mapping[str, Any]], step: int, max_steps: Any, settings: Mapping[str, Any]
) -> float | None:
    """Seconds to the end by the pace of the last steps and evaluations; None before the first step."""
    if not isinstance(max_steps, int):
        return None
    paces = [row["step_time"] for row in timings if isinstance(row.get("step_time"), int | float)][-_RECENT_STEPS:]
    if not paces:
        return None
    evaluations = [
        row["evaluation_seconds"] for row in timings if isinstance(row.get("evaluation_seconds"), int | float)
    ]
    every = (settings.get("evaluation") or {}).get("every_steps")
    left = 1 + ((max_steps - 1) // every - step // every if isinstance(every, int) and every > 0 else 0)
    pace = fmean(evaluations[-3:]) if evaluations else 0.0
    return max(0, max_steps - step) * fmean(paces) + max(0, left) * pace


def _find_limits(
    section: DecisionSection, saved: Mapping[str, Any], evaluations: Sequence[Evaluation]
) -> dict[str, float]:
    """The lines that held-out means are held against, by `all` or task; none where the run is held to its own start."""
    tree = choose_tree(section, rehearsal=saved.get("profile") == "embedded", evaluations=evaluations)
    if tree == OWN:
        return {} if section.target is None else {ALL: section.target}
    return {ALL: section.scale_at, **section.floors} if tree == RECIPE else {}


def _make_curves(
    train: Sequence[Mapping[str, Any]], evaluations: Sequence[Evaluation], limits: Mapping[str, float]
) -> list[LiveCurve]:
    trained = take_curve(evaluations)
    names = [ALL, *sorted({name for item in trained for name in item.estimates} - {ALL})]
    curves = []
    for name in names:
        means = {item.step: mean_of(item, name) for item in trained}
        points = sorted((step, mean) for step, mean in means.items() if mean is not None)
        metric = "eval/mean_reward" if name == ALL else f"eval/{name}"
        if points:
            curves.append(LiveCurve(metric, points, limits.get(name)))
    for metric in TRAINING_CURVES:
        points = [(row["step"], float(row[metric])) for row in train if isinstance(row.get(metric), int | float)]
        if points:
            curves.append(LiveCurve(metric, points))
    return curves


def _read_evaluations(rows: Sequence[Mapping[str, Any]]) -> list[Evaluation]:
    try:
        return read_evaluations(rows)
    except (ValueError, TypeError, ArithmeticError):  # a row no run of ours writes must not end a look at it
        return []


def _find_best(folder: Path, rows: Sequence[Mapping[str, Any]]) -> int | None:
    if (folder / FILE).is_file():
        return find_judged(folder).step
    with suppress(ValueError, TypeError, ArithmeticError, KeyError):
        return BestCheckpoint().replay(rows).step
    return None


def _name_evaluation(evaluation: Evaluation) -> str:
    names = {
        "before": "before training",
        "warmup": "after the warm-up",
        "final": f"at the end, step {evaluation.step}",
        "start": "the start of GRPO, on the rows reserved for the end",
        "judged": f"judged: step {evaluation.step}, estimated again",
    }
    return names.get(evaluation.stage, f"step {evaluation.step}")


def _read_section(settings: Mapping[str, Any]) -> DecisionSection:
    # Thresholds of another version of the config are no reason to show nothing.
    with suppress(ValueError):
        return DecisionSection.model_validate(settings.get("decision") or {})
    return DecisionSection()


def _spread(records: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    queues: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        queues.setdefault(str(record.get("task")), []).append(record)
    chosen: list[dict[str, Any]] = []
    for layer in range(max(map(len, queues.values()), default=0)):
        chosen += [queue[layer] for queue in queues.values() if layer < len(queue)]
        if len(chosen) >= count:
            break
    keys = ("stage", "step", "task", "id", "reward", "truncated", "completion", "reference")
    return [{key: record.get(key) for key in keys} for record in chosen[:count]]


def _read_last_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, of a large one those at its end."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LAST_BYTES))
            if size > _LAST_BYTES:
                file.readline()  # a part of a row
            return _parse(file.read(_LAST_BYTES))
    except OSError:
        return []


def _parse(text: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in text.splitlines():
        with suppress(ValueError):
            row = orjson.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows


def _inode(file: Any) -> int:
    return os.fstat(file.fileno()).st_ino


def _dig(value: Any, *keys: str) -> float | None:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) else None
