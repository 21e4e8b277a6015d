"""Guessing ahead writes the same completions as token by token, in fewer forwards."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from grpo.generation import decoder as decoders  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402
from grpo.generation.speculation import Guesses  # noqa: E402
from tests.grpo.generation.test_decoder import adapt, build  # noqa: E402

PROMPTS = [[5, 6, 7, 8, 9, 5, 6], [11, 12], [5, 6, 7, 8, 9, 10, 11, 12, 13]]


@pytest.fixture(autouse=True)
def one_thread():
    """Several threads share a product out by how busy the machine is, and then round in their last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def write(model, ahead, *, prompts=PROMPTS, seed=0, steps=30, samples=5, **options):
    generator = torch.Generator().manual_seed(seed)
    return generate(
        model, prompts, samples=samples, max_new_tokens=steps, eos_ids=[2, 3], pad_id=0, generator=generator, ahead=ahead,
        entropies=options.get("temperature", 1.0) > 0, **options,
    )  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 0}, {"top_k": 5, "top_p": 0.9}])
@pytest.mark.parametrize("ahead", [1, 4])
def test_completions_when_guessed_ahead_then_are_the_same(ahead, options):
    """Rows that end early and rows that reach the limit, sampled and greedy, with log-probabilities and entropies."""
    for seed in range(3):
        model = build("qwen3", initializer_range=0.2)
        wanted, found = write(model, 0, seed=seed, **options), write(model, ahead, seed=seed, **options)
        assert found.completion_ids == wanted.completion_ids and found.truncated == wanted.truncated
        for name in ("logprobs", "entropies"):
            for mine, theirs in zip(getattr(found, name) or [], getattr(wanted, name) or [], strict=True):
                assert mine == pytest.approx(theirs, abs=1e-4)


def test_completions_when_prompts_share_a_stem_and_have_adapters_then_are_the_same():
    """The long common beginning is read once; rows leave the batch as they end."""
    model = adapt(build("llama", initializer_range=0.2))
    stem = list(range(4, 44))
    prompts = [[*stem, 50], [*stem, 51, 52], [*stem, 53, 54, 55]]
    wanted, found = (write(model, ahead, prompts=prompts, batch_size=8) for ahead in (0, 3))
    assert found.completion_ids == wanted.completion_ids


def count_forwards(model, ahead, **options):
    """How many times the decoder ran, and the completions."""
    steps = []
    inner = decoders.Decoder.step
    decoders.Decoder.step = lambda self, *args: (steps.append(1), inner(self, *args))[1]
    try:
        with torch.inference_mode():
            decoders.find_decoder(model, 8)  # its check is not counted
        steps.clear()
        found = write(model, ahead, **options)
    finally:
        decoders.Decoder.step = inner
    return len(steps), found.completion_ids


def test_forwards_when_texts_repeat_themselves_then_are_fewer():
    """A model that says the same again and again is guessed; so is one whose completions were seen in earlier steps."""
    model = build("qwen3", initializer_range=0.25)
    plain, wanted = count_forwards(model, 0, temperature=0, steps=60)
    guessed, found = count_forwards(model, 4, temperature=0, steps=60)
    assert found == wanted and guessed < 0.8 * plain
    sampled, texts = count_forwards(model, 0)
    earlier = {tuple(ids): texts[5 * n : 5 * n + 5] for n, ids in enumerate(PROMPTS)}
    again, same = count_forwards(model, 4, earlier=earlier)
    assert same == texts and again < 0.6 * sampled


def test_guessing_when_it_is_not_possible_then_completions_are_written_as_ever():
    """A repetition penalty counts what was written; a family without a decoder runs itself."""
    model = build("gemma", head_dim=8)
    assert write(model, 4).completion_ids == write(model, 0).completion_ids
    model = build("llama")
    options = {"repetition_penalty": 1.3}
    assert write(model, 4, **options).completion_ids == write(model, 0, **options).completion_ids


def test_guess_when_the_last_tokens_stood_before_then_is_what_followed():
    """Three tokens are surer than two, the newest place than an older one; a text may still be growing."""
    growing = [1, 2, 3, 4]
    guesses = Guesses([[7, 8, 9, 10, 11, 8, 9, 12]])
    assert guesses.guess([7], [8, 9], 2) == [10, 11]
    assert guesses.guess([0], [8, 9], 2) == [12]
    assert guesses.guess([0], [3], 2) == []
    for end in range(1, 5):
        guesses.note(growing, end)
    growing += [5, 6]
    assert guesses.guess([0], [3, 4], 9) == [5, 6]


def test_completions_when_fresh_memory_holds_anything_then_are_the_same():
    """Arrays grow and rows leave: what no row has written yet is read behind a mask, where even a NaN would count."""
    model = build("qwen3", initializer_range=0.2)
    wanted = write(model, 0, steps=90, samples=8)
    torch.use_deterministic_algorithms(True)  # fills new memory with NaN
    try:
        found = write(model, 4, steps=90, samples=8)
    finally:
        torch.use_deterministic_algorithms(False)
    assert found.completion_ids == wanted.completion_ids
    assert len(set(map(len, found.completion_ids))) > 3
