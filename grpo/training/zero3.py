"""Weights that DeepSpeed's ZeRO-3 sharded over the processes, gathered for a while as TRL does it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def gather(trainer: Any) -> AbstractContextManager[Any]:
    """Gathers all weights in every process inside the block; `trainer` is the one whose accelerator sharded them."""
    from trl.models.utils import unwrap_model_for_generation

    return unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator)
