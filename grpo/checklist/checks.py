"""What a check is: a name, how it came out, the number behind it, and in one line why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.statistics.estimates import estimate_mean

PASSED, WARNING, FAILED, NOT_CHECKED = "passed", "warning", "failed", "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist; `value`, `low`, `high` and `n` are None where there is no number behind it."""

    name: str
    status: str
    said: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    limit: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The check as `--json` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


def judge_share(name: str, values: Sequence[float], limit: float, what: str, nothing: str) -> Check:
    """A share of answers against the least that is asked for.

    Passed where the share reaches the limit, with a warning where its interval does not rule out less; `nothing` says why
    where there is no answer to judge.
    """
    if not values:
        return Check(name, NOT_CHECKED, nothing, n=0, limit=limit)
    estimate = estimate_mean(values)
    mean, low, high = estimate.mean or 0.0, estimate.low, estimate.high
    ends = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    said = f"{what}: {mean:.3f}{ends} of {len(values)}, at least {limit:g} is asked for"
    if mean < limit:
        return Check(name, FAILED, said, mean, low, high, len(values), limit)
    # Where every answer is right no number of rows reaches a limit of 1: the interval is then told, not held against it.
    unsure = low is not None and low < limit and limit < 1.0
    if unsure:
        said += "; the interval leaves room for less, judge it on more rows"
    return Check(name, WARNING if unsure else PASSED, said, mean, low, high, len(values), limit)
