"""Scored completions turned into a mean, a count and a 95 % interval for all and for each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from statistics import NormalDist, fmean

from rewards.statistics.student import CONFIDENCE, t_quantile

ALL = "all"


_MEAN_KEY = "mean_reward"


_SUFFIXES = ("n", "std", "low", "high")


# What an evaluation row holds besides its tasks.
OTHER_METRICS = frozenset({"truncated_ratio", "unscored", "mean_length", "loss"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with what is known about its noise.

    `std` is the sample standard deviation (n - 1), `low` and `high` the ends of the 95 % interval. Each is None where it
    cannot be known: `mean` when n is 0, `std` when n is below 2, all but `mean` in a history that recorded only means.
    """

    mean: float | None
    n: int | None
    std: float | None
    low: float | None
    high: float | None

    @property
    def half_width(self) -> float | None:
        """How far the interval reaches from the mean to its farther end; None where there is no interval."""
        if self.mean is None or self.low is None or self.high is None:
            return None
        return max(self.mean - self.low, self.high - self.mean)


def summarise(values: Iterable[tuple[str, float | None]]) -> dict[str, Estimate]:
    """Estimates of (task, reward) pairs, under `all` and under each task, tasks in alphabetical order.

    A reward of None (nothing scored the completion) is left out of the means and of n. Raises ValueError for a reward
    that is not finite and for a task called `all`.
    """
    by_task: dict[str, list[float]] = defaultdict(list)
    every: list[float] = []
    for task, reward in values:
        if task == ALL:
            raise ValueError(f"a task may not be called {ALL!r}: that key holds the mean over all tasks")
        scored = by_task[task]
        if reward is None:
            continue
        if not isfinite(reward):
            raise ValueError(f"task {task!r}: the reward {reward} is not a finite number")
        scored.append(float(reward))
        every.append(float(reward))
    estimates = {ALL: estimate_mean(every), **{task: estimate_mean(by_task[task]) for task in sorted(by_task)}}
    return {**estimates, ALL: stratify(estimates)}


def stratify(estimates: Mapping[str, Estimate], lowest: float = 0.0, highest: float = 1.0) -> Estimate:
    """The estimate of `all` with the noise that is left when the shares of the tasks are fixed, as in held-out rows.

    How far the tasks lie from each other is no noise then: the variance is the weighted one within the tasks, its degrees
    of freedom Satterthwaite's. Returned as it is where a task has no n or std, no spread, or where the tasks do not add
    up to all rows.
    """
    whole = estimates[ALL]
    tasks = [item for name, item in estimates.items() if name != ALL and item.n != 0]
    known = [item for item in tasks if item.n is not None and item.n >= 2 and item.std]
    if whole.n is None or whole.mean is None or len(known) < max(2, len(tasks)) or sum(t.n for t in known) != whole.n:
        return whole
    parts = [(task.n / whole.n) ** 2 * task.std**2 / task.n for task in known]
    variance = sum(parts)
    if not variance:
        return whole
    # Shares rather than squares of variances, which may be too small for a float.
    freedom = 1 / sum((part / variance) ** 2 / (task.n - 1) for part, task in zip(parts, known, strict=True))
    half = t_quantile(max(1, int(freedom))) * sqrt(variance)
    return replace(
        whole,
        std=sqrt(variance * whole.n),
        low=max(lowest, whole.mean - half),
        high=min(highest, whole.mean + half),
    )


def paired_difference(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> Estimate:
    """The mean of after - before over the examples scored in both, paired by id; bounded to -1..1."""
    differences = [
        after[key] - reward for key, reward in before.items() if reward is not None and after.get(key) is not None
    ]
    return estimate_mean(differences, lowest=-1.0, highest=1.0)


def unpaired_difference(before: Estimate, after: Estimate) -> Estimate:
    """The difference after - before of two estimates whose examples cannot be paired (Welch's interval, -1..1).

    Wider than the paired one when both were measured on the same examples. Without n or std only the mean is known.
    """
    if before.mean is None or after.mean is None:
        return Estimate(None, None, None, None, None)
    mean = after.mean - before.mean
    if None in (before.n, before.std, after.n, after.std) or min(before.n, after.n) < 2:
        return Estimate(mean, None, None, None, None)
    n = min(before.n, after.n)
    variances = (before.std**2 / before.n, after.std**2 / after.n)
    total = sum(variances)
    if not all(variances):
        # A side whose values are all equal has an interval but no variance to enter Welch's formula.
        half = sqrt((before.half_width or 0.0) ** 2 + (after.half_width or 0.0) ** 2)
        return Estimate(mean, n, sqrt(total * n), max(-1.0, mean - half), min(1.0, mean + half))
    shares = [variance / total for variance in variances]
    freedom = 1 / sum(share**2 / (m - 1) for share, m in zip(shares, (before.n, after.n), strict=True))
    half = t_quantile(max(1, int(freedom))) * sqrt(total)
    return Estimate(mean, n, sqrt(total * n), max(-1.0, mean - half), min(1.0, mean + half))


def estimate_mean(values: Sequence[float], lowest: float = 0.0, highest: float = 1.0) -> Estimate:
    """Mean and 95 % t-interval of values that can only lie in lowest..highest.

    Where all n values are equal the t-interval would have no width and claim certainty; there the interval is the one
    of Clopper and Pearson for a value never seen in n draws: 1 - 0.025^(1/n) of the way to each bound.
    """
    n = len(values)
    if n == 0:
        return Estimate(None, 0, None, None, None)
    mean = fmean(values)
    if n == 1:
        return Estimate(mean, 1, None, lowest, highest)
    std = sqrt(fmean([(value - mean) ** 2 for value in values]) * n / (n - 1)) if len(set(values)) > 1 else 0.0
    return interval_of(mean, n, std, lowest, highest)


def interval_of(mean: float, n: int, std: float, lowest: float = 0.0, highest: float = 1.0) -> Estimate:
    """The estimate that belongs to a recorded mean, n (at least 2) and std."""
    if std == 0.0:
        unseen = 1.0 - ((1.0 - CONFIDENCE) / 2.0) ** (1.0 / n)
        low, high = mean - unseen * (mean - lowest), mean + unseen * (highest - mean)
    else:
        half = t_quantile(n - 1) * std / sqrt(n)
        low, high = max(lowest, mean - half), min(highest, mean + half)
    return Estimate(mean, n, std, low, high)


def evaluation_metrics(estimates: Mapping[str, Estimate]) -> dict[str, float | int | None]:
    """The metric keys of one evaluation row: `eval/mean_reward`, `eval/<task>` and each with _n, _std, _low, _high.

    Raises ValueError when the names of two tasks would share a key.
    """
    row: dict[str, float | int | None] = {}
    for name, estimate in estimates.items():
        key = f"eval/{_MEAN_KEY if name == ALL else name}"
        cells = {key: estimate.mean, **{f"{key}_{suffix}": getattr(estimate, suffix) for suffix in _SUFFIXES}}
        shared = sorted(row.keys() & cells.keys())
        if shared:
            raise ValueError(f"task {name!r}: its metric {shared[0]!r} is already another task's; rename one of them")
        row.update(cells)
    return row


def read_estimates(row: Mapping[str, object]) -> dict[str, Estimate]:
    """The estimates in a recorded metrics row, the reverse of `evaluation_metrics`; empty when it is no evaluation.

    n and std may be missing; an interval that was not recorded is computed where n and std were.
    """
    estimates: dict[str, Estimate] = {}
    for key, mean in row.items():
        if not key.startswith("eval/") or isinstance(mean, bool) or not isinstance(mean, int | float | None):
            continue
        base, _, suffix = key.rpartition("_")
        if suffix in _SUFFIXES and base in row:
            continue
        name = key.removeprefix("eval/")
        if f"{key}_n" not in row and ("/" in name or name in OTHER_METRICS):
            continue
        n, std, low, high = (row.get(f"{key}_{suffix}") for suffix in _SUFFIXES)
        n = int(n) if isinstance(n, int | float) else None
        known = mean is not None and n is not None and n >= 2 and std is not None
        if known and (low is None or high is None):
            estimate = interval_of(float(mean), n, float(std))
        else:
            estimate = Estimate(mean, n, std, low, high)
        estimates[ALL if name == _MEAN_KEY else name] = estimate
    return estimates


def examples_to_decide(estimate: Estimate, margin: float, limit: int = 1_000_000) -> int | None:
    """How many more examples would bring the 95 % interval clear of a threshold `margin` away, if mean and std stay.

    0 when it is clear already; None when it cannot be said (no n or std, no margin, or more than `limit`).
    """
    if estimate.n is None or not estimate.std or not margin:
        return None
    normal = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0)
    if normal * estimate.std > abs(margin) * sqrt(limit):
        return None
    needed = max(2, int((normal * estimate.std / margin) ** 2))
    while t_quantile(needed - 1) * estimate.std / sqrt(needed) >= abs(margin):
        needed += max(1, needed // 200)
    return max(0, needed - estimate.n)
