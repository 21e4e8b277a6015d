"""The gold self-test: each reference, scored as if a policy had written it, must earn the maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from rewards.types import Completion, Example, RewardFunction

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

FULL = 0.999
"""What counts as the maximum: a weighted mean of parts may miss 1 by a rounding."""

MOST_ERRORS = 20
"""A function that has failed so often is not asked again: each call may take the whole time limit."""

_AT_A_TIME = 500
"""Rows asked about and scored together, so that what a function has read of a reference is still at hand for its score."""


class GoldFailure(NamedTuple):
    """A reference that does not reach the maximum of a function, or, with value None, a row that the function cannot use."""

    example_id: str
    function: str
    value: float | None
    reason: str

    def __str__(self) -> str:
        scored = "" if self.value is None else f"its reference scores {self.value:.4f}, not 1: "
        return f"example '{self.example_id}', reward '{self.function}': {scored}{self.reason}"


def gold_self_test(
    host: RewardHost, examples: Iterable[Example], on_progress: Callable[[int], object] = lambda done: None
) -> list[GoldFailure]:
    """Score each reference as if a policy had written it: every function that judges content must give the maximum.

    The rows' own `problems()` come first. Failures are in the order of the examples. Nothing is counted against the
    error budget. `on_progress` hears how many rows are done.
    """
    examples = list(examples)
    failures: list[tuple[int, int, GoldFailure]] = []
    errors, untried, last = ([0] * len(host.functions) for _ in range(3))
    for start in range(0, len(examples), _AT_A_TIME):
        pairs = [(row, Completion(row.reference or "")) for row in examples[start : start + _AT_A_TIME]]
        asked: list[list[int]] = [[] for _ in host.functions]
        for place, (example, _) in enumerate(pairs):
            for at, entry in enumerate(host.functions):
                if not entry.applies_to(example.task):
                    continue
                function = entry.function
                problems = host.problems(entry, example)
                failures.extend(
                    (start + place, at, GoldFailure(example.id, function.name, None, line)) for line in problems
                )
                if example.reference is not None and not problems and function.judges_content:
                    asked[at].append(place)
        for at, places in enumerate(asked):
            entry, left = host.functions[at], MOST_ERRORS - errors[at]
            outcomes = host.judge_many(entry, [pairs[place] for place in places], left) if left else []
            untried[at] += len(places) - len(outcomes)
            for place, outcome in zip(places, outcomes, strict=False):
                errors[at] += outcome.status == "error"
                if outcome.status == "error" or (outcome.value is not None and outcome.value < FULL):
                    reason = outcome.reason if outcome.value is None else f"{outcome.reason}{_hint(entry.function)}"
                    failed = GoldFailure(pairs[place][0].id, entry.function.name, outcome.value, reason)
                    last[at] = len(failures)
                    failures.append((start + place, at, failed))
        on_progress(start + len(pairs))
    for at, count in enumerate(untried):
        if count:
            place, _, failed = failures[last[at]]
            reason = (
                f"{failed.reason} (the {MOST_ERRORS}th failure to give a score; {count} more references were not tried)"
            )
            failures[last[at]] = place, at, failed._replace(reason=reason)
    return [failure for *_, failure in sorted(failures, key=lambda found: found[:2])]


def _hint(function: RewardFunction) -> str:
    """What else may be wrong if a function saw only right answers, and all of them at once."""
    if not function.together:
        return ""
    return (
        f" (it sees the completions of a {function.together} at once: if it compares them with each other, right answers "
        "alone cannot all earn 1; then set judges_content = False)"
    )
