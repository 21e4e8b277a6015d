"""The gold self-test: each reference, scored as if a policy had written it, must earn the maximum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from rewards.types import Completion, Example

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost

FULL = 0.999
"""What counts as the maximum: a weighted mean of parts may miss 1 by a rounding."""


MOST_ERRORS = 20
"""A function that has failed so often is not asked again: each call may take the whole time limit."""


class GoldFailure(NamedTuple):
    """A reference that does not reach the maximum of a function, or, with value None, a row that the function cannot use."""

    example_id: str
    function: str
    value: float | None
    reason: str

    def __str__(self) -> str:
        scored = "" if self.value is None else f"its reference scores {self.value:.4f}, not 1: "
        return f"example '{self.example_id}', reward '{self.function}': {scored}{self.reason}"


def gold_self_test(host: RewardHost, examples: Iterable[Example]) -> list[GoldFailure]:
    """Score each reference as if a policy had written it: every function that judges content must give the maximum.

    The rows' own `problems()` come first. Failures are in the order of the examples. Nothing is counted against the
    error budget.
    """
    examples = list(examples)
    failures: list[tuple[int, int, GoldFailure]] = []
    pairs: list[tuple[Example, Completion]] = []
    asked: list[list[int]] = [[] for _ in host.functions]
    for example in examples:
        usable = example.reference is not None
        place = len(pairs)
        pairs.append((example, Completion(example.reference or "")))
        for at, entry in enumerate(host.functions):
            if not entry.applies_to(example.task):
                continue
            function = entry.function
            problems = host.problems(entry, example)
            failures.extend((place, at, GoldFailure(example.id, function.name, None, line)) for line in problems)
            if usable and not problems and function.judges_content:
                asked[at].append(place)
    for at, places in enumerate(asked):
        entry = host.functions[at]
        outcomes = host.judge_many(entry, [pairs[place] for place in places], MOST_ERRORS)
        untried = len(places) - len(outcomes)
        for place, outcome in zip(places, outcomes, strict=False):
            if outcome.status == "error" or (outcome.value is not None and outcome.value < FULL):
                reason = outcome.reason
                if untried and place == places[len(outcomes) - 1]:
                    reason += (
                        f" (the {MOST_ERRORS}th failure to give a score; {untried} more references were not tried)"
                    )
                name = entry.function.name
                failures.append((place, at, GoldFailure(pairs[place][0].id, name, outcome.value, reason)))
    return [failure for *_, failure in sorted(failures, key=lambda found: found[:2])]
