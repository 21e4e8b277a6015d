"""The tasks of a run at its latest evaluation, and what changed since the warm-up and the evaluation before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from callbacks.evaluation.history import Evaluation, find_baseline
from callbacks.evaluation.pairs import name_evaluation_file, pair_evaluations
from rewards.statistics.estimates import ALL, Estimate, unpaired_difference


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task at the latest evaluation, and where it came from; the changes since then have intervals of their own."""

    task: str
    mean: float | None
    low: float | None
    high: float | None
    n: int | None
    warmup: float | None
    previous: float | None
    since_warmup: Estimate | None = None
    since_previous: Estimate | None = None


def make_task_rows(evaluations: Sequence[Evaluation], folder: Path | None = None) -> list[TaskRow]:
    """A row for all and for each task of the latest evaluation, with what the warm-up and the one before had.

    Changes are judged example by example where `folder` holds both evaluations.
    """
    if not evaluations:
        return []
    last = evaluations[-1]
    previous = next((item for item in reversed(evaluations[:-1]) if item.stage != "start"), None)
    baseline = find_baseline(list(evaluations))
    names = [ALL, *sorted(set(last.estimates) - {ALL})]
    baseline = baseline if baseline is not last else None
    paired = [_pair(item, last, folder) for item in (baseline, previous)]
    return [
        TaskRow(
            name,
            (estimate := last.estimates[name]).mean,
            estimate.low,
            estimate.high,
            estimate.n,
            mean_of(baseline, name),
            mean_of(previous, name),
            *(
                _find_change(item, last, name, changes)
                for item, changes in zip((baseline, previous), paired, strict=True)
            ),
        )
        for name in names
    ]


def _pair(before: Evaluation | None, after: Evaluation, folder: Path | None) -> dict[str, Estimate]:
    if before is None or folder is None:
        return {}
    return pair_evaluations(*(folder / name_evaluation_file(item.stage, item.step) for item in (before, after)))


def _find_change(
    before: Evaluation | None, after: Evaluation, name: str, paired: Mapping[str, Estimate]
) -> Estimate | None:
    first, second = before.task(name) if before is not None else None, after.task(name)
    if first is None or second is None:
        return None
    change = paired.get(name)
    return change if change is not None and change.mean is not None else unpaired_difference(first, second)


def mean_of(evaluation: Evaluation | None, name: str) -> float | None:
    """The mean of a task or of all (`name`) in an evaluation; None if it is not known."""
    estimate = evaluation.estimates.get(name) if evaluation is not None else None
    return estimate.mean if estimate is not None else None
