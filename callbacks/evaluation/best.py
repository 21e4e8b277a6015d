"""Which checkpoint is the best: the highest held-out mean among those in which no task has fallen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from callbacks.evaluation.task_scores import as_number, read_estimates
from rewards.statistics.estimates import ALL, Estimate


@dataclass(frozen=True, slots=True)
class BestVerdict:
    """What became of one evaluation: `fallen` names the tasks that kept it from being the best."""

    is_best: bool
    reason: str
    fallen: tuple[str, ...] = ()


class BestCheckpoint:
    """Keeps the best evaluation of a run.

    The warm-up is the baseline and the first best (step 0), so that a run which only did harm keeps what it started from.
    """

    def __init__(self, task_floor_margin: float = 0.0):
        self.task_floor_margin = task_floor_margin
        self.baseline: dict[str, Estimate] | None = None
        self.step: int | None = None
        self.estimates: dict[str, Estimate] = {}

    @property
    def mean(self) -> float | None:
        """The held-out mean of the best so far; None before the first evaluation."""
        return self.estimates[ALL].mean if ALL in self.estimates else None

    def start(self, estimates: Mapping[str, Estimate]) -> None:
        """Take the evaluation after the warm-up as baseline and as the best so far."""
        self.baseline = dict(estimates)
        self.step, self.estimates = 0, dict(estimates)

    def consider(
        self, step: int, estimates: Mapping[str, Estimate], paired: Mapping[str, Estimate] | None = None
    ) -> BestVerdict:
        """Judge the evaluation of a step and keep it when it is the best; on a tie the earlier one stays.

        `paired` holds, per task, the paired difference to the warm-up where the rewards per example are at hand.
        """
        mean = estimates[ALL].mean if ALL in estimates else None
        if mean is None:
            return BestVerdict(False, "nothing was scored")
        if self.mean is not None and mean <= self.mean:
            return BestVerdict(False, f"mean {mean:.3f} is not above {self.mean:.3f} of step {self.step}")
        fallen = find_fallen_tasks(self.baseline or {}, estimates, paired, self.task_floor_margin)
        if fallen:
            return BestVerdict(False, f"fallen below the warm-up: {', '.join(fallen)}", fallen)
        self.step, self.estimates = step, dict(estimates)
        return BestVerdict(True, f"mean {mean:.3f}")

    def replay(self, rows: Iterable[Mapping[str, object]]) -> BestCheckpoint:
        """Go through recorded metrics rows, as a resumed run and a report do; returns itself."""
        for row in rows:
            estimates = read_estimates(row)
            if ALL not in estimates:
                continue
            if row.get("stage") == "warmup":
                self.start(estimates)
            elif row.get("stage") != "before":
                self.consider(int(as_number(row.get("step")) or 0), estimates)
        return self


def find_fallen_tasks(
    baseline: Mapping[str, Estimate],
    current: Mapping[str, Estimate],
    paired: Mapping[str, Estimate] | None = None,
    margin: float = 0.0,
) -> tuple[str, ...]:
    """The tasks whose mean lies below the baseline by more than the interval and `margin`.

    With the paired difference of a task its interval must lie below -margin; else the mean must lie below the low end of
    the baseline's interval. A task without an interval falls with its mean.
    """
    fallen = []
    for task, before in baseline.items():
        after = current.get(task)
        if task == ALL or before.mean is None or after is None or after.mean is None:
            continue
        difference = (paired or {}).get(task)
        if difference is not None and difference.high is not None:
            has_fallen = difference.high < -margin
        else:
            has_fallen = after.mean < (before.mean if before.low is None else before.low) - margin
        if has_fallen:
            fallen.append(task)
    return tuple(fallen)
