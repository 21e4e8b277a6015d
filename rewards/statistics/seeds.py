"""Several seeds of one recipe: mean and interquartile mean with a bootstrap over seeds, probability of improvement.

After Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", and its library rliable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from random import Random
from statistics import fmean, stdev

from rewards.statistics.estimates import NOTHING, Estimate
from rewards.statistics.student import t_quantile

Scores = Mapping[str, Sequence[float]]
"""By task the score of every seed."""
REPEATS = 2000
FEWEST = 5
"""Seeds below which an interval over seeds says little (Agarwal et al.)."""
MEASURED_SD = 0.0155
"""Standard deviation over six seeds of the embedded recipe of their final held-out means."""


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter (`int(n / 4)` of each), as scipy's trim_mean(0.25)."""
    cut = len(values) // 4
    return fmean(sorted(values)[cut : len(values) - cut])


def mean_of_scores(scores: Scores) -> float:
    """The mean over seeds and tasks, every task with the same weight."""
    return fmean(fmean(values) for values in scores.values())


def iqm_of_scores(scores: Scores) -> float:
    """The interquartile mean over all pairs of seed and task."""
    return interquartile_mean([value for values in scores.values() for value in values])


def bootstrap(
    statistic: Callable[..., float], *sides: Scores, repeats: int = REPEATS, seed: int = 0, confidence: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of a statistic where the seeds of each task, of each side, are drawn anew (stratified)."""
    random = Random(seed)
    found = sorted(
        statistic(*({task: random.choices(values, k=len(values)) for task, values in side.items()} for side in sides))
        for _ in range(repeats)
    )
    tail = (1.0 - confidence) / 2.0
    return _percentile(found, tail), _percentile(found, 1.0 - tail)


def probability_of_improvement(one: Scores, other: Scores) -> float:
    """The chance that a seed of `one` beats a seed of `other` in a task, ties half, averaged over the tasks of both."""
    tasks = [task for task in one if task in other]
    if not tasks:
        raise ValueError("no task in common")
    return fmean(
        fmean((x > y) + 0.5 * (x == y) for x in one[task] for y in other[task]) for task in tasks
    )  # fmt: skip


def estimate_over_seeds(values: Sequence[float], lowest: float = -1.0, highest: float = 1.0) -> Estimate:
    """Mean and Student's interval of one number a seed; without an interval of a single seed."""
    n = len(values)
    if not n:
        return NOTHING
    if n == 1:
        return Estimate(values[0], 1, None, None, None)
    mean, std = fmean(values), stdev(values)
    half = t_quantile(n - 1) * std / sqrt(n)
    return Estimate(mean, n, std, max(lowest, mean - half), min(highest, mean + half))


def correct_for_choice(settings: Mapping[str, Sequence[float]]) -> float:
    """What the best of these settings earns on a seed that had no part in choosing it: leave one seed out (Stone 1974).

    For each seed the setting with the highest mean of the others is taken, and that seed's own score of it counts. The
    mean of the winner itself is too high, for it won. With a single seed nothing can be left out, and that is returned.
    """
    seeds = min(len(values) for values in settings.values())
    if seeds < 2:
        return max(fmean(values) for values in settings.values())
    found = []
    for left_out in range(seeds):
        others = {name: fmean([*values[:left_out], *values[left_out + 1 :]]) for name, values in settings.items()}
        winner = max(others, key=lambda name: others[name])
        found.append(settings[winner][left_out])
    return fmean(found)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear between neighbours, as numpy's."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
