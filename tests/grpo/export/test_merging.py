"""Merging: the merged model is base plus adapter, in every family, on both ends of a tied one, and over 4-bit weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from grpo.export import merging  # noqa: E402
from grpo.export.choice import choose  # noqa: E402
from grpo.export.merging import MergeFailed, compare_logits, fold, merge, round_weights, take_logits  # noqa: E402
from grpo.export.policy import open_policy  # noqa: E402
from grpo.policy.loading import keep_differentiable  # noqa: E402

spec = importlib.util.spec_from_file_location("export_conftest", Path(__file__).with_name("conftest.py"))
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
families, write_adapter = shared.families, shared.write_adapter

ROWS = [[5, 6, 7, 8, 9, 10, 11, 12], [20, 21, 22, 23]]
# PEFT refuses adapters on these families' Mamba layers: there is nothing to merge.
NO_LORA = {name for name in families.SHAPES if name.startswith("nemotron_3")}


def check(name: str, tmp_path: Path, **lora) -> bool:
    """Merge, save, and read back by transformers alone; whether both ends are still tied."""
    from transformers import AutoModelForCausalLM

    base, adapter, out = tmp_path / "base", tmp_path / "adapter", tmp_path / "out"
    families.write_model(name, base)
    write_adapter(base, adapter, **lora)
    plain = take_logits(AutoModelForCausalLM.from_pretrained(base).eval(), ROWS)
    policy = open_policy(choose(str(adapter)), "cpu")
    wanted = take_logits(policy.model, ROWS)
    found = merge(policy, ROWS)
    assert found is not None and found.passed and found.largest_difference < 1e-4
    policy.save(out)
    back = AutoModelForCausalLM.from_pretrained(out).eval()
    assert compare_logits(wanted, take_logits(back, ROWS)).passed
    assert compare_logits(plain, wanted).largest_difference > 1e-2, "the adapter changed nothing"
    return bool(back.config.get_text_config().tie_word_embeddings)


@pytest.mark.parametrize("name", ("chatml", "qwen3", "gemma3", "mistral", "deepseekv3"))
def test_merge_when_a_family_is_read_back_then_it_is_base_plus_adapter(name, tmp_path):
    """Dense, tied, and experts that PEFT wraps in its own way."""
    check(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(families.SHAPES) - NO_LORA))
def test_merge_when_any_family_is_read_back_then_it_is_base_plus_adapter(name, tmp_path):
    """The whole matrix of test_families.py."""
    check(name, tmp_path)


@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    ],
)
def test_merge_when_an_adapter_is_on_one_end_of_a_tied_model_then_the_ends_part(lora, tmp_path):
    """An adapter on the head is not on the embeddings: the saved config must say so, or loading ties them again."""
    assert check("chatml", tmp_path, **lora) is False


def test_merge_when_the_adapter_leaves_the_ends_alone_then_they_stay_tied(tmp_path):
    """A tied file has one matrix for both."""
    assert check("chatml", tmp_path) is True


def test_merge_when_the_result_is_another_function_then_it_fails(tmp_path, monkeypatch):
    """Nothing may be written then: the line says how far the logits are off."""
    families.write_model("chatml", tmp_path / "base")
    write_adapter(tmp_path / "base", tmp_path / "adapter")
    policy = open_policy(choose(str(tmp_path / "adapter")), "cpu")
    monkeypatch.setattr(merging, "_delta", lambda layer, name: torch.zeros_like(layer.get_base_layer().weight))
    with pytest.raises(MergeFailed, match=r"logits differ by up to .* allowed: 0\.001 \(float32\)"):
        merge(policy, ROWS)


def test_round_weights_when_bfloat16_then_within_its_tolerance_and_saved_so(tmp_path):
    """What rounding moved is measured with float32 arithmetic, and the weights are bfloat16 afterwards."""
    families.write_model("chatml", tmp_path / "base")
    policy = open_policy(choose(str(tmp_path / "base")), "cpu")
    found = round_weights(policy, "bfloat16", ROWS)
    assert found is not None and 0 < found.largest_difference <= found.tolerance
    assert {weight.dtype for weight in policy.model.parameters()} == {torch.bfloat16}
    assert round_weights(policy, "bfloat16", ROWS) is None


def test_compare_logits_when_there_is_a_nan_then_it_never_passes():
    """A maximum that ignores NaN would let a broken model through."""
    good, bad = torch.zeros(3, 5), torch.full((3, 5), float("nan"))
    assert not compare_logits([good], [bad]).passed
    assert compare_logits([good], [good]).passed


def test_fold_when_the_base_is_in_4_bits_then_the_weights_are_those_that_training_saw():
    """Never a merge that is rounded to 4 bits again: the de-quantised weight plus B A, element by element."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, tie_word_embeddings=False
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for layer in list(model.model.layers):
        for name, module in list(layer.named_modules()):
            if isinstance(module, torch.nn.Linear):
                small = bitsandbytes.nn.Linear4bit(
                    module.in_features, module.out_features, bias=False, quant_type="nf4", compute_dtype=torch.float32
                )
                small.load_state_dict({"weight": module.weight.data})
                layer.get_submodule(name.rpartition(".")[0]).add_module(name.rpartition(".")[2], small.to("cpu"))
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = 0.3 * torch.randn_like(weight)
    keep_differentiable(model)
    wrapper = model.base_model.model.model.layers[0].self_attn.q_proj
    base = wrapper.get_base_layer()
    seen = bitsandbytes.functional.dequantize_4bit(base.weight.data, base.weight.quant_state).float()
    wanted = seen + 2.0 * wrapper.lora_B["default"].weight @ wrapper.lora_A["default"].weight
    logits = take_logits(model.eval(), ROWS)
    plain = fold(model)
    assert torch.allclose(plain.model.layers[0].self_attn.q_proj.weight, wanted, atol=1e-6)
    assert all(type(module).__name__ != "Linear4bit" for module in plain.modules())
    assert compare_logits(logits, take_logits(plain.eval(), ROWS)).passed
