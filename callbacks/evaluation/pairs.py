"""Two stored evaluations compared example by example."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from rewards.statistics.estimates import Estimate, paired_differences


def name_evaluation_file(stage: str, step: int) -> str:
    """The file in eval/ that an evaluation is stored in."""
    return f"step-{step:06d}.jsonl" if stage == "train" else f"{stage}.jsonl"


def pair_evaluations(before: Path, after: Path) -> dict[str, Estimate]:
    """Paired differences after - before of two stored evaluations, for all and for each task; empty when one is missing."""
    rewards = [read_rewards(path) for path in (before, after)]
    if not all(rewards):
        return {}
    return paired_differences(*rewards)


def reader_of_rewards(folder: Path) -> Callable[[str, int], dict[tuple[str, str], float | None] | None]:
    """What gives the rewards of an evaluation that is stored in `folder`, by its stage and step; None where it is not."""
    return lambda stage, step: read_rewards(folder / name_evaluation_file(stage, step)) or None


def read_rewards(path: Path) -> dict[tuple[str, str], float | None]:
    """Rewards of a stored evaluation by (task, id); empty when there is no such file."""
    try:
        with path.open("rb") as file:  # of many long texts one is held at a time
            rows: Iterable[Mapping[str, Any]] = (orjson.loads(line) for line in file if line.strip())
            return {(row["task"], row["id"]): row["reward"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
