"""Decoding with packed weights writes what the layers themselves do."""

import pytest

torch = pytest.importorskip("torch")

from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

from grpo.generation import decoder  # noqa: E402
from grpo.generation.generate import generate  # noqa: E402
from grpo.policy import packed_products as products  # noqa: E402
from grpo.policy.shared_prefix import unwrap  # noqa: E402

pytestmark = pytest.mark.skipif(not products.has_onednn(), reason="this torch has no oneDNN")


def build(trains: str):
    """A small Llama that trains `all` of its weights, or `adapters` alone."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, attention_bias=True, initializer_range=0.2,
        )
    )  # fmt: skip
    if trains == "adapters":
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=3, init_lora_weights=False, target_modules="all-linear"))
    return model.train()


@pytest.mark.parametrize("trains", ["all", "adapters"])
def test_generate_when_weights_are_packed_then_tokens_and_logprobs_are_those_of_the_layers(trains, monkeypatch):
    """The packed decoder is taken, also for more and fewer rows than it was packed for."""
    model = build(trains).eval()

    def write():
        return generate(
            model, [[5, 6, 7], [8, 9]], samples=12, max_new_tokens=20, eos_ids=2, pad_id=0, entropies=True,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    wanted = write()
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 0)
    with torch.inference_mode():
        found = decoder.find_decoder(unwrap(model), 64)
    assert found.head.packed
    assert all(block.gate_up.packed and block.out.packed for block in found.blocks)
    packed = write()
    assert packed.completion_ids == wanted.completion_ids
    for mine, theirs in zip(packed.logprobs + packed.entropies, wanted.logprobs + wanted.entropies, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_weights_when_a_model_is_small_or_in_half_precision_then_are_not_packed(monkeypatch):
    """A rehearsal's numbers stay what they are."""
    assert not products.is_worth_packing(build("all"))
    monkeypatch.setattr(products, "LEAST_WEIGHTS", 0)
    assert products.is_worth_packing(build("all"))
    assert not products.is_worth_packing(build("all").bfloat16())
