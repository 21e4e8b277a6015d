"""A reward function together with what a run adds to it: weight, tasks, and where it is called."""

from __future__ import annotations

from dataclasses import dataclass

from rewards.host.calls import is_async
from rewards.types import RewardFunction


@dataclass(frozen=True, slots=True)
class WeightedFunction:
    """A function as a run uses it; an `isolated` one is called in a separate process that can be killed."""

    function: RewardFunction
    weight: float = 1.0
    tasks: tuple[str, ...] | None = None
    isolated: bool = False
    plugin: str = ""
    distribution: str = ""
    path: str | None = None

    @property
    def beside(self) -> bool:
        """Whether it is called beside the functions of this process rather than row by row with them."""
        return self.isolated or bool(self.function.together) or is_async(self.function)

    def applies_to(self, task: str) -> bool:
        """Whether it scores completions of this task; no tasks means all."""
        tasks = self.function.tasks if self.tasks is None else self.tasks
        return not tasks or task in tasks
