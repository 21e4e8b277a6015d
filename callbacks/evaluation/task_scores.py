"""Scored completions turned into a mean, a count and a 95 % interval for all and for each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import TYPE_CHECKING

from rewards.statistics.estimates import ALL, Estimate, estimate_mean, interval_of, stratify

if TYPE_CHECKING:
    from rewards.host.verdicts import ScoredCompletion

_MEAN_KEY = "mean_reward"


_SUFFIXES = ("n", "std", "low", "high")


# What an evaluation row holds besides its tasks.
OTHER_METRICS = frozenset({"truncated_ratio", "repeated_ratio", "unscored", "mean_length", "loss", "noise"})


def summarise(values: Iterable[tuple[str, float | None]]) -> dict[str, Estimate]:
    """Estimates of (task, reward) pairs, under `all` and under each task, tasks in alphabetical order.

    A reward of None (nothing scored the completion) is left out of the means and of n. Raises ValueError for a reward
    that is not finite and for a task called `all`.
    """
    by_task: dict[str, list[float]] = defaultdict(list)
    every: list[float] = []
    for task, reward in values:
        if task == ALL:
            raise ValueError(f"a task may not be called {ALL!r}: that key holds the mean over all tasks")
        scored = by_task[task]
        if reward is None:
            continue
        if not isfinite(reward):
            raise ValueError(f"task {task!r}: the reward {reward} is not a finite number")
        scored.append(float(reward))
        every.append(float(reward))
    estimates = {ALL: estimate_mean(every), **{task: estimate_mean(by_task[task]) for task in sorted(by_task)}}
    return {**estimates, ALL: stratify(estimates)}


def summarise_functions(scored: Iterable[ScoredCompletion]) -> dict[str, Estimate]:
    """Estimates of each reward function over the completions that it gave a value, in the order of the functions.

    Empty where no completion was scored by more than one: then a function's mean is that of its tasks.
    """
    values: dict[str, list[float]] = defaultdict(list)
    several = False
    for each in scored:
        given = {outcome.function: outcome.value for outcome in each.outcomes if outcome.value is not None}
        several = several or len(given) > 1
        for name, value in given.items():
            values[name].append(value)
    return {name: estimate_mean(each) for name, each in values.items()} if several else {}


def function_metrics(estimates: Mapping[str, Estimate]) -> dict[str, float | int | None]:
    """The metric keys of the functions in an evaluation row: `eval_by_function/<function>`, each with _n, _low, _high."""
    return {
        f"eval_by_function/{name}{end}": value
        for name, each in estimates.items()
        for end, value in (("", each.mean), ("_n", each.n), ("_low", each.low), ("_high", each.high))
    }


def as_number(value: object) -> float | None:
    """A recorded number; None for anything else."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def evaluation_metrics(estimates: Mapping[str, Estimate]) -> dict[str, float | int | None]:
    """The metric keys of one evaluation row: `eval/mean_reward`, `eval/<task>` and each with _n, _std, _low, _high.

    Raises ValueError when the names of two tasks would share a key.
    """
    row: dict[str, float | int | None] = {}
    for name, estimate in estimates.items():
        key = f"eval/{_MEAN_KEY if name == ALL else name}"
        cells = {key: estimate.mean, **{f"{key}_{suffix}": getattr(estimate, suffix) for suffix in _SUFFIXES}}
        shared = sorted(row.keys() & cells.keys())
        if shared:
            raise ValueError(f"task {name!r}: its metric {shared[0]!r} is already another task's; rename one of them")
        row.update(cells)
    return row


def read_estimates(row: Mapping[str, object]) -> dict[str, Estimate]:
    """The estimates in a recorded metrics row, the reverse of `evaluation_metrics`; empty when it is not an evaluation.

    n and std may be missing; an interval that was not recorded is computed where n and std were.
    """
    estimates: dict[str, Estimate] = {}
    for key, mean in row.items():
        if not key.startswith("eval/") or isinstance(mean, bool) or not isinstance(mean, int | float | None):
            continue
        base, _, suffix = key.rpartition("_")
        if suffix in _SUFFIXES and base in row:
            continue
        name = key.removeprefix("eval/")
        if f"{key}_n" not in row and ("/" in name or name in OTHER_METRICS):
            continue
        count, std, low, high = (as_number(row.get(f"{key}_{suffix}")) for suffix in _SUFFIXES)
        n = None if count is None else int(count)
        if mean is not None and n is not None and n >= 2 and std is not None and (low is None or high is None):
            estimate = interval_of(float(mean), n, std)
        else:
            estimate = Estimate(mean, n, std, low, high)
        estimates[ALL if name == _MEAN_KEY else name] = estimate
    return estimates
