"""Many runs in order of one metric, with the places that the noise leaves open to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from grpo.compare.differences import BETTER, UNKNOWN, WORSE, Difference, find_difference, judge
from grpo.compare.recorded import ALL, RecordedRun, kind_of
from rewards.statistics.changes import Cell
from rewards.statistics.estimates import estimate_cell, stratify


@dataclass(frozen=True, slots=True)
class RankedRun:
    """A run's place by its mean, and the best and the worst place that it may have in truth."""

    place: int
    run: str
    cell: Cell
    low: float | None
    high: float | None
    best: int
    worst: int


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """The places by `metric`; `tests` pairs of runs were compared, `statement` says which places are separable."""

    metric: str
    places: tuple[RankedRun, ...]
    tests: int
    statement: str

    def to_json(self) -> dict[str, Any]:
        """The ranking as JSON: what was tested, the statement, and a place a run."""
        return {
            "metric": self.metric,
            "tests": self.tests,
            "statement": self.statement,
            "places": [
                {
                    "place": place.place,
                    "run": place.run,
                    "mean": place.cell.value,
                    "n": place.cell.n,
                    "low": place.low,
                    "high": place.high,
                    "best_place": place.best,
                    "worst_place": place.worst,
                }
                for place in self.places
            ],
        }


def rank(runs: Sequence[RecordedRun], metric: str, confidence: float, method: str) -> Leaderboard:
    """The runs that have the metric, best mean first; of equal means the earlier argument first.

    A run's best place is one after the runs that are better beyond the noise; all pairs are one family of tests.
    """
    known = [run for run in runs if (ALL, metric) in run.cells]
    ordered = sorted(known, key=lambda run: -run.cells[ALL, metric].value)
    pairs = [find_difference(one, other, ALL, metric, confidence) for one, other in combinations(ordered, 2)]
    judged = judge([pair for pair in pairs if pair is not None], method, 1.0 - confidence)
    better = {run.name: 0 for run in ordered}
    worse = {run.name: 0 for run in ordered}
    for difference in judged:
        if difference.verdict == BETTER:
            better[difference.before_run] += 1
            worse[difference.run] += 1
        elif difference.verdict == WORSE:
            better[difference.run] += 1
            worse[difference.before_run] += 1
    places = []
    for number, run in enumerate(ordered, 1):
        cell = run.cells[ALL, metric]
        tasks = {
            group: estimate_cell(its, confidence)
            for (group, name), its in run.cells.items()
            if name == metric and kind_of(group) == "task"
        }
        whole = stratify({**tasks, ALL: estimate_cell(cell, confidence)}, confidence=confidence)
        best, worst = 1 + better[run.name], len(ordered) - worse[run.name]
        places.append(RankedRun(number, run.name, cell, whole.low, whole.high, best, worst))
    tests = sum(difference.change.p is not None for difference in judged)
    return Leaderboard(metric, tuple(places), tests, _state(places, judged))


def _state(places: Sequence[RankedRun], judged: Sequence[Difference]) -> str:
    if len(places) < 2:
        return "one run alone has no place"
    if all(difference.verdict == UNKNOWN for difference in judged):
        return "which places are separable cannot be told: n was not recorded"
    top = [place.run for place in places if place.best == 1]
    if all(difference.verdict not in (BETTER, WORSE) for difference in judged):
        return f"no two of the {len(places)} places are separable: every difference is within the noise"
    if len(top) == 1:
        return f"{top[0]} is first beyond the noise"
    contiguous = [place.run for place in places[: len(top)]] == top
    said = f"places 1 to {len(top)}" if contiguous else "the places"
    return f"{said} are not separable: {', '.join(top)}"
