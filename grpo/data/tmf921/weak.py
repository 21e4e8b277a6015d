"""Stage 2 of the TMF921 recipe: the weak layers of the last evaluation, and the rows that train on them with a replay."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from rewards.errors import UserError
from rewards.statistics.estimates import Estimate
from rewards.types import Example


def find_weak(estimates: Mapping[str, Estimate], *, below: float | None = None, count: int = 3) -> list[str]:
    """The tasks whose mean lies below `below`, or the `count` lowest, worst first; those that nothing was scored of are left out."""
    means = {name: each.mean for name, each in estimates.items() if name != "all" and each.mean is not None}
    ordered = sorted(means, key=lambda name: (means[name], name))
    return ordered[:count] if below is None else [name for name in ordered if (means[name] or 0.0) < below]


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
