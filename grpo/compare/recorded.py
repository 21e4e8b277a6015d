"""Recorded runs as a comparison sees them: rows, cells, groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rewards.statistics.changes import Cell

ALL = "all"
REWARD = "reward"
SPLIT_COLUMNS = ("split", "target_layer")
CROSSED = " x ".join(SPLIT_COLUMNS)
"""The columns of a row, beside its task, by whose values a run is also looked at."""
KINDS = ("task", *SPLIT_COLUMNS)
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty", "max_completion_length", "samples")
OFF_UNLESS_RECORDED = ("stop_repetition",)
"""Settings that are recorded only where they are on."""
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One example as a run answered it: metrics (means over its samples), the groups it belongs to, two fingerprints."""

    values: Mapping[str, float]
    groups: tuple[str, ...]
    question: str
    answer: str


@dataclass
class RecordedRun:
    """One run of a comparison: `rows` by (task, id), or only `cells` by (group, metric) if nothing else was kept.

    A group is `all`, or a kind and a value such as `task:push`. `versions` and `settings` are None if they were not
    recorded; `rewards` is what the config says about the reward functions. For a run's folder, `recipe` is a hash of
    its config without the seed, `seed` that seed, and `trained` whether its policy took at least one training step;
    None for anything else.
    """

    name: str
    place: str
    rows: dict[Key, Row] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    versions: dict[str, str] | None = None
    rewards: Any = None
    settings: dict[str, Any] | None = None
    unscored: int = 0
    recipe: str | None = None
    seed: int | None = None
    trained: bool | None = None

    def metrics(self) -> list[str]:
        """All metrics, the reward first."""
        found = sorted({metric for _, metric in self.cells})
        return sorted(found, key=lambda name: name != REWARD)

    def groups(self) -> list[str]:
        """`all`, then tasks, splits and layers."""
        order = {kind: place for place, kind in enumerate(KINDS)}
        found = dict.fromkeys(group for group, _ in self.cells)
        return sorted(found, key=lambda group: (group != ALL, order.get(kind_of(group), len(order))))

    def members(self, group: str, metric: str) -> dict[Key, float]:
        """The values of a metric by example, of the examples of a group that have one."""
        return {
            key: row.values[metric]
            for key, row in self.rows.items()
            if metric in row.values and (group == ALL or group in row.groups)
        }


def are_seeds(first: RecordedRun, other: RecordedRun) -> bool:
    """Whether two runs are the same recipe with different seeds, as far as they recorded it."""
    return first.recipe is not None and first.recipe == other.recipe and first.seed != other.seed


def kind_of(group: str) -> str:
    """The kind of a group: `task` for `task:push`, `all` for `all`."""
    return group.partition(":")[0]
