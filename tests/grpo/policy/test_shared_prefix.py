"""The shared pass gives the log-probabilities and gradients of TRL's padded one."""

from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from grpo.policy.attention import ATTENTION, register_attention
from grpo.policy.prefix_support import supports
from grpo.policy.shared_prefix import grouped_logps
from grpo.policy.token_logprobs import token_logps
from tests.grpo.random_models import build_random, list_families

VOCABULARY = 61
MODELS = list_families(4, vocab_size=VOCABULARY, pad_token_id=0)


def build(name):
    return build_random(MODELS[name], 4.0).train()


cached = cache(build)


def make_batch(prompt_lengths, groups, completion_lengths, *, padding=0, seed=0):
    """Left-padded prompts, one for each entry of `groups` (the index of its prompt), and right-padded completions."""
    generator = torch.Generator().manual_seed(seed)

    def draw(n):
        return torch.randint(1, VOCABULARY, (n,), generator=generator)

    prompts = [draw(n) for n in prompt_lengths]
    width, longest = max(prompt_lengths) + padding, max(1, *completion_lengths) + padding
    ids = torch.zeros(4, len(groups), max(width, longest), dtype=torch.long)
    for row, (group, length) in enumerate(zip(groups, completion_lengths, strict=True)):
        prompt = prompts[group]
        ids[0, row, width - len(prompt) : width], ids[1, row, width - len(prompt) : width] = prompt, 1
        ids[2, row, :length], ids[3, row, :length] = draw(length), 1
    return ids[0, :, :width], ids[1, :, :width], ids[2, :, :longest], ids[3, :, :longest]


def trl_logps(model, prompt_ids, prompt_mask, completion_ids, completion_mask, temperature=1.0):
    from trl import GRPOTrainer

    trainer = SimpleNamespace(
        temperature=temperature, model_kwarg_keys={"logits_to_keep"}, _entropy_bonus_enabled=False
    )
    logps, entropies, _ = GRPOTrainer._full_logits_logps(
        trainer,
        model,
        torch.cat((prompt_ids, completion_ids), 1),
        torch.cat((prompt_mask, completion_mask), 1),
        completion_ids.shape[1],
        compute_entropy=True,
    )
    return logps, entropies


def gradients(model, logps, weights):
    model.zero_grad()
    (logps * weights).sum().backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def assert_as_trl(model, batch, temperature=1.0, micro_groups=None):
    wanted, wanted_entropies = trl_logps(model, *batch, temperature)
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    wanted_gradients = gradients(model, wanted, weights)
    got, entropies = grouped_logps(
        model, *batch, temperature=temperature, compute_entropy=True, micro_groups=micro_groups
    )
    torch.testing.assert_close(got, wanted.detach() * batch[3], atol=1e-5, rtol=0)
    torch.testing.assert_close(entropies, wanted_entropies * batch[3], atol=1e-5, rtol=0)
    found = gradients(model, got, weights)
    assert found.keys() == wanted_gradients.keys()
    for name, wanted_gradient in wanted_gradients.items():
        difference = (found[name] - wanted_gradient).norm()
        assert difference <= 1e-4 * wanted_gradient.norm() + 1e-6, name


@st.composite
def batches(draw):
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    groups = draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=7))
    completions = draw(st.lists(st.integers(0, 8), min_size=len(groups), max_size=len(groups)))
    padding, seed = draw(st.integers(0, 2)), draw(st.integers(0, 10_000))
    return make_batch(lengths, groups, completions, padding=padding, seed=seed)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(batch=batches(), temperature=st.sampled_from([1.0, 0.7, 1.5]), micro_groups=st.sampled_from([None, 1, 2]))
def test_grouped_logps_when_the_batch_has_any_shape_then_they_are_trls(name, batch, temperature, micro_groups):
    """Log-probs, entropies and every parameter's gradient agree, whatever the groups, lengths, pads and empty rows."""
    assert_as_trl(cached(name), batch, temperature, micro_groups)


def test_grouped_logps_when_groups_are_whole_then_they_are_trls():
    """Four prompts of eight completions each, of unlike lengths, as a training step has them."""
    groups = [prompt for prompt in range(4) for _ in range(8)]
    lengths = [1 + (7 * row) % 12 for row in range(32)]
    assert_as_trl(cached("qwen3"), make_batch([20, 13, 20, 4], groups, lengths))


@pytest.mark.parametrize("name", ["qwen3", "gemma"])
def test_grouped_logps_when_the_model_has_an_adapter_then_they_are_trls(name):
    """A LoRA policy gets the same log-probs, and gradients on the adapter alone."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(build(name), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    assert supports(model) is None
    assert_as_trl(model, make_batch([6, 3], [0, 0, 0, 1, 1], [4, 2, 5, 3, 1]))


def test_grouped_logps_when_checkpointing_then_gradients_are_the_same():
    """The layers that run again in the backward still know the groups."""
    model = build("qwen3")
    batch = make_batch([6, 3], [0, 0, 0, 1, 1], [4, 2, 5, 3, 1])
    weights = torch.randn(batch[3].shape, generator=torch.Generator().manual_seed(1))
    wanted = gradients(model, grouped_logps(model, *batch)[0], weights)
    for reentrant in (False, True):
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
        assert supports(model) is None
        found = gradients(model, grouped_logps(model, *batch)[0], weights)
        for name, gradient in wanted.items():
            torch.testing.assert_close(found[name], gradient)
        assert_as_trl(model, batch)


def test_grouped_logps_when_done_then_the_models_attention_is_as_before():
    """Nobody else's forward is routed."""
    model = build("llama")
    before = model.config._attn_implementation
    grouped_logps(model, *make_batch([3], [0, 0], [2, 2]))
    assert model.config._attn_implementation == before != ATTENTION


def test_grouped_logps_when_every_completion_is_masked_then_a_zero_still_has_gradients():
    """A process with nothing to learn from must still take part in the backward of the others."""
    model = build("qwen3")
    logps, entropies = grouped_logps(model, *make_batch([3, 2], [0, 1], [0, 0]), compute_entropy=True)
    found = gradients(model, logps, torch.ones_like(logps))
    assert not logps.any() and not entropies.any()
    assert len(found) == len(list(model.parameters())) and not any(gradient.any() for gradient in found.values())


def test_grouped_logps_when_rows_are_masked_then_the_forward_is_smaller():
    """A masked completion is not part of the forward."""
    model = build("qwen3")
    seen = []
    model.model.embed_tokens.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    grouped_logps(model, *make_batch([10, 7], [0, 0, 1, 1], [5, 4, 6, 3]))
    grouped_logps(model, *make_batch([10, 7], [0, 0, 1, 1], [5, 0, 0, 0]))
    assert seen == [10 + 4 + 3 + 7 + 5 + 2, 10 + 4]


@pytest.mark.parametrize(("mask", "side"), [([[1, 1, 0]], "left"), ([[0, 1, 1]], "right")])
def test_grouped_logps_when_padding_is_on_the_wrong_side_then_it_refuses(mask, side):
    """Silent nonsense is what a wrong padding side gives otherwise."""
    ids, full = torch.ones(1, 3, dtype=torch.long), torch.ones(1, 3, dtype=torch.long)
    masks = (torch.tensor(mask), full) if side == "left" else (full, torch.tensor(mask))
    with pytest.raises(ValueError, match=f"padded on the {side} only"):
        grouped_logps(build("qwen3"), ids, masks[0], ids, masks[1])


def test_token_logps_when_logits_are_half_precision_then_the_result_is_that_of_float32():
    """Rounding the log-probabilities themselves would cost two digits."""
    logits = torch.randn(5, 33, generator=torch.Generator().manual_seed(0)).bfloat16()
    ids = torch.arange(5)
    logps, entropies = token_logps(logits, ids, 0.8, compute_entropy=True)
    wanted = (logits.float() / 0.8).log_softmax(-1)
    torch.testing.assert_close(logps, wanted[ids, ids])
    torch.testing.assert_close(entropies, -(wanted.exp() * wanted).sum(-1))


def test_token_logps_when_many_chunks_then_gradients_are_those_of_log_softmax(monkeypatch):
    """Chunks meet without a gap, in both directions."""
    monkeypatch.setattr("grpo.policy.token_logprobs.CHUNK_ELEMENTS", 40)
    logits = torch.randn(7, 19, generator=torch.Generator().manual_seed(0), requires_grad=True)
    ids, weights = torch.arange(7), torch.arange(1.0, 8.0)
    wanted = torch.autograd.grad(((logits / 1.3).log_softmax(-1)[ids, ids] * weights).sum(), logits)[0]
    found = torch.autograd.grad((token_logps(logits * 1, ids, 1.3)[0] * weights).sum(), logits)[0]
    torch.testing.assert_close(found, wanted)


def test_token_logps_when_backward_runs_twice_then_it_refuses():
    """The first backward wrote over the logits."""
    logps = token_logps(torch.randn(2, 5, requires_grad=True) * 1, torch.tensor([1, 2]))[0].sum()
    logps.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="spent"):
        logps.backward()


@pytest.mark.parametrize("name", MODELS)
def test_supports_when_the_model_is_a_plain_decoder_then_it_says_nothing(name):
    """Every architecture that the property test covers is let through."""
    assert supports(cached(name)) is None


def test_supports_when_the_model_cannot_then_it_says_why():
    """One line that names the model and the obstacle."""
    from peft import PromptTuningConfig, get_peft_model

    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=8, n_layer=1, n_head=2))
    assert "not rotary" in supports(gpt2)
    tuned = get_peft_model(build("qwen3"), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2))
    assert "virtual tokens" in supports(tuned)
    eager = build("llama")
    eager.set_attn_implementation("eager")
    assert supports(eager) is None
    eager.gradient_checkpointing_enable()
    assert "eager" in supports(eager)


def test_grouped_logps_when_a_layer_cannot_be_reached_then_it_refuses():
    """A patched attention that ignores its router would let completions see each other."""
    model = build("qwen3")
    attention = model.model.layers[1].self_attn
    attention.forward = lambda hidden_states, **kwargs: (hidden_states, None)
    with pytest.raises(RuntimeError, match="1 of 2 attention layers"):
        grouped_logps(model, *make_batch([3], [0, 0], [2, 2]))


def test_grouped_logps_when_a_model_was_routed_then_sdpa_leaves_cudnn_alone():
    """cuDNN would plan anew for each of the lengths of a step, in the backward of checkpointed layers too."""
    torch.backends.cuda.enable_cudnn_sdp(True)
    register_attention.cache_clear()
    grouped_logps(cached("qwen3"), *make_batch([3], [0, 0], [2, 2]))
    assert not torch.backends.cuda.cudnn_sdp_enabled()
