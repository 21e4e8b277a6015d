"""The noise of a difference between two runs: intervals and p-values that agree, for paired and for unpaired numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cbrt, copysign, erfc, exp, fsum, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist

from rewards.statistics.student import t_quantile

FEW = 8
"""Changed examples below which their spread says too little, and their number has to speak."""
_VERY_FEW = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """The mean of a metric, which lies in 0..1. `std` is the sample standard deviation.

    `bounded` says that it was not recorded and the largest is taken that values in 0..1 can have.
    """

    value: float
    n: int | None = None
    std: float | None = None
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A difference after - before with its interval; `p` is two-sided, for no difference.

    `gained` and `lost` count the examples that rose and fell, None where the examples are not paired. `low`, `high` and
    `p` are None where the noise cannot be known. `p_beyond(margin)` is the p of the hypothesis that the true difference
    is `margin`.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    n: int | None
    gained: int | None
    lost: int | None
    method: str
    p_beyond: Callable[[float], float | None]

    @property
    def paired(self) -> bool:
        """Whether both sides had the same examples, so that each could be compared with itself."""
        return self.gained is not None


def paired_change(differences: Sequence[float], confidence: float = 0.95) -> Change:
    """The mean of after - before over examples that both runs answered; each difference lies in -1..1.

    Where all that changed changed by 1, the score interval of Tango (1998). Where fewer than FEW changed, the wider of
    that (scaled to the largest change) and Student's t at each end. Else Hall's (1992) transformation of t, which removes the effect
    of skewness as a studentised bootstrap does, without draws. Raises ValueError without differences.
    """
    n = len(differences)
    if not n:
        raise ValueError("no differences")
    mean = fsum(differences) / n
    gained, lost = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    alpha = 1.0 - confidence
    changed = gained + lost
    if n == 1:
        # One example says nothing of the noise.
        return Change(mean, -1.0, 1.0, 1.0, 1, gained, lost, "one example", lambda margin: 1.0)
    if all(abs(d) in (0.0, 1.0) for d in differences):
        low, high = tango_interval(gained, lost, n, alpha)
        return Change(mean, low, high, tango_p(gained, lost, n, 0.0), n, gained, lost, "tango",
                      lambda margin: tango_p(gained, lost, n, margin))  # fmt: skip
    std = sqrt(fsum((d - mean) ** 2 for d in differences) / (n - 1))
    if std < 1e-12:
        return _unvarying(mean, n, alpha, gained, lost)
    if changed < FEW:
        return _few_changes(differences, mean, std, alpha, gained, lost)
    skewness = fsum((d - mean) ** 3 for d in differences) / n / std**3
    low, high = (mean - std * end for end in _hall_ends(skewness, n, alpha))

    def p_hall(margin: float) -> float:
        return t_p(_hall((mean - margin) / std, skewness, n) * sqrt(n), n - 1)

    return Change(mean, max(-1.0, low), min(1.0, high), p_hall(0.0), n, gained, lost, "hall", p_hall)


def stratified_change(strata: Mapping[str, Sequence[float]], confidence: float = 0.95) -> Change:
    """The mean of paired differences over all strata (tasks), with the noise that is left when their shares are fixed.

    How far the tasks lie from each other is not noise then: the variance is the weighted one within them, its degrees of
    freedom Satterthwaite's. As `paired_change` of all together where there is one stratum, or one has a single example
    or no spread, which would count as certain.
    """
    parts = [list(values) for values in strata.values() if values]
    every = [value for values in parts for value in values]
    if len(parts) < 2 or any(len(values) < 2 or max(values) - min(values) < 1e-9 for values in parts):
        return paired_change(every, confidence)
    n = len(every)
    variances, freedoms = [], []
    for values in parts:
        center = fsum(values) / len(values)
        # Of this stratum's mean, times the square of its share: (n_i / n)^2 * s_i^2 / n_i.
        variances.append(fsum((value - center) ** 2 for value in values) / (len(values) - 1) * len(values) / n**2)
        freedoms.append(len(values) - 1)
    total = fsum(variances)
    # Shares rather than squares of variances, which may be too small for a float.
    shares = [variance / total for variance in variances]
    freedom = max(1, int(1 / fsum(share**2 / m for share, m in zip(shares, freedoms, strict=True))))
    mean, error = fsum(every) / n, sqrt(total)
    half = t_quantile(freedom, 1.0 - (1.0 - confidence) / 2) * error

    def p_within(margin: float) -> float:
        return t_p((mean - margin) / error, freedom)

    gained, lost = sum(d > 0 for d in every), sum(d < 0 for d in every)
    return Change(
        mean, max(-1.0, mean - half), min(1.0, mean + half), p_within(0.0), n, gained, lost, "within tasks", p_within
    )  # fmt: skip


def unpaired_change(before: Cell, after: Cell, confidence: float = 0.95) -> Change:
    """The difference of two means whose examples cannot be paired (Welch); without an n only the mean is known.

    A side whose values are all equal has no variance; there the interval of a value never seen in n draws stands in.
    """
    mean = after.value - before.value
    sides = [(cell.value, cell.n, cell.std) for cell in (before, after)]
    known = [(value, n, std) for value, n, std in sides if n is not None and n >= 2 and std is not None]
    if len(known) < 2:
        return Change(mean, None, None, None, None, None, None, "means only", lambda margin: None)

    def half(alpha: float) -> float:
        # The square of a very small spread is 0 as well.
        variances = [std**2 / n for _, n, std in known]
        if all(variances):
            total = fsum(variances)
            freedom = 1 / fsum(
                (variance / total) ** 2 / (n - 1) for variance, (_, n, _) in zip(variances, known, strict=True)
            )
            # Rounded down, as tables are read: the quantile of fewer degrees is the wider one.
            return t_quantile(max(1, int(freedom)), 1.0 - alpha / 2) * sqrt(total)
        # No common quantile to take: each side's own reach, put together as independent errors are.
        return sqrt(fsum(_half_width(*side, alpha) ** 2 for side in known))

    def p_welch(margin: float) -> float:
        return _invert(half, abs(mean - margin))

    width = half(1.0 - confidence)
    n = min(n for _, n, _ in known)
    return Change(
        mean, max(-1.0, mean - width), min(1.0, mean + width), p_welch(0.0), n, None, None, "welch", p_welch
    )  # fmt: skip


def largest_std(value: float, n: int) -> float:
    """The largest sample standard deviation that n values in 0..1 with this mean can have (Bhatia and Davis 2000)."""
    return sqrt(max(0.0, value * (1.0 - value)) * n / (n - 1)) if n > 1 else 0.0


def adjust(ps: Sequence[float | None], method: str) -> list[float | None]:
    """The p-values corrected for their number: `holm` (1979, any dependence), `bh` (Benjamini and Hochberg 1995), `none`.

    None stays None and is not counted.
    """
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = list(ps)
    if method == "none":
        return adjusted
    m = len(known)
    if method == "holm":
        worst = 0.0
        for rank, (p, place) in enumerate(known):
            worst = max(worst, min(1.0, (m - rank) * p))
            adjusted[place] = worst
        return adjusted
    best = 1.0
    for rank in range(m, 0, -1):
        p, place = known[rank - 1]
        best = min(best, p * m / rank)
        adjusted[place] = best
    return adjusted


@lru_cache(maxsize=4096)
def tango_interval(gained: int, lost: int, n: int, alpha: float) -> tuple[float, float]:
    """The score interval of a difference of paired shares: those differences that its test does not reject."""
    z = NormalDist().inv_cdf(1.0 - alpha / 2)
    mean = (gained - lost) / n

    def solve(target: float, low: float, high: float) -> float:
        # The statistic falls as the margin rises, so that each end is met once; 2 / 2^60 is below a float's precision.
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _tango(gained, lost, n, middle) > target else (low, middle)
        return (low + high) / 2

    return solve(z, -1.0, mean), solve(-z, mean, 1.0)


def tango_p(gained: int, lost: int, n: int, margin: float) -> float:
    """The two-sided p of the score test that the paired shares differ by `margin`; McNemar's test for 0."""
    if abs(margin) >= 1.0:
        return 0.0
    return erfc(abs(_tango(gained, lost, n, margin)) / sqrt(2.0))


def t_p(t: float, freedom: int) -> float:
    """The two-sided p of Student's t."""
    if not t:
        return 1.0
    return _incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)


def _tango(gained: int, lost: int, n: int, margin: float) -> float:
    """Tango's statistic: the restricted estimate of the lost share is the larger root of its quadratic."""
    surplus = gained - lost - n * margin
    b = -gained - lost + (2 * n - gained + lost) * margin
    c = -lost * margin * (1.0 - margin)
    share = (sqrt(max(0.0, b * b - 8.0 * n * c)) - b) / (4.0 * n)
    variance = n * (2.0 * share + margin * (1.0 - margin))
    if variance <= 1e-15:
        # The margin leaves nothing to chance: it is met exactly, or cannot be true.
        return 0.0 if abs(surplus) < 1e-9 else copysign(inf, surplus)
    return surplus / sqrt(variance)


def _hall(s: float, skewness: float, n: int) -> float:
    """Hall's transform of s = (mean - truth) / std: its first two terms and last take the skewness out of t's distribution.

    The cubic term is there for its slope: without it the transform turns back, and an interval could not be read off.
    """
    return s + skewness * s**2 / 3.0 + skewness**2 * s**3 / 27.0 + skewness / (6.0 * n)


def _hall_ends(skewness: float, n: int, alpha: float) -> tuple[float, float]:
    """The two studentised errors between which Hall's transform lies within the t-quantile; the larger first."""
    quantile = t_quantile(n - 1, 1.0 - alpha / 2) / sqrt(n)
    # The inverse divides by the skewness, and is lost in rounding long before it would divide by 0.
    if abs(skewness) < 1e-6:
        return quantile, -quantile

    def invert(x: float) -> float:
        return 3.0 / skewness * (cbrt(1.0 + skewness * (x - skewness / (6.0 * n))) - 1.0)

    return invert(quantile), invert(-quantile)


def _unvarying(mean: float, n: int, alpha: float, gained: int, lost: int) -> Change:
    """Every example changed by the same: what n draws never showed may hold at most 1 - (alpha/2)^(1/n) of the rest."""
    unseen = 1.0 - (alpha / 2) ** (1.0 / n)

    def p_unseen(margin: float) -> float:
        reach = (mean - margin) / (mean + 1.0) if margin < mean else (margin - mean) / (1.0 - mean or 1.0)
        return 0.0 if reach >= 1.0 else min(1.0, 2.0 * exp(n * log1p(-max(0.0, reach))))

    low, high = mean - unseen * (mean + 1.0), mean + unseen * (1.0 - mean)
    return Change(mean, low, high, p_unseen(0.0), n, gained, lost, "all alike", p_unseen)


def _few_changes(differences: Sequence[float], mean: float, std: float, alpha: float, gained: int, lost: int) -> Change:
    """The wider of Student's t and Tango's interval scaled to the largest change, at each end.

    Where every example fell (or every one rose), Tango's interval ends at the largest fall, whatever p is there: no
    bound of the truth, only of what was seen. What n draws never showed stands in for it beyond the mean.
    """
    n = len(differences)
    scale = 1.0 if gained + lost < _VERY_FEW else max(abs(d) for d in differences)
    half = t_quantile(n - 1, 1.0 - alpha / 2) * std / sqrt(n)
    low, high = (scale * end for end in tango_interval(gained, lost, n, alpha))
    unseen = _unvarying(mean, n, alpha, gained, lost)
    if lost == n:
        low = unseen.low if unseen.low is not None else low
    if gained == n:
        high = unseen.high if unseen.high is not None else high

    def p_few(margin: float) -> float:
        by_t = t_p((mean - margin) * sqrt(n) / std, n - 1)
        if (lost == n and margin < mean) or (gained == n and margin > mean):
            return max(by_t, unseen.p_beyond(margin) or 0.0)
        return max(by_t, tango_p(gained, lost, n, margin / scale))

    low, high = max(-1.0, min(low, mean - half)), min(1.0, max(high, mean + half))
    return Change(mean, low, high, p_few(0.0), n, gained, lost, "few changes", p_few)


def _half_width(value: float, n: int, std: float, alpha: float) -> float:
    if not std:
        return (1.0 - (alpha / 2) ** (1.0 / n)) * max(value, 1.0 - value)
    return t_quantile(n - 1, 1.0 - alpha / 2) * std / sqrt(n)


def _invert(half: Callable[[float], float], distance: float) -> float:
    """The alpha whose interval just reaches `distance`; never below 1e-9."""
    if distance <= 0.0:
        return 1.0
    low, high = log(1e-9), 0.0
    for _ in range(50):
        middle = (low + high) / 2
        # A narrower interval belongs to a larger alpha.
        low, high = (middle, high) if half(min(exp(middle), 1.0 - 1e-12)) > distance else (low, middle)
    return exp((low + high) / 2)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22), modified Lentz."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    # From the mode on the fraction converges slowly; the other tail's is quick there.
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1.0)) or tiny)
    value = d
    for m in range(1, 1000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / ((1.0 + numerator * d) or tiny)
            c = (1.0 + numerator / c) or tiny
            value *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return front * value
