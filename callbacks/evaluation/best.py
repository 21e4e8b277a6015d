"""Which checkpoint is the best: the highest held-out mean among those that beat the start beyond noise and lost no task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import stdev

from callbacks.evaluation.task_scores import as_number, read_estimates
from rewards.statistics.changes import Change, adjust, paired_change, stratified_change, t_p
from rewards.statistics.estimates import ALL, Estimate, pair_by_task

LEVEL = 0.05
"""The chance that some evaluation of a run in which nothing changed takes the start's place."""
Rewards = Mapping[tuple[str, str], float | None]
"""The rewards of one evaluation by (task, id)."""


@dataclass(frozen=True, slots=True)
class BestVerdict:
    """The verdict on one evaluation: `fallen` names the tasks whose regression kept it from being the best."""

    is_best: bool
    reason: str
    fallen: tuple[str, ...] = ()


class BestCheckpoint:
    """Keeps the best evaluation of a run.

    The start (the warm-up, step 0) is the first best, so that a run which only did harm keeps what it began with.
    `looks` is how many evaluations the run is going to make: the more looks, the likelier one of them shines by chance.
    """

    def __init__(self, task_floor_margin: float = 0.0, looks: int = 1):
        self.task_floor_margin, self.looks = task_floor_margin, max(1, looks)
        self.baseline: dict[str, Estimate] | None = None
        self.step: int | None = None
        self.estimates: dict[str, Estimate] = {}
        self._start: Rewards | None = None
        self._latest: Rewards | None = None

    @property
    def mean(self) -> float | None:
        """The held-out mean of the best so far; None before the first evaluation."""
        return self.estimates[ALL].mean if ALL in self.estimates else None

    def start(self, estimates: Mapping[str, Estimate], rewards: Rewards | None = None) -> None:
        """Take the evaluation after the warm-up as baseline and as the best so far."""
        self.baseline = dict(estimates)
        self.step, self.estimates = 0, dict(estimates)
        self._start = self._latest = rewards

    def consider(self, step: int, estimates: Mapping[str, Estimate], rewards: Rewards | None = None) -> BestVerdict:
        """Judge the evaluation of a step and keep it when it is the best; on a tie the earlier one stays.

        With the rewards of both evaluations by example it must beat the start beyond their paired noise, and no task may
        have fallen beyond its own, each corrected for the number of looks (and of tasks). Without them, as in histories
        of numbers alone, the means and their intervals decide.
        """
        self._latest = rewards
        mean = estimates[ALL].mean if ALL in estimates else None
        if mean is None:
            return BestVerdict(False, "nothing was scored")
        if self.mean is not None and mean <= self.mean:
            return BestVerdict(False, f"mean {mean:.3f} is not above {self.mean:.3f} of step {self.step}")
        strata = pair_by_task(self._start, rewards) if self._start is not None and rewards is not None else {}
        if strata:
            gain = stratified_change(strata)
            if _p_of_a_gain(gain) * self.looks > LEVEL:
                return BestVerdict(False, f"{gain.mean:+.3f} over the start is within the noise of {self.looks} looks")
            fallen = find_paired_falls(strata, self.task_floor_margin, self.looks)
        else:
            fallen = find_fallen_tasks(self.baseline or {}, estimates, None, self.task_floor_margin)
        if fallen:
            return BestVerdict(False, f"fallen below the warm-up: {', '.join(fallen)}", fallen)
        self.step, self.estimates = step, dict(estimates)
        return BestVerdict(True, f"mean {mean:.3f}")

    def measure_noise(self, rewards: Rewards) -> float | None:
        """The standard error of one evaluation's mean on the same rows; None without an earlier one.

        It is that of the paired change from the previous evaluation, divided by the square root of two.
        """
        values = [value for values in pair_by_task(self._latest or {}, rewards).values() for value in values]
        if len(values) < 2:
            return None
        return stdev(values) / sqrt(2.0 * len(values))

    def replay(
        self, rows: Iterable[Mapping[str, object]], find_rewards: Callable[[str, int], Rewards | None] | None = None
    ) -> BestCheckpoint:
        """Go through recorded metrics rows, as a resumed run and a report do; returns itself.

        `find_rewards(stage, step)` gives the rewards of an evaluation by example, None where they were not kept.
        """
        for row in rows:
            estimates = read_estimates(row)
            if ALL not in estimates:
                continue
            stage, step = str(row.get("stage", "train")), int(as_number(row.get("step")) or 0)
            rewards = find_rewards(stage, step) if find_rewards is not None else None
            if stage == "warmup":
                self.start(estimates, rewards)
            elif stage in ("train", "final"):
                self.consider(step, estimates, rewards)
        return self


def count_looks(max_steps: int, every_steps: int) -> int:
    """How many evaluations a run makes after its start, the last one included."""
    return max(1, -(-max_steps // every_steps))


def find_paired_falls(
    strata: Mapping[str, list[float]], margin: float = 0.0, looks: int = 1, level: float = LEVEL
) -> tuple[str, ...]:
    """The tasks whose paired change lies below -margin: one-sided, Holm's correction over tasks, Bonferroni's over looks."""
    changes = {task: paired_change(values) for task, values in strata.items() if values}
    ps = [_p_of_a_fall(change, margin) for change in changes.values()]
    adjusted = adjust(ps, "holm")
    return tuple(task for task, p in zip(changes, adjusted, strict=True) if p is not None and p * looks <= level)


def _p_of_a_gain(change: Change) -> float:
    """The one-sided p of no gain."""
    p = change.p if change.p is not None else 1.0
    return p / 2 if change.mean > 0 else 1.0 - p / 2


def _p_of_a_fall(change: Change, margin: float) -> float:
    """The one-sided p of a change that is not below -margin."""
    p = change.p_beyond(-margin)
    p = 1.0 if p is None else p
    return p / 2 if change.mean < -margin else 1.0 - p / 2


def _p_of_a_fall_by_t(change: Estimate, margin: float) -> float | None:
    """The one-sided p of a paired change that is not below -margin; None where its noise was not recorded."""
    if change.mean is None or change.std is None or change.n is None or change.n < 2:
        return None
    if not change.std:
        return 0.0 if change.mean < -margin else 1.0
    p = t_p((change.mean + margin) / change.std * sqrt(change.n), change.n - 1)
    return p / 2 if change.mean < -margin else 1.0 - p / 2


def find_fallen_tasks(
    baseline: Mapping[str, Estimate],
    current: Mapping[str, Estimate],
    paired: Mapping[str, Estimate] | None = None,
    margin: float = 0.0,
) -> tuple[str, ...]:
    """The tasks whose mean lies below the baseline by more than the interval and `margin`.

    With the paired difference of a task its interval must lie below -margin, and its one-sided p must hold after Holm's
    correction over the tasks; else the mean must lie below the low end of the baseline's interval. A task without an
    interval falls with its mean.
    """
    fallen = []
    tasks = [task for task, each in (paired or {}).items() if task != ALL and each.mean is not None]
    adjusted = adjust([_p_of_a_fall_by_t((paired or {})[task], margin) for task in tasks], "holm")
    ps = dict(zip(tasks, adjusted, strict=True))
    for task, before in baseline.items():
        after = current.get(task)
        if task == ALL or before.mean is None or after is None or after.mean is None:
            continue
        difference = (paired or {}).get(task)
        if difference is not None and difference.high is not None:
            p = ps.get(task)
            has_fallen = difference.high < -margin and (p is None or p <= LEVEL)
        else:
            has_fallen = after.mean < (before.mean if before.low is None else before.low) - margin
        if has_fallen:
            fallen.append(task)
    return tuple(fallen)
