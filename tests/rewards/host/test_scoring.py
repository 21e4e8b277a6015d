"""The reward host: means, faults, budgets, what runs beside what, the stored row and the gold self-test."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from concurrent.futures import CancelledError
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.audit.references import gold_self_test
from rewards.errors import RewardBudgetExceeded, UserError
from rewards.functions.json_valid import JsonValid
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.types import Completion, Example, RewardFunction, Score
from tests.timing import at_most


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
    """No verdict is not a zero."""
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
        "fingerprint": host.identities()["echo"].fingerprint,
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


class Service(RewardFunction):
    """An asynchronous function, as one that asks a judge over the network."""

    name: ClassVar[str] = "service"
    version: ClassVar[str] = "1"

    async def __call__(self, example: Example, completion: Completion) -> Score:
        if completion.text == "hang":
            await asyncio.sleep(60)
        if completion.text == "own limit":
            raise TimeoutError("the server did not answer")
        await asyncio.sleep(0.05)
        return Score(float(completion.text))


class Gate(RewardFunction):
    """Waits until the test opens it."""

    name: ClassVar[str] = "gate"
    version: ClassVar[str] = "1"
    opened: ClassVar[threading.Event] = threading.Event()
    entered: ClassVar[threading.Event] = threading.Event()

    def __call__(self, example: Example, completion: Completion) -> Score:
        self.entered.set()
        assert self.opened.wait(10)
        return Score(1.0)


@pytest.fixture
def gate():
    Gate.opened.clear()
    Gate.entered.clear()
    yield Gate
    Gate.opened.set()


def pairs_of(*texts: str) -> list[tuple[Example, Completion]]:
    return [(example_of(id=str(at)), Completion(text)) for at, text in enumerate(texts)]


def test_score_when_a_function_is_asynchronous_then_its_calls_overlap_and_keep_their_order():
    """Sixteen waits of 0.05 s take one of them, beside a plain function, and each text has its own score."""
    values = [at / 16 for at in range(16)]
    with RewardHost([Service(), Echo()]) as host, at_most(0.6, time.perf_counter):
        scored = host.score(pairs_of(*map(str, values)))
    assert [item.outcomes[0].value for item in scored] == values == [item.outcomes[1].value for item in scored]


def test_score_when_an_asynchronous_function_hangs_then_only_that_score_is_lost():
    """Its limit is ours; a time-out of its own is its exception."""
    with RewardHost([Service()], timeout_seconds=0.2, error_budget=1) as host:
        hung, own, fine = (item.outcomes[0] for item in host.score(pairs_of("hang", "own limit", "0.5")))
    assert hung.reason == "timeout: took longer than 0.2 s" and fine.value == 0.5
    assert own.reason == "TimeoutError: the server did not answer"


def test_score_when_the_caller_has_an_event_loop_then_asynchronous_functions_work_too():
    """As in a notebook."""

    async def cell():
        with RewardHost([Service()]) as host:
            return host.score(pairs_of("0.25"))

    assert asyncio.run(cell())[0].reward == 0.25


def test_submit_when_chunks_are_given_then_the_caller_goes_on_and_results_keep_their_order(gate):
    """Nothing is waited for before `result()`."""
    with RewardHost([gate(), Echo()]) as host:
        first, second = host.submit(pairs_of("0.5", "0.25")), host.submit(pairs_of("0"))
        assert gate.entered.wait(10) and not first.done() and not second.done()
        gate.opened.set()
        assert [item.reward for item in first.result(10)] == [0.75, 0.625]
        assert [item.reward for item in second.result(10)] == [0.5]
        assert host.report()["echo"]["values"] == 3


def test_submit_when_the_budget_is_passed_then_result_raises_with_what_was_scored():
    """The same exception as `score`, and nothing of the batch is lost up to there."""
    with RewardHost([Echo(), Half()], error_budget=0.0, error_budget_minimum=1) as host:
        handle = host.submit([(example_of("b"), Completion(text)) for text in ("1", "x", "1")])
        with pytest.raises(RewardBudgetExceeded) as caught:
            handle.result(10)
    assert [item.reward for item in caught.value.scored] == [0.75, 0.5]


def test_close_when_a_chunk_is_under_way_then_its_result_says_so(gate):
    """An interrupted run does not wait for what nobody will read."""
    host = RewardHost([gate()])
    first, second = host.submit(pairs_of("a", "b")), host.submit(pairs_of("c"))
    assert gate.entered.wait(10)
    threading.Timer(0.05, gate.opened.set).start()
    host.close()
    for handle in (first, second):
        with pytest.raises(CancelledError):
            handle.result(10)
    assert host.score(pairs_of("d"))[0].reward == 1.0


def test_replace_function_when_nothing_is_scored_yet_then_its_options_change():
    """Later, scores of two kinds would be counted together."""
    host = RewardHost([Returns.model_construct(answer=Score(0.0))])
    host.replace_function(Returns.model_construct(answer=Score(1.0)))
    assert host.score(pairs_of("x"))[0].reward == 1.0
    for function in (Returns.model_construct(answer=Score(0.5)), Echo()):
        with pytest.raises(ValueError, match="not in the host, or has scored already"):
            host.replace_function(function)


def test_gold_self_test_when_a_function_always_fails_then_it_is_not_asked_for_ever():
    """A plugin that hangs costs its limit twenty times, not once a row."""
    failures = gold_self_test(RewardHost([Echo()]), [example_of(id=str(n), reference="x") for n in range(100)])
    assert len(failures) == 20 and failures[-1].reason.endswith("80 more references were not tried)")


def test_gold_self_test_when_problems_raises_then_it_is_a_problem_of_the_row():
    """No traceback out of a plugin."""

    class Raises(Echo):
        def problems(self, example: Example) -> list[str]:
            raise KeyError("city")

    (failure,) = gold_self_test(RewardHost([Raises()]), [example_of()])
    assert failure.reason == "problems() raised KeyError: 'city'"


class Quoting(RewardFunction):
    """It quotes the completion in its reason and its part."""

    name: ClassVar[str] = "quoting"
    version: ClassVar[str] = "1"

    def __call__(self, example: Example, completion: Completion) -> Score:
        return Score(0.5, f"not {completion.text}", {completion.text: 0.5})


def test_host_when_a_reason_quotes_half_a_character_then_it_can_still_be_written():
    """A lone surrogate cannot be stored: it must not end the run that stores the reason."""
    with RewardHost([Quoting()]) as host:
        (scored,) = host.score([(Example("1", "b", [], None), Completion("a\ud800b"))])
    (outcome,) = scored.outcomes
    assert (outcome.reason, dict(outcome.parts)) == ("not a\ufffdb", {"a\ufffdb": 0.5})
