"""The section `sft_warmup`: supervised fine-tuning on demonstrations before GRPO, loss on assistant turns only."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Keys that hold the same value under TRL's name, which is theirs too.
_TRLS_OWN = {"learning_rate", "lr_scheduler_type", "weight_decay", "adam_beta2", "max_grad_norm"}


class SftWarmupSection(BaseModel):
    """The SFT warm-up. Keys that TRL also has keep TRL's spelling."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    enabled: bool = Field(False, description="Whether the stage runs at all.")
    data: Path | None = Field(
        None,
        description="JSON Lines of rows or of `messages`; null is the shop's warm-up rows, or its training rows where "
        "there are none.",
    )
    tasks: list[str] | None = Field(None, min_length=1, description="Keep only rows of these tasks; null keeps all.")
    max_rows: int | None = Field(None, ge=1, description="Use at most this many rows, the first ones; null uses all.")
    epochs: float | None = Field(None, gt=0, description="Passes over the rows; or give max_steps. Both null is 1.")
    max_steps: int | None = Field(None, ge=1, description="Optimiser steps; or give epochs.")
    learning_rate: float = Field(2.0e-5, gt=0, description="Peak learning rate.")
    lr_scheduler_type: Literal[
        "constant",
        "constant_with_warmup",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "inverse_sqrt",
    ] = Field("cosine", description="Learning-rate schedule.")
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="Share of the steps over which the learning rate rises.")
    batch_size: int = Field(16, ge=1, description="Conversations in one optimiser step.")
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="Conversations in one forward and backward pass, whose gradients add up to the step's; must divide "
        "batch_size. null is all at once.",
    )
    packing: bool = Field(
        False,
        description="Lay the conversations of a pass end to end in place of padding them; none sees another, which is tried "
        "before the first step.",
    )
    eval_steps: int | None = Field(
        None, ge=1, description="Steps between two measurements of the held-out loss; null is a tenth of the stage."
    )
    held_out_rows: int = Field(
        128, ge=1, description="Most held-out rows whose loss is measured, spread evenly over the file."
    )
    save_every_steps: int = Field(100, ge=1, description="Steps between checkpoints of the stage.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    adam_beta2: float = Field(0.999, gt=0, lt=1, description="Decay of Adam's second moment; 0.98 suits a short stage.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")

    @model_validator(mode="after")
    def _one_length(self) -> SftWarmupSection:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("epochs and max_steps are both set; write one of them")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide batch_size {self.batch_size}; write a divisor"
            )
        return self

    def eval_every(self, steps: int) -> int:
        """Steps between two measurements of the held-out loss, in a stage of this many."""
        return self.eval_steps or max(1, steps // 10)

    def rows_a_pass(self, world_size: int = 1) -> int:
        """Conversations that each of this many processes sees in one pass."""
        share = self.batch_size // world_size
        return min(share, self.micro_batch_size or share)

    def trl_settings(self, steps: int, world_size: int = 1) -> dict[str, str | int | float]:
        """What this section asks of TRL's SFT trainer, by TRL's names, in a stage of this many steps on this many processes."""
        rows = self.rows_a_pass(world_size)
        return {
            **self.model_dump(include=_TRLS_OWN),
            "max_steps": steps,
            "warmup_steps": self.lr_warmup_steps_of(steps),
            "per_device_train_batch_size": rows,
            "gradient_accumulation_steps": self.batch_size // world_size // rows,
        }

    def steps(self, rows: int) -> int:
        """Optimiser steps of the stage over this many rows; the last batch of an epoch may be short."""
        if self.max_steps is not None:
            return self.max_steps
        return math.ceil(Fraction(str(self.epochs or 1)) * math.ceil(rows / self.batch_size))

    def lr_warmup_steps(self, rows: int) -> int:
        """Optimiser steps over which the learning rate rises, rounded up."""
        return self.lr_warmup_steps_of(self.steps(rows))

    def lr_warmup_steps_of(self, steps: int) -> int:
        """The same of a stage of this many steps."""
        return math.ceil(Fraction(str(self.warmup_ratio)) * steps)
