"""Which curve of a tracker a number belongs to."""

from __future__ import annotations

# Measured the same way at every stage: before training, after the warm-up, while GRPO goes on and at the end.
_HELD_OUT = ("eval/", "eval_by_function/", "decision/")


def name_curve(key: str, stage: str) -> str:
    """The curve's name: held-out numbers are one curve over all stages, others of a stage but training its own."""
    return key if stage == "train" or key.startswith(_HELD_OUT) else f"{stage}/{key}"
