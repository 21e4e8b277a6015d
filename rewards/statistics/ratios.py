"""The relative difference of two paired means, with an interval that takes the noise of both into account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rewards.statistics.changes import Change, stratified_change

_WIDEST = 1e6
_HALVINGS = 60


class RelativeChange(NamedTuple):
    """after / before - 1; an end is None where the noise sets no bound to it, both where before's mean is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def relative_change(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], confidence: float = 0.95
) -> RelativeChange:
    """How much larger the mean of `after` is than that of `before`, by strata of paired values in 0..1.

    The interval holds the ratios r for which the paired differences after - r * before may have the mean 0, by the interval
    of `stratified_change` (Fieller 1954 by inverting the test). Raises ValueError without values.
    """
    n = sum(map(len, before.values()))
    if not n:
        raise ValueError("no values")
    mean = sum(map(sum, before.values())) / n
    if mean <= 0.0:
        return RelativeChange(None, None, None, n)
    ratio = sum(map(sum, after.values())) / n / mean

    def differ(by: float) -> Change:
        # `stratified_change` takes differences in -1..1; their sign, which is all that is asked, does not mind the scale.
        scale = max(1.0, by)
        strata = {
            name: [(now - by * was) / scale for was, now in zip(values, after[name], strict=True)]
            for name, values in before.items()
        }
        return stratified_change(strata, confidence)

    def may_be_lower(by: float) -> bool:
        low = differ(by).low
        return low is None or low <= 0.0

    def may_be_higher(by: float) -> bool:
        high = differ(by).high
        return high is None or high >= 0.0

    low = 0.0 if may_be_lower(0.0) else _search(0.0, ratio, may_be_lower)
    high = None if may_be_higher(_WIDEST) else _search(_WIDEST, ratio, may_be_higher)
    return RelativeChange(ratio - 1.0, low - 1.0, None if high is None else high - 1.0, n)


def _search(outside: float, inside: float, belongs: object) -> float:
    """The ratio between the two at which `belongs` turns."""
    assert callable(belongs)
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (outside, middle) if belongs(middle) else (middle, inside)
    return inside
