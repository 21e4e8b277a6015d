"""The small statistics of a comparison: bootstrap intervals of paired differences, and McNemar's exact test."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, fsum
from random import Random
from typing import NamedTuple

from rewards.statistics.student import CONFIDENCE

DRAWS = 2_000


class Interval(NamedTuple):
    """A mean of `n` values and the ends of its 95 % interval; all None where there is no value."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


class McNemar(NamedTuple):
    """Pass and fail of paired examples: `gained` failed before and pass now, `lost` the reverse; `p` is two-sided and exact."""

    both: int
    gained: int
    lost: int
    neither: int
    p: float


def bootstrap_mean(
    values: Sequence[float], *, seed: int, draws: int = DRAWS, lowest: float = -1.0, highest: float = 1.0
) -> Interval:
    """The mean and its percentile bootstrap interval (Efron 1979), for values that can only lie in lowest..highest.

    Where all n values are equal every resample has the same mean; there the interval is that of Clopper and Pearson for a
    value never seen in n draws: 1 - 0.025^(1/n) of the way to each bound.
    """
    n = len(values)
    if not n:
        return Interval(None, None, None, 0)
    mean = fsum(values) / n
    tail = (1.0 - CONFIDENCE) / 2.0
    if min(values) == max(values):
        unseen = 1.0 - tail ** (1.0 / n)
        return Interval(mean, mean - unseen * (mean - lowest), mean + unseen * (highest - mean), n)
    random = Random(seed)
    means = sorted(fsum(random.choices(values, k=n)) / n for _ in range(draws))
    return Interval(mean, means[int(tail * draws)], means[min(draws - 1, int((1.0 - tail) * draws))], n)


def compare_passes(before: Sequence[bool], after: Sequence[bool]) -> McNemar:
    """McNemar's test of paired verdicts (1947), exact: under no change each discordant pair falls either way like a coin."""
    pairs = list(zip(before, after, strict=True))
    gained = sum(not was and now for was, now in pairs)
    lost = sum(was and not now for was, now in pairs)
    both = sum(was and now for was, now in pairs)
    return McNemar(both, gained, lost, len(pairs) - both - gained - lost, binomial_p(min(gained, lost), gained + lost))


def binomial_p(fewer: int, n: int) -> float:
    """The two-sided exact p of `fewer` or less of n fair coins, twice one tail and at most 1; 1.0 for n = 0."""
    tail = sum(comb(n, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**n)
