"""Answers that repeat themselves are ended where an evaluation asks for it: by one rule, as a prefix of what they would have been."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from grpo.generation.repetition import LEAST_TOKENS, MOST_BLOCK, find_stop

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from callbacks.config import EvaluationSection  # noqa: E402
from grpo.generation.answers import Settings, answer_batch, prepare_answers, take_answer  # noqa: E402
from grpo.generation.repetition import Repetitions  # noqa: E402
from grpo.policy.loading import Policy  # noqa: E402
from rewards.types import Example  # noqa: E402


@pytest.mark.parametrize(
    ("ids", "times", "stop"),
    [
        ([1, *[7] * 100], 4, 1 + LEAST_TOKENS),  # a token alone needs 32 in a row
        ([1, *[7] * (LEAST_TOKENS - 1), 2], 4, None),
        (list(range(100, 120)) * 4, 4, 80),  # a block of 20 has been there four times after 80 tokens
        (list(range(100, 120)) * 3 + list(range(100, 119)), 4, None),
        (list(range(100, 120)) * 4, 3, 60),
        (list(range(100, 100 + MOST_BLOCK)) * 2, 2, 2 * MOST_BLOCK),
        (list(range(100, 101 + MOST_BLOCK)) * 3, 2, None),  # a longer block is not seen
        ([], 2, None),
    ],
)
def test_text_when_its_last_block_stands_there_often_enough_then_it_stops_there(ids, times, stop):
    """Counted by hand."""
    assert find_stop(ids, times) == stop


def test_rule_when_followed_token_by_token_then_finds_what_the_whole_text_shows():
    """Rows in any order and not all at each step, as a batch moves them."""
    chance = random.Random(5)
    texts = []
    for _ in range(24):
        block = [chance.randrange(3) for _ in range(chance.randrange(1, 30))]
        head = [chance.randrange(3) for _ in range(chance.randrange(40))]
        texts.append((head + block * 12)[:200])
    repetitions = Repetitions(len(texts), 4)
    found: dict[int, int] = {}
    for place in range(200):
        rows = [row for row, text in enumerate(texts) if row not in found and place < len(text)]
        chance.shuffle(rows)
        if not rows:
            break
        tokens = torch.tensor([texts[row][place] for row in rows])
        for row, loops in zip(rows, repetitions.note(torch.tensor(rows), tokens).tolist(), strict=True):
            if loops:
                found[row] = place + 1
    wanted = {row: stop for row, text in enumerate(texts) if (stop := find_stop(text, 4)) is not None}
    assert found == wanted and len(wanted) > 10


@pytest.fixture(scope="module")
def policy():
    """A tiny policy of random weights, which repeats itself when it is asked greedily."""
    from grpo.config.sections import EmbeddedSection, ModelSection
    from grpo.policy.loading import load_policy

    shape = EmbeddedSection(vocabulary=320, hidden_size=32, intermediate_size=32, layers=1, heads=2, kv_heads=1)
    return load_policy(
        ModelSection(embedded=shape, max_sequence_length=400), texts=["ação um dois três"], seed=1, device="cpu"
    )


def make_rows(count: int) -> list[Example]:
    return [
        Example(
            id=f"r{number}",
            task="t",
            prompt=[{"role": "user", "content": f"ação {number * 7} um dois"}],
            reference="um",
        )
        for number in range(count)
    ]


def settings(times: int | None, temperature: float = 0.0) -> Settings:
    return Settings(temperature, 1.0, 0, 1.0, 150, 1, 5, times)


def test_answers_when_loops_are_ended_then_each_is_the_beginning_of_what_it_was(policy: Policy):
    """Rows leave the batch at different steps; none that does not loop changes by a token."""
    rows = make_rows(9)
    prompts = [policy.prompts.prompt_ids(row.prompt) for row in rows]
    whole = [each[0] for each in answer_batch(policy, rows, prompts, settings(None))]
    ended = [each[0] for each in answer_batch(policy, rows, prompts, settings(4))]
    assert any(answer.completion.repeated for answer in ended)
    for before, after in zip(whole, ended, strict=True):
        assert not before.completion.repeated
        assert before.completion.text.startswith(after.completion.text.rstrip("\ufffd"))
        if after.completion.repeated:
            assert after.completion.truncated and after.tokens < before.tokens
        else:
            assert (after.completion.text, after.tokens) == (before.completion.text, before.tokens)


def test_answers_when_the_batch_has_ended_the_loops_then_they_are_not_looked_for_again(policy: Policy, monkeypatch):
    """The last token says it: no end, and not the limit."""
    from grpo.generation import answers

    monkeypatch.setattr(answers, "find_stop", lambda *_: pytest.fail("looked for a loop again"))
    rows = make_rows(4)
    found = answer_batch(policy, rows, [policy.prompts.prompt_ids(row.prompt) for row in rows], settings(4))
    assert any(each[0].completion.repeated for each in found)


def test_answer_when_someone_else_wrote_it_whole_then_it_is_cut_where_ours_would_have_ended(policy: Policy):
    """vLLM and a model's own generate know no such rule; what is judged must not depend on who writes."""
    rows = make_rows(4)
    prompts = [policy.prompts.prompt_ids(row.prompt) for row in rows]
    ours = [each[0] for each in answer_batch(policy, rows, prompts, settings(4))]
    plain = Policy(policy.model, policy.tokenizer, fallback="a test")
    theirs = [each[0] for each in answer_batch(plain, rows, prompts, settings(4))]
    assert [(a.completion.text, a.completion.repeated, a.tokens) for a in ours] == [
        (a.completion.text, a.completion.repeated, a.tokens) for a in theirs
    ]


def test_answer_when_it_ends_by_itself_or_at_its_limit_then_it_is_not_one_that_was_ended(policy: Policy):
    """A loop that its end token closes is an answer; one that the limit meets first is truncated as always."""
    end = policy.eos_ids[0]
    closed = take_answer(policy.prompts, [9] * 20 + [end], {end}, settings(4))
    assert not closed.completion.truncated and not closed.completion.repeated
    at_limit = take_answer(policy.prompts, [9] * 32, {end}, Settings(0.0, 1.0, 0, 1.0, 32, 1, 5, 4))
    assert at_limit.completion.truncated and not at_limit.completion.repeated


def test_settings_when_loops_are_not_ended_then_they_are_written_as_before():
    """Evaluations of an earlier version are resumed and compared by these."""
    assert "stop_repetition" not in settings(None).to_json()
    assert settings(4).to_json() == settings(None).to_json() | {"stop_repetition": 4}


def test_evaluation_when_rows_are_ended_then_their_share_is_a_metric_of_its_own_and_the_row_says_so(policy: Policy):
    """Beside the truncated, of which they are a part; an evaluation without the setting has no such metric."""
    from callbacks.evaluation.best import BestCheckpoint
    from callbacks.evaluation.eval import HeldOutEvaluation
    from rewards.host.records import make_record
    from rewards.host.verdicts import ScoredCompletion

    rows, told = make_rows(6), []

    class Host:
        def score(self, pairs):
            return [ScoredCompletion(example, completion, (), 0.5) for example, completion in pairs]

        to_record = staticmethod(make_record)

    for times in (None, 4):
        section = EvaluationSection(temperature=0.0, stop_repetition=times)
        _, answer = prepare_answers(policy, rows, section, max_completion_length=150, processes=1)
        written = answer(range(len(rows)))
        HeldOutEvaluation(
            rows, lambda *_, written=written: written, Host(), section, None, lambda *given: told.append(given[2]),
            lambda *_: None, lambda _: None, BestCheckpoint(0.0),
        ).run("before", 0)  # fmt: skip
        assert any(make_record(ScoredCompletion(rows[0], each, (), 0.5)).get("repeated") for each in written) == bool(
            times
        )
    assert "eval/repeated_ratio" not in told[0]
    assert 0 < told[1]["eval/repeated_ratio"] <= told[1]["eval/truncated_ratio"]


@pytest.mark.parametrize("times", [1, 1_001, 10**30])
def test_config_when_the_number_of_repeats_means_nothing_then_it_is_refused(times):
    """One stands in every answer; beyond the length of any answer a whole number of the device overflows."""
    with pytest.raises(ValidationError):
        EvaluationSection(stop_repetition=times)
