"""Quantiles of Student's t distribution, without scipy."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
"""The level of every interval that stands beside a number."""


@lru_cache(maxsize=4096)
def t_quantile(freedom: int, probability: float = (1.0 + CONFIDENCE) / 2.0) -> float:
    """Student's t quantile for a whole number of degrees of freedom (at least 1), to about nine figures.

    Below 120 degrees the closed form of the distribution (Abramowitz and Stegun 26.7.3 and 26.7.4) is inverted by
    bisection; from there the expansion 26.7.5 around the normal quantile is as exact.
    """
    if freedom < 1 or not 0.5 < probability < 1.0:
        raise ValueError(f"no t quantile for {freedom} degrees of freedom and probability {probability}")
    if freedom >= 120:
        x = NormalDist().inv_cdf(probability)
        terms = (
            (x**3 + x) / 4,
            (5 * x**5 + 16 * x**3 + 3 * x) / 96,
            (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
            (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
        )
        return x + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
    # In the angle atan(t / sqrt(freedom)) the search has ends whatever the probability.
    low, high = 0.0, pi / 2
    wanted = 2.0 * probability - 1.0
    for _ in range(80):
        middle = (low + high) / 2
        if _share_within(middle, freedom) < wanted:
            low = middle
        else:
            high = middle
    angle = (low + high) / 2
    return sqrt(freedom) * sin(angle) / cos(angle)


def _share_within(angle: float, freedom: int) -> float:
    """P(|T| < t) at angle = atan(t / sqrt(freedom))."""
    cosine, sine = cos(angle), sin(angle)
    term, total = 1.0, 0.0
    if freedom % 2:
        if freedom > 1:
            term, total = cosine, cosine
            for k in range(2, freedom - 1, 2):
                term *= cosine * cosine * k / (k + 1)
                total += term
        return 2.0 / pi * (angle + sine * total)
    total = 1.0
    for k in range(1, freedom - 2, 2):
        term *= cosine * cosine * k / (k + 1)
        total += term
    return sine * total
