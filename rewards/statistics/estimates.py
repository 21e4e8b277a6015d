"""A mean and what is known about its noise: n, standard deviation, 95 % interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, inf, log, sqrt
from statistics import NormalDist, fmean

from rewards.statistics.changes import Cell, Change, paired_change, stratified_change, unpaired_change
from rewards.statistics.student import CONFIDENCE, t_quantile

ALL = "all"
UNSEEN = 0.25
"""The chance that n draws miss what an interval still allows for at the bounds."""


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


NOTHING = Estimate(None, 0, None, None, None)
"""The estimate of no values."""


def stratify(estimates: Mapping[str, Estimate], confidence: float = CONFIDENCE) -> Estimate:
    """The estimate of `all` with the noise that is left when the shares of the tasks are fixed, as in held-out rows.

    How far the tasks lie from each other is not noise then: the variance is the weighted one within the tasks, its degrees
    of freedom Satterthwaite's. A task counts with half an observation at the farther bound at least, so that one in which
    all is right is not taken for certain. Returned as it is where a task has no n or std, where the tasks do not add up to
    all rows, or where all rows earned the same.
    """
    whole = estimates[ALL]
    tasks = [item for name, item in estimates.items() if name != ALL and item.n != 0]
    # Half an observation at distance d from the mean, among n + 1, has d^2 / (n + 1) / 2 of variance.
    known = [
        (item.n, max(item.std**2, 0.5 * max(item.mean, 1.0 - item.mean) ** 2 / (item.n + 1)))
        for item in tasks
        if item.n is not None and item.n >= 2 and item.std is not None and item.mean is not None
    ]
    if whole.n is None or whole.mean is None or len(known) < max(2, len(tasks)) or sum(n for n, _ in known) != whole.n:
        return whole
    if not whole.std or not 0.0 < whole.mean < 1.0:
        return whole
    parts = [(n / whole.n) ** 2 * variance / n for n, variance in known]
    # Never more than values of the bounds alone would have.
    total = min(sum(parts), whole.mean * (1.0 - whole.mean) / (whole.n - 1))
    freedom = 1 / sum((part / sum(parts)) ** 2 / (n - 1) for part, (n, _) in zip(parts, known, strict=True))
    quantile = t_quantile(max(1, int(freedom)), 1.0 - (1.0 - confidence) / 2)
    low, high = score_ends(whole.mean, whole.n, total * whole.n, quantile, confidence=confidence)
    return replace(whole, std=sqrt(total * whole.n), low=low, high=high)


def pair_by_task(
    before: Mapping[tuple[str, str], float | None], after: Mapping[tuple[str, str], float | None]
) -> dict[str, list[float]]:
    """after - before of the examples, by (task, id), that were scored in both: a list a task, tasks in alphabetical order."""
    strata: dict[str, list[float]] = {
        task: [] for task in sorted({task for task, _ in before} & {task for task, _ in after})
    }
    for key in sorted(before.keys() & after.keys()):
        first, second = before[key], after[key]
        if first is not None and second is not None:
            strata[key[0]].append(second - first)
    return strata


def paired_differences(
    before: Mapping[tuple[str, str], float | None], after: Mapping[tuple[str, str], float | None]
) -> dict[str, Estimate]:
    """The means of after - before, paired by (task, id) over the examples scored in both: for all and for each task.

    For all it is `stratified_change`, for a task `paired_change`; nothing is known where no example was scored twice.
    """
    strata = pair_by_task(before, after)
    every = [value for values in strata.values() for value in values]
    if not every:
        return {ALL: NOTHING}
    return {
        ALL: _estimate(stratified_change(strata), every),
        **{task: _estimate(paired_change(values), values) if values else NOTHING for task, values in strata.items()},
    }


def _estimate(change: Change, values: Sequence[float]) -> Estimate:
    n = len(values)
    std = sqrt(fsum((value - change.mean) ** 2 for value in values) / (n - 1)) if n > 1 else None
    return Estimate(change.mean, n, std, change.low, change.high)


def unpaired_difference(before: Estimate, after: Estimate) -> Estimate:
    """The difference after - before of two estimates whose examples cannot be paired (Welch's interval, -1..1).

    Wider than the paired one when both were measured on the same examples. Without n or std only the mean is known.
    """
    if before.mean is None or after.mean is None:
        return Estimate(None, None, None, None, None)
    change = unpaired_change(Cell(before.mean, before.n, before.std), Cell(after.mean, after.n, after.std))
    if change.n is None or before.std is None or after.std is None or before.n is None or after.n is None:
        return Estimate(change.mean, None, None, None, None)
    variance = before.std**2 / before.n + after.std**2 / after.n
    return Estimate(change.mean, change.n, sqrt(variance * change.n), change.low, change.high)


def estimate_mean(values: Sequence[float], lowest: float = 0.0, highest: float = 1.0) -> Estimate:
    """Mean and 95 % interval (see `interval_of`) of values that can only lie in lowest..highest."""
    n = len(values)
    if n == 0:
        return NOTHING
    mean = fmean(values)
    if n == 1:
        return Estimate(mean, 1, None, lowest, highest)
    std = sqrt(fmean([(value - mean) ** 2 for value in values]) * n / (n - 1)) if len(set(values)) > 1 else 0.0
    return interval_of(mean, n, std, lowest, highest)


def interval_of(
    mean: float, n: int, std: float, lowest: float = 0.0, highest: float = 1.0, confidence: float = CONFIDENCE
) -> Estimate:
    """The estimate that belongs to a mean, n (at least 2) and sample std of values in lowest..highest.

    Of values that are all one bound or the other it is Wilson's (1927) interval of their share, else the score interval of
    a graded mean (`score_ends`). Where all n values are the same and between the bounds, nothing is known of the spread;
    there it is that of Clopper and Pearson for a value never seen in n draws: 1 - 0.025^(1/n) of the way to each bound.
    """
    tail = (1.0 - confidence) / 2.0
    bounded = -inf < lowest < highest < inf
    most = (mean - lowest) * (highest - mean) if bounded else 0.0
    spread = std**2 * (n - 1) / n
    # Of zeros and ones the mean alone tells the spread; so does the recorded mean of ones only.
    is_share = bounded and spread >= most * (1.0 - 1e-9)
    if std == 0.0 and not is_share:
        unseen = 1.0 - tail ** (1.0 / n)
        low, high = mean - unseen * (mean - lowest), mean + unseen * (highest - mean)
    elif is_share:
        quantile = NormalDist().inv_cdf(1.0 - tail)
        low, high = _wilson((mean - lowest) / (highest - lowest), quantile**2 / n)
        low, high = lowest + low * (highest - lowest), lowest + high * (highest - lowest)
    else:
        low, high = score_ends(mean, n, std**2, t_quantile(n - 1, 1.0 - tail), lowest, highest, confidence)
    return Estimate(mean, n, std, min(low, mean), max(high, mean))


def score_ends(
    mean: float,
    n: int,
    variance: float,
    quantile: float,
    lowest: float = 0.0,
    highest: float = 1.0,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """The values that the mean of n graded values with this sample variance does not contradict.

    The score interval of a quasi-likelihood (Wedderburn 1974): at a true mean m the variance is taken to be proportional
    to (m (1 - m))^e, by the factor that was observed, so that near a bound the interval is as askew as the noise there
    is. e = 2 / (1 + p), where p is the variance as a share of the largest that this mean allows: the skewness is then that
    of a beta distribution, 1 for values of 0 and 1 (Wilson's interval), 2 for values that lie close together.
    An end is never nearer than a share of values at that bound that n draws would have missed in UNSEEN of the cases:
    what fails outright now and then need not have failed yet. Nor is it farther than Hoeffding's bound (1963, theorem 1)
    for any values between the bounds: where one value of 32 is not 0, the spread says next to nothing. Without finite
    bounds it is Student's.
    """
    if not -inf < lowest < highest < inf:
        half = quantile * sqrt(variance / n)
        return mean - half, mean + half
    width = highest - lowest
    share = (mean - lowest) / width
    if not 0.0 < share < 1.0:
        return mean, mean
    most = share * (1.0 - share)
    part = variance / width**2 / most
    reach = quantile * sqrt(part * most / n)
    exponent = 1.0 / (1.0 + min(1.0, part * (n - 1) / n))

    allowed = -log((1.0 - confidence) / 2.0) / n

    def noise_reaches(middle: float) -> bool:
        return abs(share - middle) <= reach * (middle * (1.0 - middle) / most) ** exponent

    def bound_reaches(middle: float) -> bool:
        if not 0.0 < middle < 1.0:
            return False
        return share * log(share / middle) + (1.0 - share) * log((1.0 - share) / (1.0 - middle)) <= allowed

    # How far the mean lies from m, less what noise reaches there, is convex in m: one crossing on each side.
    unseen = 1.0 - UNSEEN ** (1.0 / n)
    low = min(_last_inside(share, 0.0, noise_reaches), share * (1.0 - unseen))
    high = max(_last_inside(share, 1.0, noise_reaches), share + unseen * (1.0 - share))
    if not bound_reaches(low):
        low = _last_inside(share, low, bound_reaches)
    if not bound_reaches(high):
        high = _last_inside(share, high, bound_reaches)
    return lowest + low * width, lowest + high * width


def _last_inside(inside: float, outside: float, reaches: Callable[[float], bool]) -> float:
    """The end, on the way from `inside` to `outside`, of what a condition reaches, by bisection."""
    for _ in range(50):
        middle = (inside + outside) / 2.0
        if reaches(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _wilson(share: float, weight: float) -> tuple[float, float]:
    """The roots p of (share - p)^2 = weight * p * (1 - p)."""
    # Drawn towards 1/2, where a share varies most: at 0 and 1 the interval is one-sided and never empty.
    center = (share + weight / 2.0) / (1.0 + weight)
    half = sqrt(max(0.0, weight * share * (1.0 - share) + weight**2 / 4.0)) / (1.0 + weight)
    return max(0.0, center - half), min(1.0, center + half)


def estimate_cell(cell: Cell, confidence: float = CONFIDENCE) -> Estimate:
    """The estimate of a recorded mean in 0..1; without an interval where n or std is not known."""
    if cell.n is None or cell.n < 2 or cell.std is None:
        return Estimate(cell.value, cell.n, cell.std, None, None)
    return interval_of(cell.value, cell.n, cell.std, confidence=confidence)


POWERS = (0.5, 0.8)
"""The chances of a clear answer that an advice of how many more examples to ask is given for."""


def examples_to_decide(
    estimate: Estimate, margin: float, limit: int = 1_000_000, power: float = POWERS[0]
) -> int | None:
    """How many more examples would bring the 95 % interval clear of a threshold `margin` away, if mean and std stay.

    `power` is the chance that it does: at 0.5 the interval would just be clear on average, and half of all samples give
    less. 0 when it is clear already; None when it cannot be said (no n or std, no margin, or more than `limit`).
    """
    if estimate.n is None or not estimate.std or not margin:
        return None
    beyond = NormalDist().inv_cdf(power)
    normal = NormalDist().inv_cdf((1.0 + CONFIDENCE) / 2.0) + beyond
    if normal * estimate.std > abs(margin) * sqrt(limit):
        return None
    needed = max(2, int((normal * estimate.std / margin) ** 2))
    while (t_quantile(needed - 1) + beyond) * estimate.std / sqrt(needed) >= abs(margin):
        needed += max(1, needed // 200)
    return max(0, needed - estimate.n)


def say_further(counts: tuple[int | None, int | None], what: str = "examples") -> str:
    """The two numbers of POWERS as a phrase; empty where none is known.

    `about 340 to 700 more examples (a 50 to 80 % chance of a clear answer)`.

    Two figures: it rests on a standard deviation that is itself an estimate.
    """
    half, most = (None if count is None else int(float(f"{count:.2g}")) for count in counts)
    if not half:
        return ""
    if not most:
        return f"about {half:,} more {what} (a 50 % chance of a clear answer)"
    return f"about {half:,} to {most:,} more {what} (a 50 to 80 % chance of a clear answer)"
