"""One trackio run: metrics, stored completions as its traces, alerts; on this machine, or in a Space where one is named."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callbacks.config import TrackingSection
from callbacks.tracking.curves import name_curve
from callbacks.tracking.rows import read_records
from rewards.writing.writable import make_writable

_TRACES = 64
"""Completions of one stored step that are shown; all of them lie in the run directory."""

_LONGEST = 8000


def start_trackio(section: TrackingSection, run_name: str, config: Mapping[str, Any]) -> TrackioBackend:
    """Start the run, or continue with the one of this name; raises what trackio raises.

    The Run itself is kept and called: trackio's own `log` finds it by a context that another thread does not have.
    """
    import trackio

    with contextlib.redirect_stdout(io.StringIO()):  # its banner would stand between two progress bars
        run = trackio.init(
            project=section.project,
            name=run_name,
            config=make_writable(dict(config))[0],
            resume="allow",
            space_id=os.environ.get("TRACKIO_SPACE_ID") or None,
            server_url=os.environ.get("TRACKIO_SERVER_URL") or None,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
    place = os.environ.get("TRACKIO_SPACE_ID") or f"trackio show --project {section.project}"
    return TrackioBackend(run, place)


class TrackioBackend:
    """Steps are GRPO's; a completion is a trace of its messages with reward, advantage, group and each function's score."""

    name = "trackio"
    delivered = None

    def __init__(self, run: Any, place: str):
        self.place = place
        self._run = run

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        self._run.log({name_curve(key, stage): float(value) for key, value in row.items()}, step=self._axis(row, step))

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        import trackio

        for at, record in enumerate(read_records(path)[:_TRACES]):
            kind = "training" if "advantage" in record else "evaluation"
            prompt = record.get("prompt")
            turns = prompt if isinstance(prompt, list) else []
            messages = [{"role": str(turn["role"]), "content": str(turn["content"])[:_LONGEST]} for turn in turns]
            messages.append({"role": "assistant", "content": str(record.get("completion", ""))[:_LONGEST]})
            trace = trackio.Trace(messages=make_writable(messages)[0], metadata=describe_record(record, stage))
            self._run.log({f"completions/{kind}/{at}": trace}, step=step)

    def alert(self, title: str, text: str, level: str, stage: str, step: int) -> None:
        import trackio

        kind = trackio.AlertLevel.ERROR if level == "stop" else trackio.AlertLevel.WARN
        self._run.alert(title=title, text=text, level=kind)

    def log_files(self, paths: list[Path], name: str) -> None:
        """Nothing: the report and its like are in the run directory."""

    def close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._run.finish()

    def _axis(self, row: Mapping[str, float], step: int) -> int:
        return int(row.get("sft/step", step))


def describe_record(record: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """What stands beside a trace: numbers to sort by, the reference, and why each function said what it did."""
    scores = record.get("scores") if isinstance(record.get("scores"), Mapping) else {}
    described: dict[str, Any] = {
        "stage": stage, "id": record.get("id"), "task": record.get("task"), "reward": record.get("reward"),
        "truncated": record.get("truncated"), "reference": str(record.get("reference") or "")[:_LONGEST],
    }  # fmt: skip
    for key, name in (("group", "group_id"), ("advantage", "advantage")):
        if key in record:
            described[name] = record[key]
    for name, score in scores.items():  # type: ignore[union-attr]
        if isinstance(score, Mapping):
            described[f"rewards/{name}"] = score.get("value")
            if score.get("reason"):
                described[f"reason/{name}"] = str(score["reason"])[:500]
    return make_writable(described)[0]
