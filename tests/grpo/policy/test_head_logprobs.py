"""Log-probabilities from hidden states in chunks are those of whole logits, in value and gradient, without the logits."""

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from grpo.policy import head_logprobs  # noqa: E402
from grpo.policy.head_logprobs import has_plain_head, head_logps  # noqa: E402
from grpo.policy.shared_prefix import grouped_logps  # noqa: E402
from grpo.policy.token_logprobs import token_logps  # noqa: E402

TOKENS, SIZE, VOCABULARY = 50, 24, 61


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Seven tokens or words at once, so that the last chunk is a short one."""
    monkeypatch.setattr(head_logprobs, "CHUNK_LOGITS_CPU", 7 * VOCABULARY)
    monkeypatch.setattr(head_logprobs, "BLOCK_LOGITS", 7 * 20)
    monkeypatch.setattr(head_logprobs, "LEAST_WORDS", 7)
    monkeypatch.setattr(head_logprobs, "MOST_ROWS", 20)


def make_head(bias: bool, frozen: bool):
    torch.manual_seed(0)
    head = torch.nn.Linear(SIZE, VOCABULARY, bias=bias).requires_grad_(not frozen)
    return head, torch.randn(TOKENS, SIZE) * 3, torch.randint(0, VOCABULARY, (TOKENS,))


def plain(logits, ids, temperature):
    """Log-probabilities and entropies by torch's own functions."""
    logs = (logits / temperature).log_softmax(-1)
    return logs.gather(1, ids[:, None])[:, 0], -(logs.exp() * logs).sum(-1)


def pull(values, inputs):
    generator = torch.Generator().manual_seed(1)
    loss = sum((value * torch.randn(value.shape, generator=generator)).sum() for value in values)
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("bonus", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_head_logps_when_compared_with_whole_logits_then_values_and_gradients_agree(frozen, bonus, temperature):
    """Frozen or trained head, with and without a gradient of the entropies."""
    head, states, ids = make_head(bias=True, frozen=frozen)
    states.requires_grad_()
    inputs = [states, *(weight for weight in head.parameters() if not frozen)]
    wanted = plain(head(states), ids, temperature)
    found = head_logps(head, states, ids, temperature, compute_entropy=True, differentiable_entropy=bonus)
    assert found[1].requires_grad == bonus
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)
    count = 2 if bonus else 1
    for mine, theirs in zip(pull(found[:count], inputs), pull(wanted[:count], inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_token_logps_when_the_entropy_counts_then_it_has_the_gradient_of_the_formula(temperature):
    """An entropy bonus pulls on the logits; its gradient is p (log p + H) with a minus."""
    logits = (torch.randn(TOKENS, VOCABULARY, generator=torch.Generator().manual_seed(2)) * 3).requires_grad_()
    ids = torch.arange(TOKENS) % VOCABULARY
    wanted = plain(logits, ids, temperature)
    found = token_logps(logits.clone(), ids, temperature, compute_entropy=True, differentiable_entropy=True)
    # The values are written over in the backward, so they are pulled on last.
    (theirs,) = pull(wanted, [logits])
    copy = logits.detach().clone().requires_grad_()
    found = token_logps(copy * 1.0, ids, temperature, compute_entropy=True, differentiable_entropy=True)
    torch.testing.assert_close(found[1], wanted[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(pull(found, [copy])[0], theirs, atol=1e-5, rtol=1e-4)


class LargestArray(TorchDispatchMode):
    """The most elements of any array that is made inside."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, torch.Tensor):
                self.largest = max(self.largest, each.untyped_storage().nbytes() // each.element_size())
        return out


def test_head_logps_when_there_are_many_tokens_then_no_array_holds_all_logits():
    """Forward and backward: the largest array is one chunk of logits, all hidden states, or the weights."""
    head, states, ids = make_head(bias=False, frozen=True)
    states.requires_grad_()
    with LargestArray() as watch:
        logps, _ = head_logps(head, states, ids, compute_entropy=True)
        logps.sum().backward()
    assert watch.largest <= max(7 * VOCABULARY, TOKENS * SIZE, VOCABULARY * SIZE) < TOKENS * VOCABULARY


def build(model_type: str, **options):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type](
        vocab_size=VOCABULARY, hidden_size=SIZE, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=6, max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        **options,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).float()


def make_group():
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(3, VOCABULARY, (2, 9), generator=generator).repeat_interleave(3, 0)
    completions = torch.randint(3, VOCABULARY, (6, 8), generator=generator)
    mask = (torch.arange(8) < torch.tensor([8, 3, 5, 1, 8, 2])[:, None]).long()
    return prompts, torch.ones_like(prompts), completions, mask


@pytest.mark.parametrize("adapter", [None, "lora", "lora on the head", "saved head"])
@pytest.mark.parametrize("model_type", ["llama", "qwen3", "cohere"])
def test_grouped_logps_when_no_logits_are_kept_then_numbers_and_gradients_are_the_same(model_type, adapter):
    """Tied and untied heads, a scale on the logits, adapters beside and on the head."""
    options = {"logit_scale": 0.3} if model_type == "cohere" else {"tie_word_embeddings": model_type == "qwen3"}
    model = build(model_type, **options)
    if adapter:
        from peft import LoraConfig, get_peft_model

        extra = {
            "lora on the head": {"target_modules": ["q_proj", "lm_head"]},
            "saved head": {"modules_to_save": ["lm_head"]},
        }
        if adapter != "lora" and model_type != "llama":
            pytest.skip("one family is enough")
        model = get_peft_model(
            model, LoraConfig(r=2, init_lora_weights=False, **{"target_modules": ["q_proj"], **extra.get(adapter, {})})
        )
    results = []
    for keeps in (True, False):
        model.zero_grad()
        logps, entropies = grouped_logps(
            model, *make_group(), temperature=0.8, compute_entropy=True, keeps_logits=keeps
        )
        (logps * torch.linspace(-1, 1, 48).view(6, 8)).sum().backward()
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        results.append((logps.detach(), entropies, gradient))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_has_plain_head_when_logits_are_capped_then_they_are_kept():
    """A cap stands between the head and the logits, so that hidden states do not tell them; the model is unchanged."""
    assert has_plain_head(build("llama"))
    capped = build("gemma3_text", final_logit_softcapping=5.0).train()
    assert not has_plain_head(capped)
    assert capped.training and "forward" not in vars(capped.lm_head)
