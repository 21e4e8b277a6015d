"""The evaluations of a recorded history, in order, and how noisy they are from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

from callbacks.evaluation.task_scores import as_number, read_estimates
from rewards.statistics.estimates import ALL, Estimate, unpaired_difference
from rewards.statistics.student import t_quantile

_STAGES = ("before", "warmup", "start", "train", "final", "judged")
_BESIDE = ("start", "judged")
"""Stages on other rows or random numbers than the curve of a run: the start on the kept rows, the judged checkpoint."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of the held-out rows: `estimates` under `all` and under each task."""

    stage: str
    step: int
    estimates: Mapping[str, Estimate]

    @property
    def mean(self) -> float:
        """The held-out mean; `read_evaluations` keeps no evaluation without one."""
        mean = self.estimates[ALL].mean
        assert mean is not None
        return mean

    def task(self, name: str) -> Estimate | None:
        """The estimate of a task; None when it was not evaluated or nothing of it was scored."""
        estimate = self.estimates.get(name)
        return estimate if estimate is not None and estimate.mean is not None else None


def read_evaluations(rows: Iterable[Mapping[str, object]]) -> list[Evaluation]:
    """The evaluation rows in the order of the run; rows without a stage are training's, without a mean left out."""
    found = []
    for row in rows:
        estimates = read_estimates(row)
        if ALL not in estimates or estimates[ALL].mean is None:
            continue
        stage = row.get("stage", "train")
        step = int(as_number(row.get("step")) or 0)
        found.append(Evaluation(stage if isinstance(stage, str) and stage in _STAGES else "train", step, estimates))
    return sorted(found, key=lambda evaluation: (_STAGES.index(evaluation.stage), evaluation.step))


def read_rates(rows: Iterable[Mapping[str, object]]) -> dict[int, float]:
    """The recorded learning rate of each training step."""
    rates = {}
    for row in rows:
        rate, step = as_number(row.get("learning_rate")), as_number(row.get("step"))
        if rate is not None and step is not None and row.get("stage", "train") == "train":
            rates[int(step)] = float(rate)
    return rates


def take_curve(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """The evaluations that were made of the same rows with the same random numbers, without the zero-shot one."""
    return [item for item in evaluations if item.stage != "before" and item.stage not in _BESIDE]


def find_baseline(evaluations: list[Evaluation]) -> Evaluation | None:
    """What the run is measured against: the evaluation after the warm-up, else the first one of several.

    Where the judged checkpoint answered rows that were kept for it, the start's answers to those.
    """
    if evaluations and evaluations[-1].stage == "judged" and evaluations[-1].step:
        kept = next((item for item in evaluations if item.stage == "start"), None)
        if kept is not None:
            return kept
    for stage in ("warmup", "before"):
        for evaluation in evaluations:
            if evaluation.stage == stage:
                return evaluation
    return evaluations[0] if len(evaluations) > 1 else None


def compare(before: Evaluation, after: Evaluation, name: str = ALL) -> Estimate:
    """The difference after - before of `all` or a task.

    A history has no rewards per example, so the two count as unpaired: wider than need be, since both have the same
    examples, but never too narrow.
    """
    nothing = Estimate(None, None, None, None, None)
    return unpaired_difference(before.estimates.get(name, nothing), after.estimates.get(name, nothing))


def measure_scatter(evaluations: list[Evaluation]) -> float | None:
    """The 95 % half-width of a change between two evaluations of the same examples, as their own curve tells it.

    Taken from how far each mean lies from the line between its neighbours; the bend of the curve counts as noise, which
    errs to the wide side. It says whether the curve of these examples moved, not what other examples would have shown.
    None with fewer than five evaluations.
    """
    points = [(item.step, item.mean) for item in take_curve(evaluations)]
    squares = []
    for (left, low), (middle, value), (right, high) in zip(points, points[1:], points[2:], strict=False):
        if not left < middle < right:
            continue
        share = (middle - left) / (right - left)
        residual = value - (low + share * (high - low))
        squares.append(residual**2 / (1 + share**2 + (1 - share) ** 2))
    if len(squares) < 3:
        return None
    # Neighbouring residuals share points, so fewer of them are free than there are; recorded means are rounded.
    freedom = max(1, len(squares) * 2 // 3)
    return max(0.001, t_quantile(freedom) * sqrt(2.0 * sum(squares) / len(squares)))
