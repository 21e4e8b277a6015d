"""Our section `grpo` as the settings of TRL's trainer, and the settings of a step that TRL does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers.utils import is_torch_tf32_available
from trl import GRPOConfig

from grpo.config.sections import GrpoSection
from sft_warmup.trainer_arguments import trainer_arguments


@dataclass
class StepArguments(GRPOConfig):
    """TRL's settings, and those of the step that TRL does not have."""

    dynamic_sampling: int = field(
        default=0, metadata={"help": "Most extra rounds of generation in which zero-spread groups get a fresh prompt."}
    )
    speculation: int = field(
        default=0, metadata={"help": "Most tokens of a completion that are guessed and read at once."}
    )
    one_step_ahead: str | None = field(
        default=None,
        metadata={"help": "What generates the next batch while this one is trained on: server, or a device."},
    )


def drop_unavailable(handed: Mapping[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
    """Section `trl` without what transformers refuses on this device, and a line for each setting that has no effect so."""
    kept = dict(handed or {})
    if "tf32" not in kept or is_torch_tf32_available():
        return kept, []
    line = "trl.tf32: true has no effect: this machine has no GPU that computes in TF32 (NVIDIA Ampere or newer)"
    return kept, [line] if kept.pop("tf32") else []


def trl_arguments(
    section: GrpoSection,
    *,
    directory: Path,
    seed: int,
    device: str,
    bf16: bool,
    fp16: bool = False,
    gradient_checkpointing: bool,
    world_size: int = 1,
    engine: Mapping[str, Any] | None = None,
    handed: Mapping[str, Any] | None = None,
) -> StepArguments:
    """Our section `grpo` as TRL's settings; every setting of the recipe is given, none is left to a default.

    `engine` holds what the engine adds, `handed` what section `trl` says, both under TRL's names.
    """
    settings: dict[str, Any] = section.trl_settings(world_size)
    handed, _ = drop_unavailable(handed)
    # TRL counts it out of the others; the run holds what came out against ours.
    del settings["generation_batch_size"]
    return StepArguments(
        **settings,
        **trainer_arguments(
            directory, seed=seed, device=device, bf16=bf16, fp16=fp16, gradient_checkpointing=gradient_checkpointing
        ),
        disable_dropout=True,
        logging_steps=1,
        save_strategy="steps",
        log_completions=False,
        **(engine or {}),
        **handed,
    )
