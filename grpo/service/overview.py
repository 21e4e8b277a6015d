"""The runs of a folder as a list shows them: state, step, time left, memory, and how far the decision is from turning."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grpo.lifecycle.run_directory import read_peak_memory
from grpo.lifecycle.run_lock import FILE as RUN_LOCK
from grpo.service.ledger import QueuedRun
from grpo.service.queue import RunQueue
from grpo.watch.snapshot import LiveRun, Snapshot
from rewards.errors import RecompensaError

SILENT_SECONDS = 180.0
"""A run that was started by hand counts as living while it wrote something this lately, where no lock says more."""

_KEPT_SUMMARIES = 512
_KEPT_READERS = 4
_WATCHED_FILES = ("config.json", "status.json", "metrics.jsonl", "timings.jsonl", "watch.jsonl", "decision.json")
_RUN_NAME = re.compile(r"[^./\x00-\x1f][^/\x00-\x1f]{0,199}\Z")
_LIVING_BY_HAND = ("running",)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in the list. `state` is a state of the queue, or for a run started by hand running, done, stopped or
    interrupted; while the warm-up runs `warmup_step` says how far it is and `seconds_left` is its own; `margin` how far the nearest question of the decision is from its threshold.
    """

    id: str
    state: str
    stage: str = ""
    step: int = 0
    max_steps: int | None = None
    warmup_step: int | None = None
    warmup_steps: int | None = None
    warmup_loss: float | None = None
    seconds_left: float | None = None
    memory_bytes: int | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    scenario: str | None = None
    margin: float | None = None
    margin_of: str | None = None
    final: bool = False
    model: str = ""
    profile: str | None = None
    best_step: int | None = None
    events: int = 0
    reason: str = ""
    queued: bool = False
    group: str | None = None
    after: str | None = None
    priority: int = 0
    slot: int | None = None
    tries: int = 0
    exit_code: int | None = None
    created: float | None = None
    has_report: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Overview:
    """Reads the runs of the queue's folder; a run that has not changed is not read again."""

    def __init__(self, queue: RunQueue):
        self.queue, self.root = queue, queue.root
        self._lock = threading.Lock()
        self._summaries: OrderedDict[str, tuple[tuple[Any, ...], RunSummary]] = OrderedDict()
        self._readers: OrderedDict[str, LiveRun] = OrderedDict()

    def list(self) -> list[RunSummary]:
        """Every run, the newest first."""
        queued = {run.id: run for run in self.queue.ledger.list()}
        names = {
            path.name for path in self.root.iterdir() if is_run_name(path.name) and (path / "config.json").is_file()
        }
        found = [self._summarise(name, queued.get(name)) for name in {*names, *queued}]
        return sorted(found, key=lambda run: (-(run.created or 0.0), run.id))

    def find(self, id: str) -> RunSummary | None:
        """One run by its name; None where there is none."""
        if not is_run_name(id):
            return None
        queued = self.queue.ledger.find(id)
        if queued is None and not (self.root / id / "config.json").is_file():
            return None
        return self._summarise(id, queued)

    def read(self, id: str) -> Snapshot | None:
        """All that is known of a run; None where its folder is not there yet."""
        folder = self.root / id
        if not (folder / "config.json").is_file():
            return None
        with self._lock:
            reader = self._readers.pop(id, None) or LiveRun(folder)
            self._readers[id] = reader
            while len(self._readers) > _KEPT_READERS:
                self._readers.popitem(last=False)
            return reader.read(completions=0)

    def _summarise(self, id: str, queued: QueuedRun | None) -> RunSummary:
        signature = (_sign(self.root / id), queued)
        kept = self._summaries.get(id)
        living_by_hand = queued is None and kept is not None and kept[1].state in _LIVING_BY_HAND
        if kept is not None and kept[0] == signature and not living_by_hand:
            return kept[1]
        summary = self._make(id, queued)
        with self._lock:
            self._summaries[id] = signature, summary
            self._summaries.move_to_end(id)
            while len(self._summaries) > _KEPT_SUMMARIES:
                self._summaries.popitem(last=False)
        return summary

    def _make(self, id: str, queued: QueuedRun | None) -> RunSummary:
        snapshot = None
        with suppress(RecompensaError, OSError):
            snapshot = self.read(id)
        folder = self.root / id
        values: dict[str, Any] = {"id": id, "state": queued.state if queued else _find_state(snapshot, self.root / id)}
        if queued is not None:
            values |= {
                "queued": True, "group": queued.group, "after": queued.after, "priority": queued.priority, "slot": queued.slot,
                "tries": queued.tries, "exit_code": queued.exit_code, "reason": queued.reason, "created": queued.created,
            }  # fmt: skip
        else:
            with suppress(OSError):
                values["created"] = (folder / "config.json").stat().st_mtime
        if snapshot is not None:
            values |= describe_snapshot(snapshot)
            values["has_report"] = (folder / "report.html").is_file()
            values["memory_bytes"] = read_peak_memory(folder)
        return RunSummary(**values)


def describe_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """What of a snapshot stands in the list."""
    row = snapshot.tasks[0] if snapshot.tasks else None
    margin, of = find_margin(snapshot.decision)
    warmup = snapshot.warmup
    return {
        "stage": snapshot.stage,
        "step": snapshot.step,
        "max_steps": snapshot.max_steps,
        "warmup_step": warmup.step if warmup else None,
        "warmup_steps": warmup.steps if warmup else None,
        "warmup_loss": warmup.loss if warmup else None,
        "seconds_left": warmup.seconds_left if warmup else snapshot.seconds_left,
        "mean": row.mean if row else None,
        "low": row.low if row else None,
        "high": row.high if row else None,
        "scenario": _name_scenario(snapshot.decision),
        "final": bool(snapshot.decision.get("final")),
        "margin": margin,
        "margin_of": of,
        "model": snapshot.model,
        "profile": snapshot.profile,
        "best_step": snapshot.best_step,
        "events": len(snapshot.events),
    }


def find_margin(decision: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """The smallest margin on the decision's path, and the question it belongs to: the answer that would turn first."""
    nodes = [
        (abs(node["margin"]), node["margin"], str(node.get("name") or ""))
        for node in decision.get("path") or ()
        if isinstance(node, Mapping) and isinstance(node.get("margin"), int | float)
    ]
    return min(nodes)[1:] if nodes else (None, None)


def _name_scenario(decision: Mapping[str, Any]) -> str | None:
    """A, B or C, or ? where it is open; None where there is no decision."""
    scenario = decision.get("scenario")
    return None if not decision.get("path") and not scenario else scenario if scenario in ("A", "B", "C") else "?"


def is_run_name(name: str) -> bool:
    """Whether a text can be the name of a folder of a run here: one step down, and none of the service's own."""
    return _RUN_NAME.match(name) is not None


def _find_state(snapshot: Snapshot | None, folder: Path) -> str:
    if snapshot is None:
        return "interrupted"
    if snapshot.finished:
        return "done"
    if snapshot.stopped_by:
        return "stopped"
    held = is_held(folder / RUN_LOCK)
    if held is not None:
        return "running" if held else "interrupted"
    silent = snapshot.silent_seconds
    return "running" if silent is not None and silent < SILENT_SECONDS else "interrupted"


def is_held(lock: Path) -> bool | None:
    """Whether a process holds this lock, without touching it; None where that cannot be told.

    Whoever tried to take it, if only to look, could be in the way of a run that begins at that moment.
    """
    try:
        number = lock.stat().st_ino
        return any(f":{number} " in line for line in Path("/proc/locks").read_text().splitlines())
    except OSError:
        return None


def _sign(folder: Path) -> tuple[Any, ...]:
    signs: list[Any] = []
    for name in _WATCHED_FILES:
        try:
            stat = (folder / name).stat()
            signs.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            signs.append(None)
    return tuple(signs)
