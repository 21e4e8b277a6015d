"""However the prompts are cut into batches, each completion is in one, and the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grpo.generation.generate import batches, generate
from grpo.generation.kv_cache import arrange
from tests.grpo.generation.models import PAD, build, cached, make_prompts, run, seeded


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 8, 100])
def test_generate_when_batches_differ_then_completions_are_the_same(batch_size, monkeypatch):
    """One number is drawn for each token before anything runs, so batching and compaction cannot move it."""
    model, prompts = cached("llama"), make_prompts([3, 9, 5, 5, 1])
    options = {"samples": 4, "max_new_tokens": 30, "temperature": 1.2}
    wanted = run(model, prompts, generator=seeded(5), **options)
    assert len({len(tokens) for tokens in wanted.completion_ids}) > 5
    monkeypatch.setattr("grpo.generation.batch.PACK_TOKENS_CPU", batch_size)
    found = run(model, prompts, generator=seeded(5), batch_size=batch_size, **options)
    assert found.completion_ids == wanted.completion_ids
    assert run(model, prompts, generator=seeded(6), **options).completion_ids != wanted.completion_ids


def test_generate_when_rows_finish_then_they_leave_the_batch():
    """A finished row costs nothing for long, and a batch that is done stops at once."""
    model, prompts = build("qwen3"), make_prompts([4, 6])
    sizes = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, out: sizes.append(tuple(args[0].shape)))
    options = {"samples": 8, "max_new_tokens": 60, "temperature": 1.3, "pad_id": PAD}
    found = generate(model, prompts, eos_ids={2, 3, 4, 5}, generator=seeded(1), **options)
    longest = max(len(tokens) for tokens in found.completion_ids)
    assert sizes[0] == (1, 10)  # each prompt once, no padding
    assert len(sizes) == longest < 60
    work, needed = sum(rows for rows, _ in sizes[1:]), sum(len(tokens) - 1 for tokens in found.completion_ids)
    assert sizes[1] == (16, 1)
    assert sizes[-1][0] <= 4
    assert work < 1.34 * needed + 16


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any), st.integers(1, 300), st.integers(1, 300))
def test_arrange_when_rows_are_left_then_each_has_one_place_and_no_size_is_cheaper(sizes, row_cost, prompt_cost):
    """Chunks are of one size, hold rows of one group, and cost least."""
    groups = [[100 * group + i for i in range(size)] for group, size in enumerate(sizes)]
    sources, chunks = arrange(groups, row_cost, prompt_cost)
    assert len({len(chunk) for chunk in chunks}) == 1
    assert all(chunk[0] is not None for chunk in chunks)
    placed = [(group, row) for group, chunk in zip(sources, chunks, strict=True) for row in chunk if row is not None]
    assert placed == [(group, row) for group, rows in enumerate(groups) for row in rows]
    costs = [sum(-(-n // size) for n in sizes) * (size * row_cost + prompt_cost) for size in range(1, 10)]
    assert len(chunks) * (len(chunks[0]) * row_cost + prompt_cost) == min(costs)


@given(st.lists(st.integers(1, 50), max_size=12), st.integers(1, 6), st.one_of(st.none(), st.integers(1, 9)))
def test_batches_when_cut_then_each_completion_is_in_one_and_none_is_too_large(lengths, samples, batch_size):
    """Every completion is written once, next to its prompt, within the limit."""
    found = batches(lengths, samples, batch_size)
    pairs = [(p, n) for prompts, rows in found for p, part in zip(prompts, rows, strict=True) for n in part]
    assert sorted(n for _, n in pairs) == list(range(len(lengths) * samples))
    assert all(n // samples == p for p, n in pairs)
    limit = batch_size or len(lengths) * samples
    assert all(sum(map(len, rows)) <= limit for _, rows in found)
    order = [lengths[p] for p, _ in pairs]
    assert order == sorted(order, reverse=True)
