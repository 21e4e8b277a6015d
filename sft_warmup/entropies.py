"""TRL's entropy of the warm-up, of the tokens that count alone: of all others it takes none into its mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sft_warmup.dataset import IGNORED


@contextmanager
def of_counted_tokens(labels: Any) -> Iterator[None]:
    """Inside, SFTTrainer measures entropies where `labels` (rows, tokens) are not ignored, and finds 0 elsewhere.

    It multiplies the others by 0 before it adds them up, so that its sum stays the same, bit for bit.
    """
    from trl.trainer import sft_trainer

    measure = sft_trainer.entropy_from_logits

    def measure_counted(logits: Any, *arguments: Any, **named: Any) -> Any:
        counted = labels[..., 1:] != IGNORED
        if counted.shape != logits.shape[:-1]:  # tokens that the labels know nothing of
            return measure(logits, *arguments, **named)
        found = logits.new_zeros(counted.shape)
        found[counted] = measure(logits[counted], *arguments, **named)
        return found

    sft_trainer.entropy_from_logits = measure_counted
    try:
        yield
    finally:
        sft_trainer.entropy_from_logits = measure
