"""How much disk a run takes: weights and optimisers in checkpoints, and the rows of completions."""

from __future__ import annotations

import math

from grpo.config.run_config import RunConfig
from grpo.plan.memory_estimate import BYTES, Shape, trained_parameters

_WARM_UP_CHECKPOINTS = 3
"""Two are kept, and one is written."""

_ROW_BYTES = 1_500
_BYTES_A_TOKEN = 4
_FILES_BYTES = 20 << 20
"""Tokenizers, report, metrics and the like."""


def estimate_disk(
    config: RunConfig, shape: Shape | None, *, device_kind: str, row_tokens: float, evaluations: int, held_out_rows: int
) -> int | None:
    """Bytes at the most crowded moment of a run whose rows have this many tokens on average; None for an unknown shape."""
    if shape is None:
        return None
    element = BYTES[config.model.effective_dtype(device_kind)]  # type: ignore[arg-type]
    trained = trained_parameters(shape, config.model)
    weights = trained * 4 if config.model.lora is not None else shape.parameters * element
    optimiser = 2 * trained * (1 if "8bit" in config.grpo.optim else 4 if config.model.lora is not None else element)
    warm_up = _WARM_UP_CHECKPOINTS * (weights + 2 * trained * (4 if config.model.lora is not None else element))
    # One more than are kept is there while it is written; those of the warm-up are gone before GRPO's begin.
    grpo = (config.grpo.save_total_limit + 1) * (weights + optimiser) if config.trains_grpo else 0
    policies = 2 + (1 if config.sft_warmup.enabled else 0)  # best, a draft of it, the warm-up's
    batches = math.ceil(config.grpo.max_steps / config.grpo.log_completions_every) if config.trains_grpo else 0
    stored = config.grpo.completions_per_step * batches
    rows = stored + (evaluations + 3) * held_out_rows
    return round(
        max(grpo, warm_up if config.sft_warmup.enabled else 0)
        + policies * weights
        + rows * (_ROW_BYTES + _BYTES_A_TOKEN * row_tokens)
        + _FILES_BYTES
    )
