"""Weights that DeepSpeed's ZeRO-3 spread over the processes, made whole for a while the way TRL does it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def gather(trainer: Any) -> AbstractContextManager[Any]:
    """All weights in every process inside the block; `trainer` is the one whose accelerator spread them."""
    from trl.models.utils import unwrap_model_for_generation

    return unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator)
