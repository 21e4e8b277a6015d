"""The judged checkpoint of a run: the one that its decision, report, comparison, evaluation and export all refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from callbacks.evaluation.best import BestCheckpoint
from callbacks.evaluation.pairs import name_evaluation_file
from rewards.writing.files import read_object

JUDGED = "judged"
"""The stage, and the name of the file in eval/, of the fresh estimate of the best checkpoint."""
FILE = "judged.json"


@dataclass(frozen=True, slots=True)
class JudgedCheckpoint:
    """Which policy of a run is meant.

    `step` is the GRPO step, 0 for what GRPO began with. `stage` is the evaluation it is judged by. `weights` is the folder
    of its weights: None where it is the untrained model itself, or where nothing was kept. `anew` says that it was
    estimated on random numbers that had no part in choosing it; in runs of earlier versions it was not.
    """

    step: int
    stage: str
    weights: Path | None
    evaluation: Path | None
    anew: bool

    @property
    def name(self) -> str:
        """The name under which it is shown everywhere."""
        return f"step {self.step}" if self.step else "step 0 (before GRPO)"

    def to_json(self) -> dict[str, Any]:
        """The judged checkpoint as judged.json holds it."""
        return {"step": self.step, "stage": self.stage, "name": self.name, "estimated_anew": self.anew}


def find_judged(folder: Path | str) -> JudgedCheckpoint:
    """The judged checkpoint of a run's folder.

    It is written down once the run has chosen it. In a run that has not come so far, or that an earlier version made, it
    is what the folder's best/ holds, by the metrics.
    """
    folder = Path(folder)
    noted = read_object(folder / FILE)
    step = noted.get("step")
    if isinstance(step, int) and not isinstance(step, bool):
        stage, anew = JUDGED, noted.get("estimated_anew") is not False
    else:
        step, stage = _replay(folder)
        anew = False
    evaluation = folder / "eval" / name_evaluation_file(stage, step)
    weights = folder / ("best" if step else "sft")
    return JudgedCheckpoint(
        step, stage, weights if weights.is_dir() else None, evaluation if evaluation.is_file() else None, anew
    )


def note_judged(step: int, *, seed: int) -> Mapping[str, Any]:
    """What judged.json says of a checkpoint that was just estimated again with this seed."""
    return {"step": step, "estimated_anew": True, "seed": seed}


def _replay(folder: Path) -> tuple[int, str]:
    """The step in best/ of a run that did not write it down, and the stage of its evaluation."""
    try:
        lines = (folder / "metrics.jsonl").read_bytes().splitlines()
        rows = [row for line in lines if line.strip() and isinstance(row := orjson.loads(line), dict)]
    except (OSError, ValueError):
        rows = []
    noted = read_object(folder / "best" / "policy.json").get("step")
    replayed = BestCheckpoint().replay(rows).step or 0 if (folder / "best").is_dir() else 0
    step = noted if isinstance(noted, int) and not isinstance(noted, bool) else replayed
    ends = any(row.get("stage") == "final" and row.get("step") == step for row in rows)
    return step, "warmup" if not step else "final" if ends else "train"
