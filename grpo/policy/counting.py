"""How many weights a model has, and how many of them are trained."""

from __future__ import annotations

import math
from typing import Any


def count_weights(model: Any) -> dict[str, int]:
    """`parameters` of the model with its adapters, and `trainable_parameters` of these; 4-bit weights are counted whole."""
    counted = {"parameters": 0, "trainable_parameters": 0}
    for weight in model.parameters():
        state = getattr(weight, "quant_state", None)
        size = math.prod(state.shape) if state is not None else getattr(weight, "ds_numel", weight.numel())
        counted["parameters"] += size
        counted["trainable_parameters"] += size if weight.requires_grad else 0
    return counted
