"""Intervals for the mean of n graded values that were considered, over many samples at once; ours is not among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from scipy import stats

ALPHA = 0.05
Ends = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Samples:
    """Samples of one shape in rows, with their means and standard deviations (n - 1)."""

    values: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    @property
    def n(self) -> int:
        return self.values.shape[1]


def take_samples(values: np.ndarray) -> Samples:
    return Samples(values, values.mean(axis=1), values.std(axis=1, ddof=1))


def by_student(samples: Samples) -> Ends:
    """Student's t, which knows no bounds."""
    half = stats.t.ppf(1 - ALPHA / 2, samples.n - 1) * samples.std / sqrt(samples.n)
    return samples.mean - half, samples.mean + half


def by_share(samples: Samples) -> Ends:
    """The score interval with the variance function of a share, m (1 - m): ours before the skewness of graded values."""
    quantile, n = stats.t.ppf(1 - ALPHA / 2, samples.n - 1), samples.n
    most = np.maximum(samples.mean * (1 - samples.mean), 1e-300)
    weight = quantile**2 * samples.std**2 / n / most
    center = (samples.mean + weight / 2) / (1 + weight)
    half = np.sqrt(weight * most + weight**2 / 4) / (1 + weight)
    return center - half, center + half


def by_hall(samples: Samples) -> Ends:
    """Hall's (1992) transformation of t, by the skewness of the sample."""
    n = samples.n
    std = np.maximum(samples.std, 1e-12)
    skewness = ((samples.values - samples.mean[:, None]) ** 3).mean(axis=1) / std**3
    skewness = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    quantile = stats.t.ppf(1 - ALPHA / 2, n - 1) / sqrt(n)

    def invert(x: float) -> np.ndarray:
        return 3 / skewness * (np.cbrt(1 + skewness * (x - skewness / (6 * n))) - 1)

    return samples.mean - std * invert(quantile), samples.mean - std * invert(-quantile)


def by_posterior(samples: Samples) -> Ends:
    """The beta distribution with the mean and variance of the posterior after half an observation at each bound (Jeffreys)."""
    n = samples.n
    center = (n * samples.mean + 0.5) / (n + 1)
    squares = samples.std**2 * (n - 1) + n * (samples.mean - center) ** 2 + 0.5 * (center**2 + (1 - center) ** 2)
    variance = np.minimum(squares / (n + 1) / (n + 2) * (n - 1) / (n - 3), center * (1 - center) * 0.9999)
    size = center * (1 - center) / variance - 1
    return tuple(stats.beta.ppf(level, center * size, (1 - center) * size) for level in (ALPHA / 2, 1 - ALPHA / 2))


def by_bernstein(samples: Samples) -> Ends:
    """The empirical Bernstein bound (Maurer and Pontil 2009), which holds for any values in 0..1."""
    n, term = samples.n, log(4 / ALPHA)
    half = samples.std * sqrt(2 * term / n) + 7 * term / (3 * (n - 1))
    return samples.mean - half, samples.mean + half


def by_betting(samples: Samples, grid: int = 201) -> Ends:
    """The hedged betting interval (Waudby-Smith and Ramdas 2024), predictable plug-in bets; holds for any values in 0..1."""
    means = np.linspace(1e-4, 1 - 1e-4, grid)
    rows, n = samples.values.shape
    gain, loss = np.zeros((rows, grid)), np.zeros((rows, grid))
    highest = np.full((rows, grid), -np.inf)
    total, squares = np.full(rows, 0.5), np.full(rows, 0.25)
    for place in range(n):
        bet = np.sqrt(2 * log(2 / ALPHA) / (squares / (place + 1) * n))[:, None]
        off = samples.values[:, place, None] - means
        gain += np.log1p(np.minimum(bet, 0.5 / means) * off)
        loss += np.log1p(-np.minimum(bet, 0.5 / (1 - means)) * off)
        highest = np.maximum(highest, np.maximum(gain, loss) + log(0.5))
        total += samples.values[:, place]
        squares += (samples.values[:, place] - total / (place + 2)) ** 2
    kept = highest < log(1 / ALPHA)
    low = np.where(kept.any(axis=1), means[kept.argmax(axis=1)], samples.mean)
    high = np.where(kept.any(axis=1), means[grid - 1 - kept[:, ::-1].argmax(axis=1)], samples.mean)
    step = means[1] - means[0]
    return low - step, high + step


METHODS: dict[str, Callable[[Samples], Ends]] = {
    "Student": by_student,
    "share's variance": by_share,
    "Hall": by_hall,
    "beta posterior": by_posterior,
    "Bernstein": by_bernstein,
    "betting": by_betting,
}
