"""Our sampling writes what the model's own `generate` writes, from the same distribution."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grpo.generation.generate import generate
from grpo.generation.sampling import Sampling
from tests.grpo.generation.models import (
    EOS,
    MODELS,
    PAD,
    VOCABULARY,
    build,
    cached,
    greedy_of_transformers,
    make_prompts,
    processed,
    run,
    seeded,
)


@pytest.mark.parametrize("penalty", [1.0, 1.4])
@pytest.mark.parametrize("name", MODELS)
def test_generate_when_greedy_then_tokens_are_those_of_transformers(name, penalty):
    """Mixed prompt lengths, a batch that shrinks, windows shorter than the text: token for token the same."""
    model, prompts = cached(name), make_prompts([9, 1, 4, 12, 4, 7])
    wanted = [greedy_of_transformers(model, prompt, 40, repetition_penalty=penalty) for prompt in prompts]
    found = run(model, prompts, samples=1, max_new_tokens=40, temperature=0, repetition_penalty=penalty)
    assert found.completion_ids == wanted
    assert found.logprobs is None
    assert found.truncated == [tokens[-1] != EOS for tokens in wanted]


def test_generate_when_the_penalty_meets_short_prompts_then_padding_does_not_count():
    """A pad token is often one that may be written, so unequal prompts must not make it unlikely."""
    model, prompts = cached("llama"), make_prompts([12, 3])
    options = {"samples": 1, "max_new_tokens": 8, "temperature": 0, "repetition_penalty": 1.9, "eos_ids": EOS}
    wanted = [greedy_of_transformers(model, prompt, 8, repetition_penalty=1.9) for prompt in prompts]
    for pad in wanted[1][:3]:
        assert generate(model, prompts, pad_id=pad, **options).completion_ids == wanted


def test_generate_when_greedy_with_several_samples_then_each_is_the_same():
    """Rows that share a prompt do not disturb each other."""
    model, prompts = cached("qwen3"), make_prompts([5, 8])
    found = run(model, prompts, samples=3, max_new_tokens=20, temperature=0).completion_ids
    wanted = [greedy_of_transformers(model, prompt, 20) for prompt in prompts]
    assert found == [tokens for tokens in wanted for _ in range(3)]


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(sorted(MODELS)),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    samples=st.integers(1, 5),
    seed=st.integers(0, 1000),
    sampling=st.builds(
        Sampling,
        temperature=st.sampled_from([0.5, 1.0, 1.7]),
        top_k=st.sampled_from([0, 1, 6, 500]),
        top_p=st.sampled_from([1.0, 0.7]),
        repetition_penalty=st.sampled_from([1.0, 1.3]),
    ),
)
def test_generate_when_sampling_then_logprobs_are_those_of_a_plain_forward(name, lengths, samples, seed, sampling):
    """What is reported is the distribution that was sampled from, whatever the settings and the shape of the batch."""
    model, prompts = cached(name), make_prompts(lengths, seed)
    options = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    found = run(model, prompts, samples=samples, max_new_tokens=12, generator=seeded(seed), **options)
    for number, (tokens, logprobs) in enumerate(zip(found.completion_ids, found.logprobs, strict=True)):
        wanted = processed(model, prompts[number // samples], tokens, sampling)
        assert logprobs == pytest.approx(wanted, abs=1e-5)
        assert EOS not in tokens[:-1]
        assert found.truncated[number] == (tokens[-1] != EOS)
        assert len(tokens) == 12 or not found.truncated[number]


def test_generate_when_the_model_trains_with_dropout_then_it_samples_without_and_trains_on():
    """Sampling is the evaluation-mode policy; every module's mode is given back, a frozen one's too."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, lora_dropout=0.5)
    model = get_peft_model(build("qwen3"), lora).train()
    frozen = model.get_base_model().model.norm.eval()
    prompts = make_prompts([5, 3])
    found = run(model, prompts, samples=1, max_new_tokens=10, temperature=0).completion_ids
    assert model.training and not frozen.training
    model.eval()
    assert found == [greedy_of_transformers(model, prompt, 10) for prompt in prompts]
    with model.disable_adapter():
        assert found != [greedy_of_transformers(model, prompt, 10) for prompt in prompts]


def test_generate_when_done_then_a_training_step_still_works():
    """Nothing of inference mode or of the routing stays behind."""
    model, prompts = build("mistral"), make_prompts([5])
    before = model.config._attn_implementation
    run(model, prompts, samples=2, max_new_tokens=5, generator=seeded())
    assert model.config._attn_implementation == before
    model(input_ids=torch.tensor(prompts)).logits.sum().backward()


def test_generate_when_there_are_several_ends_then_any_stops_it():
    """Chat models end a turn and a text with different tokens."""
    model, prompts = cached("qwen3"), make_prompts([5])
    free = generate(model, prompts, samples=1, max_new_tokens=9, temperature=0, eos_ids=[], pad_id=PAD)
    assert free.truncated == [True]
    tokens = free.completion_ids[0]
    ends = {tokens[6], tokens[3], VOCABULARY - 1}
    cut = min(place for place, token in enumerate(tokens) if token in ends)
    stopped = generate(model, prompts, samples=1, max_new_tokens=9, temperature=0, eos_ids=ends, pad_id=PAD)
    assert stopped.completion_ids == [tokens[: cut + 1]]
    assert stopped.truncated == [False]


def test_generate_when_there_are_no_prompts_then_nothing_is_written():
    """An empty evaluation set is not an error here."""
    assert run(cached("qwen3"), [], samples=2, max_new_tokens=3, temperature=0).completion_ids == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "at least 1"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"generator": None}, "needs a generator"),
        ({"prompts": [[3], []]}, "without tokens"),
    ],
)
def test_generate_when_called_wrongly_then_it_says_so(options, message):
    """A mistake of the caller is found before any forward."""
    options = {"prompts": [[3]], "samples": 1, "max_new_tokens": 1, "generator": seeded()} | options
    with pytest.raises(ValueError, match=message):
        run(cached("qwen3"), options.pop("prompts"), **options)


def test_generate_when_a_layer_cannot_be_reached_then_it_refuses():
    """A patched attention would write without seeing the prompt."""
    model = build("qwen3")
    model.model.layers[0].self_attn.forward = lambda hidden_states, **kwargs: (hidden_states, None)
    with pytest.raises(RuntimeError, match="1 of 2 attention layers"):
        run(model, [[3, 4]], samples=1, max_new_tokens=2, temperature=0)


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_generate_when_asked_then_entropies_are_those_of_the_unfiltered_distribution(penalty):
    """As TRL measures it: at the temperature, before any filter."""
    model, prompts = cached("qwen3"), make_prompts([7, 4])
    filters = {"top_k": 5, "top_p": 0.9} if penalty != 1.0 else {}
    found = run(
        model, prompts, samples=3, max_new_tokens=9, temperature=0.8, repetition_penalty=penalty, generator=seeded(1),
        entropies=True, **filters,
    )  # fmt: skip
    for number, (tokens, entropies) in enumerate(zip(found.completion_ids, found.entropies, strict=True)):
        prompt = prompts[number // 3]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1] / 0.8
        wanted = torch.distributions.Categorical(logits=logits).entropy()
        torch.testing.assert_close(torch.tensor(entropies), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8192, 8200, 49152])
def test_pick_when_a_vocabulary_is_large_then_the_token_is_that_of_the_plain_sum(size):
    """By blocks as in one run; tokens without probability, also at both ends and in whole blocks, are never picked."""
    from grpo.generation.sampling import pick

    generator = torch.Generator().manual_seed(0)
    chances = torch.randn(300, size, generator=generator).mul_(4).softmax(-1)
    chances[:, :70], chances[:, -130:], chances[:, 1000:1300] = 0, 0, 0
    uniform = torch.rand(300, generator=generator, dtype=torch.float64)
    uniform[0], uniform[1] = 0.0, 1 - 2**-53
    sums = chances.cumsum(-1, dtype=torch.float64)
    wanted = torch.searchsorted(sums, uniform[:, None] * sums[:, -1:], right=True)
    found = pick(chances, uniform)
    assert torch.equal(found, wanted)
    assert (chances.gather(1, found) > 0).all()
