"""A decoder without modules writes the very tokens that the model's own forward does, with fewer operations."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from transformers import CONFIG_MAPPING, AutoModelForCausalLM  # noqa: E402

from grpo.generation import batch  # noqa: E402
from grpo.generation.decoder import find_decoder  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402

FAMILIES = {
    "llama": {"attention_bias": True},
    "qwen2": {},
    "qwen3": {"tie_word_embeddings": True, "head_dim": 16},
    "mistral": {"sliding_window": None},
}


def build(model_type: str, **options):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type](
        **{
            "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
            "eos_token_id": 2, "initializer_range": 0.3,
        }
        | options
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).float().eval()


def adapt(model, **options):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=3, init_lora_weights=False, target_modules="all-linear", **options))


def spread_norms(model):
    """Norms and biases that are not all alike, so that a forgotten one shows."""
    for name, weight in model.named_parameters():
        if name.endswith(("norm.weight", "bias")):
            torch.nn.init.normal_(weight, mean=1.0, std=0.3)


def write(model):
    prompts = [[5, 6, 7, 8, 9], [11, 12], [5, 6, 7, 8, 9, 10, 11]]
    generator = torch.Generator().manual_seed(0)
    return generate(model, prompts, samples=4, max_new_tokens=24, eos_ids=[2, 3], pad_id=0, generator=generator)


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_when_written_without_modules_then_are_those_of_the_model(family, adapter, monkeypatch):
    """Biases, norms of heads, tied heads, adapters; the log-probabilities agree to 1e-5."""
    model = build(family, **FAMILIES[family])
    model = adapt(model) if adapter else model
    inner = model.get_base_model() if adapter else model
    with torch.inference_mode():
        assert find_decoder(inner, 64) is not None
    found = write(model)
    monkeypatch.setattr(batch, "find_decoder", lambda *_: None)
    wanted = write(model)
    assert found.completion_ids == wanted.completion_ids
    for mine, theirs in zip(found.logprobs, wanted.logprobs, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5, rel=1e-5)


def test_decoder_when_weights_move_then_it_reads_the_new_ones():
    """Each batch takes the weights of its moment."""
    model = build("qwen3")
    first = write(model).completion_ids
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.3)
    second = write(model).completion_ids
    assert first != second
    again = build("qwen3")
    with torch.no_grad():
        for weight in again.parameters():
            weight.mul_(1.3)
    assert write(again).completion_ids == second


@pytest.mark.parametrize("reason", ["family", "window", "hook", "dora", "disabled", "half of the head turned"])
def test_decoder_when_a_model_is_built_otherwise_then_it_runs_itself(reason):
    """What this file does not know is never guessed."""
    model = build("gemma" if reason == "family" else "mistral" if reason == "window" else "llama",
                  **({"sliding_window": 5} if reason == "window" else {}), **({"head_dim": 8} if reason == "family" else {}))  # fmt: skip
    if reason == "hook":
        model.model.layers[1].mlp.register_forward_hook(lambda *_: None)
    if reason == "dora":
        model = adapt(model, use_dora=True).get_base_model()
    if reason == "disabled":
        tuned = adapt(model)
        tuned.base_model.disable_adapter_layers()
        model = tuned.get_base_model()
    if reason == "half of the head turned":
        inner = model.model.rotary_emb.forward
        model.model.rotary_emb.forward = lambda *args: tuple(each[..., :4] for each in inner(*args))
    with torch.inference_mode():
        assert find_decoder(model, 64) is None


def test_decoder_when_a_block_computes_something_else_then_its_numbers_tell():
    """A subclass that scales what it adds: the check against the model's own forward finds it."""
    model = build("llama")

    class Scaled(type(model.model.layers[0])):
        def forward(self, states, *args, **kwargs):
            return super().forward(states * 1.1, *args, **kwargs)

    model.model.layers[1].__class__ = Scaled
    with torch.inference_mode():
        assert find_decoder(model, 64) is None


class Operations(TorchDispatchMode):
    """How many operations torch is asked for inside."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_decoding_when_without_modules_then_it_asks_for_fewer_operations(monkeypatch):
    """What a processor with a small model, or a GPU without graphs, waits for."""
    model = adapt(build("qwen3"))
    counts = []
    for finder in (batch.find_decoder, lambda *_: None):
        monkeypatch.setattr(batch, "find_decoder", finder)
        write(model)
        with Operations() as watch:
            write(model)
        counts.append(watch.count)
    assert counts[0] < 0.85 * counts[1]
