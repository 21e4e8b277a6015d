"""Whether a model's blocks are what its family has, and what a linear layer of one consists of, with or without an adapter."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Families whose blocks are a norm, attention, a norm, a gated feed-forward part, each added to what came in.
FAMILIES = frozenset({"llama", "qwen2", "qwen3", "mistral"})


class Unusual(Exception):
    """A module that is not what its family has."""


def check_modules(model: Any, besides: Collection[Any] = ()) -> None:
    """`Unusual` for a module whose forward is not its class's, or that something listens to; not for those `besides`."""
    if getattr(model.config, "model_type", None) not in FAMILIES:
        raise Unusual
    for module in model.modules():
        if module in besides:
            continue
        if module._forward_hooks or module._forward_pre_hooks:
            raise Unusual
        # The whole model's may be accelerate's, which changes the type of what comes out.
        if "forward" in vars(module) and not (module is model and hasattr(module, "_original_forward")):
            raise Unusual
    config = model.config
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        raise Unusual
    if getattr(config, "layer_types", None) is None and getattr(config, "sliding_window", None):
        raise Unusual
    expected = {"input_layernorm", "post_attention_layernorm", "self_attn", "mlp"}
    if any({name for name, _ in layer.named_children()} != expected for layer in model.model.layers):
        raise Unusual


def read_linear(
    layer: Any,
) -> tuple[torch.Tensor, torch.Tensor | None, tuple[torch.Tensor, torch.Tensor, float] | None]:
    """Weight, bias and, of a plain LoRA, its two matrices and their scale; `Unusual` for anything else."""
    import torch

    if type(layer) is torch.nn.Linear:
        return layer.weight, layer.bias, None
    base: Any = getattr(layer, "base_layer", None)
    if type(base) is not torch.nn.Linear or type(layer).__module__ != "peft.tuners.lora.layer":
        raise Unusual
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        raise Unusual
    name = layer.active_adapters[0]
    if name not in layer.lora_A:
        return base.weight, base.bias, None
    variants = getattr(layer, "lora_variant", {})
    if layer.use_dora.get(name) or name in variants or layer.lora_B[name].bias is not None or layer.fan_in_fan_out:
        raise Unusual
    dropout = layer.lora_dropout[name]
    if layer.training and getattr(dropout, "p", 0.0) > 0:
        raise Unusual
    return base.weight, base.bias, (layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])
