"""The reward over thousands of calls with known scores, through the host that training uses."""

from __future__ import annotations

import pytest

from rewards.functions.tool_call import ToolCall
from rewards.host.scoring import RewardHost
from rewards.tool_calls.rendering import DIALECTS
from rewards.types import Completion, Example
from tests.rewards.tool_calls.corpus import describe, make_cases


@pytest.mark.parametrize("seed", [1, 2])
def test_tool_call_when_calls_are_made_and_spoilt_then_scores_are_what_they_must_be(seed):
    """Right calls earn exactly 1 in every dialect against every other, spoilt ones less, and no score is an error."""
    cases = list(make_cases(seed, len(DIALECTS) ** 2 + 40))
    pairs = [
        (Example(str(at), "any", [], case.reference), Completion(case.completion)) for at, case in enumerate(cases)
    ]
    with RewardHost([ToolCall()], error_budget=1.0) as host:
        scored = host.score(pairs)
    wrong = []
    for case, one in zip(cases, scored, strict=True):
        (outcome,) = one.outcomes
        fine = outcome.value is not None and case.low <= outcome.value <= case.high
        if not fine or not all(0.0 <= part <= 1.0 for part in outcome.parts.values()):
            wrong.append(f"{outcome.value} {outcome.reason} of {describe(case)}")
    assert not wrong, f"{len(wrong)} of {len(cases)}: " + "\n".join(wrong[:5])
