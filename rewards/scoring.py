"""The reward host: many functions over many completions, where a bad completion is data and a bad function is counted."""

from __future__ import annotations

import math
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.errors import RewardBudgetExceeded, UserError
from rewards.types import Completion, Example, RewardFunction, Score

if TYPE_CHECKING:
    from rewards.worker import Worker

_ROUNDING = 1e-9
"""A weighted mean of parts may miss 0 or 1 by this much."""

_UNREAD: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class WeightedFunction:
    """A function as a run uses it; `isolated` ones are called in a process of their own that can be killed."""

    function: RewardFunction
    weight: float = 1.0
    tasks: tuple[str, ...] | None = None
    isolated: bool = False
    plugin: str = ""
    distribution: str = ""
    path: str | None = None

    def applies_to(self, task: str) -> bool:
        tasks = self.function.tasks if self.tasks is None else self.tasks
        return not tasks or task in tasks


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one function said of one completion; `status` is `value`, `unscored` or `error`."""

    function: str
    version: str
    status: str
    value: float | None
    reason: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoredCompletion:
    """A completion with one outcome a function, in the host's order, and their weighted mean, None when none gave a value."""

    example: Example
    completion: Completion
    outcomes: tuple[Outcome, ...]
    reward: float | None


class GoldFailure(NamedTuple):
    """A reference that does not reach the maximum of a function, or, with value None, a row that the function cannot use."""

    example_id: str
    function: str
    value: float | None
    reason: str

    def __str__(self) -> str:
        scored = "" if self.value is None else f"its reference scores {self.value:.4f}, not 1: "
        return f"example '{self.example_id}', reward '{self.function}': {scored}{self.reason}"


@dataclass(slots=True)
class _Tally:
    values: int = 0
    total: float = 0.0
    unscored: int = 0
    faults: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    last_fault: tuple[str, str] = ("", "")

    @property
    def errors(self) -> int:
        return sum(self.faults.values())

    @property
    def scores(self) -> int:
        return self.values + self.errors


class RewardHost:
    """Scores completions with every function that applies, in order; use as a context manager or call `close`.

    A bare RewardFunction has weight 1 and is called in this process. `timeout_seconds` bounds one call of an isolated
    function. Once a function has given `error_budget_minimum` scores, more than the share `error_budget` of faults
    among them raises RewardBudgetExceeded.
    """

    def __init__(
        self,
        functions: Iterable[RewardFunction | WeightedFunction],
        timeout_seconds: float = 2.0,
        error_budget: float = 0.01,
        error_budget_minimum: int = 50,
    ):
        self.functions: tuple[WeightedFunction, ...] = tuple(
            entry if isinstance(entry, WeightedFunction) else WeightedFunction(entry) for entry in functions
        )
        repeated = [name for name, count in Counter(self.names()).items() if count > 1]
        if repeated:
            raise UserError([f"reward function '{name}' is used twice in one host; use it once" for name in repeated])
        self.timeout_seconds = timeout_seconds
        self.error_budget = error_budget
        self.error_budget_minimum = error_budget_minimum
        self._tallies = {name: _Tally() for name in self.names()}
        self._workers: dict[str, Worker] = {}
        self._finalizer = weakref.finalize(self, _close_workers, self._workers)

    def names(self) -> list[str]:
        return [entry.function.name for entry in self.functions]

    def versions(self) -> dict[str, str]:
        return {entry.function.name: entry.function.version for entry in self.functions}

    def functions_for(self, task: str) -> list[WeightedFunction]:
        """The functions that apply to a task, none when a task would go unrewarded."""
        return [entry for entry in self.functions if entry.applies_to(task)]

    def score(self, pairs: Sequence[tuple[Example, Completion]]) -> list[ScoredCompletion]:
        """Score each pair, results in the order given; raises RewardBudgetExceeded, and nothing for a bad completion."""
        return [self._score_one(example, completion) for example, completion in pairs]

    def judge(self, entry: WeightedFunction, example: Example, completion: Completion) -> Outcome:
        """One function's outcome, without counting it."""
        function = entry.function
        if not entry.applies_to(example.task):
            return _outcome(function, "unscored", reason=f"not for task '{example.task}'")
        started = time.perf_counter()
        try:
            if entry.isolated:
                score = self._worker(entry).call(example, completion, self.timeout_seconds)
            else:
                score = function(example, completion)
            outcome = _read_score(function, score)
        except Exception as error:  # a plugin's fault is data for the budget, never the end of a batch
            kind = getattr(error, "kind", None) or type(error).__name__
            message = " ".join(str(error).split())[:300]
            outcome = _outcome(function, "error", reason=f"{kind}: {message}" if message else kind)
        return _outcome(
            function,
            outcome.status,
            outcome.value,
            outcome.reason,
            outcome.parts,
            time.perf_counter() - started,
        )

    def report(self) -> dict[str, dict[str, Any]]:
        """Counts, mean value, faults by kind and seconds of every function so far."""
        report = {}
        for entry in self.functions:
            name, tally = entry.function.name, self._tallies[entry.function.name]
            worker = self._workers.get(name)
            report[name] = {
                "version": entry.function.version,
                "plugin": entry.plugin,
                "distribution": entry.distribution,
                "weight": entry.weight,
                "values": tally.values,
                "mean": tally.total / tally.values if tally.values else None,
                "unscored": tally.unscored,
                "errors": tally.errors,
                "faults": dict(sorted(tally.faults.items())),
                "seconds": tally.seconds,
                "mean_seconds": tally.seconds / tally.scores if tally.scores else 0.0,
                "slowest_seconds": tally.slowest_seconds,
                "worker_starts": worker.starts if worker else 0,
            }
        return report

    def to_record(self, scored: ScoredCompletion) -> dict[str, Any]:
        """The stored-completion row; `step`, `stage`, `group` and `advantage` are the caller's to add."""
        example, completion = scored.example, scored.completion
        return {
            "id": example.id,
            "task": example.task,
            "prompt": [dict(message) for message in example.prompt],
            "completion": completion.text,
            "reference": example.reference,
            "truncated": completion.truncated,
            "reward": scored.reward,
            "scores": {
                outcome.function: {
                    "value": outcome.value,
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "version": outcome.version,
                    "parts": dict(outcome.parts),
                }
                for outcome in scored.outcomes
            },
            "repairs": repair_kinds(completion),
        }

    def close(self) -> None:
        """End the worker processes; a later score starts them again."""
        _close_workers(self._workers)

    def __enter__(self) -> RewardHost:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _score_one(self, example: Example, completion: Completion) -> ScoredCompletion:
        outcomes = []
        weighted = weights = 0.0
        for entry in self.functions:
            outcome = self.judge(entry, example, completion)
            outcomes.append(outcome)
            if outcome.value is not None:
                weighted += entry.weight * outcome.value
                weights += entry.weight
            self._count(entry, outcome, example)
        return ScoredCompletion(example, completion, tuple(outcomes), weighted / weights if weights else None)

    def _count(self, entry: WeightedFunction, outcome: Outcome, example: Example) -> None:
        tally = self._tallies[outcome.function]
        if outcome.status == "unscored":
            tally.unscored += 1
            return
        tally.seconds += outcome.seconds
        tally.slowest_seconds = max(tally.slowest_seconds, outcome.seconds)
        if outcome.value is not None:
            tally.values += 1
            tally.total += outcome.value
        else:
            tally.faults[outcome.reason.partition(":")[0]] += 1
            tally.last_fault = (example.id, outcome.reason)
        if tally.scores >= self.error_budget_minimum and tally.errors > self.error_budget * tally.scores:
            example_id, reason = tally.last_fault
            raise RewardBudgetExceeded(
                f"reward '{outcome.function}' version {outcome.version}"
                + (f" of plugin '{entry.plugin}' ({entry.distribution})" if entry.plugin else "")
                + f": {tally.errors} of {tally.scores} scores failed, allowed is {self.error_budget:.1%}; "
                f"last on example '{example_id}': {reason}; mend the plugin or raise rewards.error_budget",
                function=outcome.function,
                version=outcome.version,
                example_id=example_id,
            )

    def _worker(self, entry: WeightedFunction) -> Worker:
        name = entry.function.name
        if name not in self._workers:
            from rewards.worker import Worker

            self._workers[name] = Worker(entry.function, entry.path)
        return self._workers[name]


def gold_self_test(host: RewardHost, examples: Iterable[Example]) -> list[GoldFailure]:
    """Score each reference as if a policy had written it: every function that judges content must give the maximum.

    The rows' own `problems()` come first, example by example. Nothing is counted against the error budget.
    """
    failures = []
    for example in examples:
        completion = None if example.reference is None else Completion(example.reference)
        for entry in host.functions_for(example.task):
            function = entry.function
            try:
                problems = function.problems(example)
            except Exception as error:
                problems = [f"problems() raised {type(error).__name__}: {error}"]
            failures.extend(GoldFailure(example.id, function.name, None, line) for line in problems)
            if problems or completion is None or not function.judges_content:
                continue
            outcome = host.judge(entry, example, completion)
            if outcome.status == "error" or (outcome.value is not None and outcome.value < 0.999):
                failures.append(GoldFailure(example.id, function.name, outcome.value, outcome.reason))
    return failures


def repair_kinds(completion: Completion) -> list[str]:
    """Kinds of the repairs that reading the completion's JSON took; empty when no function has read any."""
    extraction = completion.__dict__.get("extraction")
    return [] if extraction is None else [str(getattr(r.kind, "value", r.kind)) for r in extraction.repairs]


def _read_score(function: RewardFunction, score: Any) -> Outcome:
    """Check a returned score; a value that is no number in 0..1 is the function's fault."""
    if score is None:
        return _outcome(function, "unscored", reason="does not apply")
    if not isinstance(score, Score):
        return _outcome(function, "error", reason=f"contract: returned {type(score).__name__}, not Score")
    if score.value is None:
        return _outcome(function, "unscored", reason=score.reason or "does not apply")
    value = _in_range(score.value)
    if value is None:
        return _outcome(function, "error", reason=f"range: value {score.value!r} is no number in 0..1")
    parts = {}
    for name, part in score.parts.items():
        checked = _in_range(part)
        if checked is None:
            return _outcome(function, "error", reason=f"range: part '{name}' is {part!r}, no number in 0..1")
        parts[str(name)] = checked
    return _outcome(function, "value", value, str(score.reason), parts)


def _in_range(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    number = float(value)
    if not math.isfinite(number) or not -_ROUNDING <= number <= 1.0 + _ROUNDING:
        return None
    return min(1.0, max(0.0, number))


def _outcome(
    function: RewardFunction,
    status: str,
    value: float | None = None,
    reason: str = "",
    parts: Mapping[str, float] = _UNREAD,
    seconds: float = 0.0,
) -> Outcome:
    return Outcome(function.name, function.version, status, value, reason, parts, seconds)


def _close_workers(workers: dict[str, Worker]) -> None:
    while workers:
        workers.popitem()[1].close()
