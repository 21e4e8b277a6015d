"""Random models of several families, small enough to be compared number by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SIZES = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 128,
}


def list_families(window: int, **sizes: Any) -> dict[str, Callable[[], Any]]:
    """Makers by name, of vocabulary and markers in `sizes`; `window` is that of every other layer of gemma3."""
    sizes = SIZES | sizes
    kinds = ["sliding_attention", "full_attention"]
    return {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**sizes, tie_word_embeddings=True)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**sizes)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**sizes, sliding_window=None)),
        "mistral-window": lambda: MistralForCausalLM(MistralConfig(**sizes, sliding_window=5)),
        "gemma": lambda: GemmaForCausalLM(GemmaConfig(**sizes)),
        "gemma3": lambda: Gemma3ForCausalLM(
            Gemma3TextConfig(**sizes, sliding_window=window, layer_types=kinds, final_logit_softcapping=20.0)
        ),
    }


def build_random(make: Callable[[], Any], scale: float) -> Any:
    """The same weights each time, `scale` times as large as they begin: small ones would let a wrong mask pass."""
    torch.manual_seed(0)
    model = make()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(scale)
    return model
