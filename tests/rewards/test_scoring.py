"""The reward host: means, faults, budgets, the stored row and the gold self-test."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.errors import RewardBudgetExceeded, UserError
from rewards.functions.json_valid import JsonValid
from rewards.scoring import RewardHost, WeightedFunction, gold_self_test
from rewards.types import Completion, Example, RewardFunction, Score


class Echo(RewardFunction):
    """The number that the completion is."""

    name: ClassVar[str] = "echo"
    version: ClassVar[str] = "7"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(float(completion.text), "as written", {"whole": 1.0})


class Half(RewardFunction):
    """A half for one task, unless the text says none."""

    name: ClassVar[str] = "half"
    version: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("b",)
    judges_content: ClassVar[bool] = False

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(None, "says none") if completion.text == "none" else Score(0.5)


class Returns(RewardFunction):
    """Returns what the test wants."""

    name: ClassVar[str] = "returns"
    version: ClassVar[str] = "1"
    answer: Any = None

    def __call__(self, example: Example, completion: Completion) -> Score:
        return self.answer

    def problems(self, example: Example) -> list[str]:
        return ["bad row"] if example.id == "bad" else []


def example_of(task: str = "a", id: str = "1", reference: str | None = "1") -> Example:
    return Example(id, task, [{"role": "user", "content": "?"}], reference)


def test_score_when_two_functions_apply_then_is_their_weighted_mean():
    """(3 x 1.0 + 1 x 0.5) / 4, and a function of another task stays out."""
    host = RewardHost([WeightedFunction(Echo(), weight=3.0), Half()])
    both, one = host.score([(example_of("b"), Completion("1")), (example_of("a"), Completion("0.25"))])
    assert both.reward == 0.875 and one.reward == 0.25
    assert [outcome.status for outcome in one.outcomes] == ["value", "unscored"]


def test_score_when_no_function_gives_a_value_then_the_reward_is_none():
    """No verdict is no zero."""
    (scored,) = RewardHost([Half()]).score([(example_of("b"), Completion("none"))])
    assert scored.reward is None and scored.outcomes[0].reason == "says none"


@pytest.mark.parametrize(
    "answer",
    [
        Score(math.nan),
        Score(math.inf),
        Score(1.5),
        Score(-0.1),
        Score(True),
        Score("1"),
        Score(0.5, "", {"part": math.nan}),
        Score(0.5, "", {"part": 2}),
        0.5,
        "text",
    ],
)
def test_score_when_the_function_breaks_its_contract_then_is_an_error_and_not_a_value(answer):
    """NaN, a number outside 0..1 and a bare float never become a reward."""
    (scored,) = RewardHost([Returns.model_construct(answer=answer)]).score([(example_of(), Completion("x"))])
    assert scored.outcomes[0].status == "error" and scored.reward is None and scored.outcomes[0].value is None


def test_score_when_rounding_passes_one_then_is_cut_to_one():
    """A weighted mean may miss 1 by a rounding."""
    (scored,) = RewardHost([Returns.model_construct(answer=Score(1 + 1e-12))]).score([(example_of(), Completion("x"))])
    assert scored.reward == 1.0


def test_score_when_a_function_raises_then_the_others_still_count():
    """One broken function costs its own score only."""
    host = RewardHost([Echo(), Half()])
    (scored,) = host.score([(example_of("b"), Completion("not a number"))])
    assert scored.reward == 0.5 and scored.outcomes[0].reason.startswith("ValueError: ")
    assert host.report()["echo"]["faults"] == {"ValueError": 1}


def test_score_when_the_budget_is_passed_then_names_function_version_and_example():
    """Two faults in 50 scores are more than 1 %."""
    host = RewardHost([Echo()], error_budget_minimum=50)
    pairs = [(example_of(id=str(n)), Completion("x" if n in (3, 48) else "1")) for n in range(60)]
    host.score(pairs[:49])
    with pytest.raises(RewardBudgetExceeded) as caught:
        host.score(pairs[49:])
    error = caught.value
    assert (error.function, error.version, error.example_id) == ("echo", "7", "48")
    assert "'echo' version 7: 2 of 50 scores failed" in str(error)


def test_score_when_faults_stay_within_the_budget_then_goes_on():
    """One fault in 100 scores is 1 %, which is allowed."""
    host = RewardHost([Echo()], error_budget=0.01, error_budget_minimum=10)
    texts = ["1"] * 99 + ["x"]
    assert len(host.score([(example_of(), Completion(text)) for text in texts])) == 100


def test_report_when_scores_were_given_then_counts_them():
    """Counts, mean and seconds by function."""
    host = RewardHost([Echo(), Half()])
    host.score([(example_of("b"), Completion("1")), (example_of("a"), Completion("0"))])
    report = host.report()
    assert (report["echo"]["values"], report["echo"]["mean"], report["half"]["unscored"]) == (2, 0.5, 1)
    assert report["echo"]["slowest_seconds"] >= 0


def test_to_record_when_stored_then_has_the_keys_of_the_contract():
    """The stored row is what the architecture says, and JSON."""
    host = RewardHost([Echo(), JsonValid()], error_budget=1)
    scored = host.score([(example_of("b"), Completion("0.5", truncated=True))])[0]
    record = json.loads(json.dumps(host.to_record(scored)))
    assert list(record) == [
        "id",
        "task",
        "prompt",
        "completion",
        "reference",
        "truncated",
        "reward",
        "scores",
        "repairs",
    ]
    assert record["scores"]["echo"] == {
        "value": 0.5,
        "status": "value",
        "reason": "as written",
        "version": "7",
        "parts": {"whole": 1.0},
    }
    assert record["truncated"] is True and record["repairs"] == []


def test_host_when_a_function_is_given_twice_then_is_refused():
    """Two functions of one name would share their metrics."""
    with pytest.raises(UserError, match="twice"):
        RewardHost([Echo(), Echo()])


def test_completion_when_several_functions_read_json_then_it_is_read_once(monkeypatch):
    """Reading is shared between functions."""
    import rewards.extraction

    calls = []
    original = rewards.extraction.extract_json
    monkeypatch.setattr(
        rewards.extraction, "extract_json", lambda text, **more: calls.append(text) or original(text, **more)
    )

    class Other(JsonValid):
        name: ClassVar[str] = "other"

    RewardHost([JsonValid(), Other()]).score([(example_of(), Completion("{}"))])
    assert calls == ["{}"]


def test_gold_self_test_when_a_reference_misses_the_maximum_then_is_listed():
    """A reference that its own reward does not love would spoil the run."""
    host = RewardHost([Echo()])
    failures = gold_self_test(
        host, [example_of(id="right"), example_of(id="low", reference="0.9"), example_of(id="text", reference="x")]
    )
    assert [(failure.example_id, failure.value) for failure in failures] == [("low", 0.9), ("text", None)]
    assert "example 'low', reward 'echo'" in str(failures[0])
    assert host.report()["echo"]["values"] == 0


def test_gold_self_test_when_a_row_has_problems_then_lists_them_and_skips_scoring():
    """What a function says of the row comes first."""
    host = RewardHost([Returns.model_construct(answer=Score(0.0)), Half()])
    (failure,) = gold_self_test(host, [example_of("b", id="bad")])
    assert failure == ("bad", "returns", None, "bad row")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.1, 10))
def test_score_when_values_are_legal_then_rewards_are_in_range_and_in_order(values, weight):
    """Order is kept, and a single function's weight does not change its mean."""
    host = RewardHost([WeightedFunction(Echo(), weight=weight)])
    scored = host.score([(example_of(id=str(at)), Completion(repr(value))) for at, value in enumerate(values)])
    assert [item.example.id for item in scored] == [str(at) for at in range(len(values))]
    assert [item.reward for item in scored] == pytest.approx(values)
