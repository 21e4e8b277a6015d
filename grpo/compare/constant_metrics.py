"""Metrics that are the same in all runs: an alarm about the scorer, unless all is right or all wrote the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grpo.compare.comparability import shared_keys
from grpo.compare.recorded import ALL, REWARD, RecordedRun
from rewards.discovery.existing import PREFIXES, name_function

_FEWEST_RUNS = 3
"""Recorded means that agree by chance are no wonder in two runs."""
_FEWEST_ANSWERS = 10
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Constant:
    """A metric of a group that does not differ between runs. An `alarm` says that the scorer should be looked at first."""

    metric: str
    group: str
    value: float | None
    alarm: bool
    text: str

    @property
    def where(self) -> str:
        """The metric, and the group it is constant in."""
        return self.metric if self.group == ALL else f"{self.metric} of {self.group.partition(':')[2]}"


def find_constants(runs: Sequence[RecordedRun], judged: Collection[str], few: int = 40) -> list[Constant]:
    """The constants of at least two runs. Of rows, only metrics in `judged` and single rewards are cause for alarm.

    A group of fewer than `few` examples is named, not judged: a rare success is easily missed by all of them.
    """
    if len(runs) < 2:
        return []
    keys = shared_keys(runs)
    return _find_in_means(runs, few) if keys is None else _find_in_rows(runs, judged, keys, few)


def _find_in_rows(runs: Sequence[RecordedRun], judged: Collection[str], keys: Collection, few: int) -> list[Constant]:
    differing = {key for key in keys if len({run.rows[key].answer for run in runs}) > 1}
    if keys and not differing:
        text = f"all runs wrote the same {len(keys)} texts: is it the same model?"
        return [Constant("", ALL, None, False, text)]
    foreign = {name for run in runs for name in _name_foreign(run.rewards)}
    found: list[Constant] = []
    for metric in _shared_metrics(runs):
        if "." in metric:
            continue
        for group in _shared_groups(runs, metric):
            if any(known.metric == metric and known.group == ALL for known in found):
                break
            columns = [run.members(group, metric) for run in runs]
            members = [key for key in columns[0] if all(key in column for column in columns)]
            answered = [key for key in members if key in differing]
            if len(answered) < _FEWEST_ANSWERS:
                continue
            if any(abs(column[key] - columns[0][key]) > _SAME for column in columns for key in answered):
                continue
            value = sum(columns[0][key] for key in members) / len(members)
            # A single reward of the run's is judged as part of it; a format that no policy keeps yet is no broken scorer.
            single = metric.startswith(f"{REWARD}/") and metric.removeprefix(f"{REWARD}/") not in foreign
            matters = metric in judged or single
            small = group != ALL and len(members) < few
            found.append(
                _describe(metric, group, value, len(runs), len(answered), alarm=matters and not small, small=small)
            )
    return found


def _name_foreign(rewards: Any) -> list[str]:
    """The functions of a run that were written for another trainer: many of those pay for a form alone."""
    named = rewards if isinstance(rewards, Mapping) else ()
    return [name_function(name) for name in named if name.partition(":")[0] in PREFIXES]


def _find_in_means(runs: Sequence[RecordedRun], few: int) -> list[Constant]:
    found: list[Constant] = []
    for metric in _shared_metrics(runs):
        for group in _shared_groups(runs, metric):
            values = [run.cells[group, metric].value for run in runs]
            if max(values) - min(values) > _SAME:
                continue
            if any(known.metric == metric and known.group == ALL for known in found):
                break
            n = runs[0].cells[group, metric].n
            small = group != ALL and n is not None and n < few
            alarm = len(runs) >= _FEWEST_RUNS and not small
            found.append(_describe(metric, group, values[0], len(runs), None, alarm=alarm, small=small))
    return found


def _describe(
    metric: str, group: str, value: float, runs: int, answers: int | None, *, alarm: bool, small: bool = False
) -> Constant:
    all_runs = "both runs" if runs == 2 else f"all {runs} runs"
    where = metric if group == ALL else f"{metric} of {group.partition(':')[2]}"
    if value >= 1.0 - _SAME:
        return Constant(metric, group, value, False, f"{where} is 1 for {all_runs}: it cannot tell them apart")
    detail = f", example by example, though {answers} answers differ" if answers else ""
    few = ": too few examples to blame the scorer" if small else ""
    if not alarm:
        return Constant(metric, group, value, False, f"{where} is {value:.3f} for {all_runs}{detail}{few}")
    text = (
        f"{where} is {value:.3f} for {all_runs}{detail}: a metric that is the same for every run is an alarm about "
        "the scorer; check that it reads what these models write before believing any other number"
    )
    return Constant(metric, group, value, True, text)


def _shared_metrics(runs: Sequence[RecordedRun]) -> list[str]:
    return [metric for metric in runs[0].metrics() if all(metric in run.metrics() for run in runs[1:])]


def _shared_groups(runs: Sequence[RecordedRun], metric: str) -> list[str]:
    return [group for group in runs[0].groups() if all((group, metric) in run.cells for run in runs)]
