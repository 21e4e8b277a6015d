"""The adapters of a GRPO training with TRL as our config: what plain LoRA can express, and what it cannot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# Arguments of PEFT's LoraConfig, by the names that TRL's ModelConfig has for them, or that they have here.
ADAPTER_NAMES = {
    "r": "lora_r", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout", "target_modules": "lora_target_modules",
    "use_rslora": "use_rslora", "use_dora": "use_dora", "modules_to_save": "lora_modules_to_save",
    "init_lora_weights": "lora_init", "bias": "lora_bias", "rank_pattern": "lora_rank_pattern",
    "alpha_pattern": "lora_alpha_pattern", "layers_to_transform": "lora_layers",
}  # fmt: skip
SETTINGS = (*ADAPTER_NAMES.values(), "lora_rank", "lora_task_type")
# Values that mean a setting is off.
_NOTHING: tuple[Any, ...] = (None, False, "", "none", [], {}, True)
_MISSING = {
    "use_dora": "DoRA's magnitudes are not trained here; the config uses plain LoRA",
    "lora_modules_to_save": "only adapters are trained here, no full layers",
    "lora_init": "adapters start from PEFT's default initialisation",
    "lora_bias": "biases are not trained",
    "lora_rank_pattern": "all layers share one rank",
    "lora_alpha_pattern": "all layers share one alpha",
    "lora_layers": "all layers of the model get adapters",
}


def translate_adapters(settings: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The section `model.lora`; anything that has to be left out is reported in `notes`."""
    rank = settings.get("lora_r") or settings.get("lora_rank") or 16
    alpha = settings.get("lora_alpha") or 32
    if settings.get("use_rslora") is True and isinstance(rank, int) and isinstance(alpha, int | float):
        # Its adapters are multiplied by alpha / sqrt(r), ours by alpha / r.
        exact, alpha = alpha * math.sqrt(rank), round(alpha * math.sqrt(rank))
        near = "" if math.isclose(exact, alpha) else f", the integer nearest to {exact:.2f}"
        notes.append(f"use_rslora: model.lora.alpha {alpha} gives the same scale at rank {rank}{near}")
    targets = settings.get("lora_target_modules") or "all-linear"
    for name, said in _MISSING.items():
        if name in settings and (settings[name] not in _NOTHING or (name == "use_dora" and settings[name] is True)):
            notes.append(f"{name}: left out; {said}")
    return {
        "r": rank,
        "alpha": int(alpha),
        "dropout": settings.get("lora_dropout") or 0.0,
        "target_modules": "all-linear" if targets == ["all-linear"] else targets,
    }
