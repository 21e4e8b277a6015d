"""Stage 2 of the TMF921 recipe: the weak layers of the last evaluation, and the rows that train on them with a replay."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from rewards.errors import UserError
from rewards.statistics.estimates import Estimate, estimate_mean
from rewards.types import Example

FEW = 8
"""Rows below which a layer's mean says too little to call it weak, where others have more."""


def find_weak(estimates: Mapping[str, Estimate], *, below: float | None = None, count: int = 3) -> list[str]:
    """The tasks whose mean lies below `below`, or the `count` lowest, worst first; those that nothing was scored of are left out."""
    means = {name: each.mean for name, each in estimates.items() if name != "all" and each.mean is not None}
    ordered = sorted(means, key=lambda name: (means[name], name))
    return ordered[:count] if below is None else [name for name in ordered if (means[name] or 0.0) < below]


def choose_weak(estimates: Mapping[str, Estimate], count: int) -> list[str]:
    """The `count` lowest among the layers with enough rows to tell, worst first; among all where none has."""
    telling = {name: each for name, each in estimates.items() if (each.n or 0) >= FEW}
    return find_weak(telling or estimates, count=count)


def find_last_evaluation(run: Path) -> Path:
    """The stored answers of a run's last evaluation: of the checkpoint it is judged by, else of its last step."""
    judged = run / "eval" / "judged.jsonl"
    return judged if judged.is_file() else run / "eval" / "final.jsonl"


def read_estimates(path: Path) -> dict[str, Estimate]:
    """The mean reward of each task of an evaluation's stored completions; `UserError` where it has none."""
    values: dict[str, list[float]] = defaultdict(list)
    try:
        for line in path.read_bytes().splitlines():
            row = orjson.loads(line)
            if isinstance(row.get("reward"), int | float):
                values[str(row.get("task"))].append(float(row["reward"]))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give a run that has its final evaluation"
        ) from None
    except (ValueError, AttributeError):
        raise UserError(f"{path}: a line is not a stored completion; give the folder of a run") from None
    if not values:
        raise UserError(f"{path}: no rewards; give a run that has its final evaluation")
    return {name: estimate_mean(found) for name, found in sorted(values.items())}


def choose_stage_2(rows: Sequence[Example], weak: Sequence[str], replay: float, seed: int) -> list[Example]:
    """All rows of the weak tasks and so many of the others that these are the share `replay`, shuffled."""
    tasks = {row.task for row in rows}
    unknown = [name for name in weak if name not in tasks]
    if unknown:
        raise UserError(
            f"data.tmf921.weak: no training row is of {', '.join(unknown)}; there are {', '.join(sorted(tasks))}"
        )
    chosen = [row for row in rows if row.task in weak]
    others = [row for row in rows if row.task not in weak]
    rng = random.Random(f"{seed}/replay")
    wanted = min(len(others), round(replay / (1 - replay) * len(chosen)))
    mixed = chosen + rng.sample(others, wanted)
    rng.shuffle(mixed)
    return mixed
