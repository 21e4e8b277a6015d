"""How the completions of an evaluation ended, task by task: how many were cut off at the limit or in a loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rewards.statistics.estimates import ALL


class TaskEndings(NamedTuple):
    """Of `completions` answers the `truncated` ones, and the `repeated` among those: ended because they looped."""

    completions: int
    truncated: int
    repeated: int

    def describe(self) -> str:
        """Their shares in a few characters: `12 %`, or `12 % (4 % in loops)`."""
        said = f"{self.truncated / self.completions:.0%}".replace("%", " %")
        loops = f"{self.repeated / self.completions:.0%}".replace("%", " %")
        return f"{said} ({loops} in loops)" if self.repeated else said


def count_endings(completions: Iterable[tuple[str, bool, bool]]) -> dict[str, TaskEndings]:
    """The endings under `all` and each task, in alphabetical order, of (task, truncated, repeated); empty for none."""
    counts: dict[str, list[int]] = {}
    for task, truncated, repeated in completions:
        for name in {ALL, task}:
            count = counts.setdefault(name, [0, 0, 0])
            count[0] += 1
            count[1] += truncated
            count[2] += repeated
    return {name: TaskEndings(*counts[name]) for name in sorted(counts, key=lambda name: (name != ALL, name))}
