"""Prompts that begin alike are read once, and what is written is the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpo.generation.generate import batches, generate
from grpo.generation.sampling import Sampling
from grpo.generation.shared_prefixes import find_stems
from tests.grpo.generation.models import (
    PAD,
    build,
    cached,
    greedy_of_transformers,
    make_prompts_with_stems,
    processed,
    run,
    seeded,
)


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("name", ["qwen3", "llama", "mistral-window"])
def test_generate_when_prompts_share_their_beginnings_then_tokens_are_those_of_transformers(name, batch_size):
    """Stems of unlike length, prompts without one, a prompt that is another's beginning, a batch that shrinks."""
    model, prompts = cached(name), make_prompts_with_stems([30, 0, 18], [3, 6, 1, 9, 2, 4, 1, 5, 7, 2, 8, 3], seed=4)
    prompts += [prompts[0], prompts[0] + [5, 6]]
    ends = [2, 7, 11, 13, 19]
    wanted = [greedy_of_transformers(model, prompt, 30, ends, repetition_penalty=1.3) for prompt in prompts]
    assert len({len(tokens) for tokens in wanted}) > 2
    found = generate(
        model, prompts, samples=1, max_new_tokens=30, temperature=0, repetition_penalty=1.3, eos_ids=ends, pad_id=PAD,
        batch_size=batch_size,
    )  # fmt: skip
    assert found.completion_ids == wanted


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    stems=st.lists(st.one_of(st.just(0), st.integers(16, 24)), min_size=1, max_size=3),
    tails=st.lists(st.integers(1, 9), min_size=2, max_size=7), samples=st.integers(1, 4), seed=st.integers(0, 1000),
)  # fmt: skip
def test_generate_when_stems_are_of_any_shape_then_logprobs_are_those_of_a_plain_forward(stems, tails, samples, seed):
    """Whatever is shared, what is reported is the model's own distribution."""
    model, prompts = cached("qwen3"), make_prompts_with_stems(stems, tails, seed)
    found = run(model, prompts, samples=samples, max_new_tokens=14, temperature=1.3, generator=seeded(seed))
    for number, (tokens, logprobs) in enumerate(zip(found.completion_ids, found.logprobs, strict=True)):
        wanted = processed(model, prompts[number // samples], tokens, Sampling(temperature=1.3))
        assert logprobs == pytest.approx(wanted, abs=1e-5)


def test_generate_when_prompts_share_their_beginnings_then_these_are_read_once():
    """A page of instructions passes through the model once a batch, not once a prompt."""
    model, prompts = build("qwen3"), make_prompts_with_stems([40, 25], [3, 4, 5, 6])
    seen = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    run(model, prompts, samples=2, max_new_tokens=2, temperature=0)
    assert seen == [40 + 25, 3 + 5 + 4 + 6, 1]


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=8), max_size=10))
def test_find_stems_when_prompts_begin_alike_then_runs_share_what_they_say(prompts):
    """Every prompt is in one run, begins with what its run shares, and has a token of its own."""
    runs = find_stems(prompts, least=2)
    assert sorted(number for _, members in runs for number in members) == list(range(len(prompts)))
    for shared, members in runs:
        assert (shared >= 2) == (len(members) > 1)
        assert len({tuple(prompts[number][:shared]) for number in members}) == 1
        assert all(len(prompts[number]) > shared for number in members)


def test_find_stems_when_tasks_have_their_own_instructions_then_each_is_a_run():
    """The few tokens that all tasks share do not join them."""
    tasks = [[9, 9, 9, *range(100 * task, 100 * task + 40)] for task in range(3)]
    prompts = [tasks[number % 3] + [5000 + number] for number in range(9)]
    assert sorted(find_stems(prompts)) == [(43, [0, 3, 6]), (43, [1, 4, 7]), (43, [2, 5, 8])]


def test_batches_when_prompts_begin_alike_then_they_stay_together():
    """A batch boundary falls between stems where it can."""
    found = batches([9, 4, 8, 5, 9, 3], 1, 2, [(3, [0, 1]), (2, [2, 5]), (0, [3]), (0, [4])])
    assert [prompts for prompts, _ in found] == [[0, 1], [4, 2], [5, 3]]
