"""Our section `grpo` as the settings of TRL's trainer, and the settings of a step that TRL does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trl import GRPOConfig

from grpo.config.sections import GrpoSection


@dataclass
class StepArguments(GRPOConfig):
    """TRL's settings, and those of the step that TRL does not have."""

    dynamic_sampling: int = field(
        default=0, metadata={"help": "Most extra rounds of generation in which zero-spread groups get a fresh prompt."}
    )
    speculation: int = field(
        default=0, metadata={"help": "Most tokens of a completion that are guessed and read at once."}
    )


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
    """Our section in TRL's words. Every setting of the recipe is named, none is left to a default.

    `engine` holds what the engine adds, in TRL's own words, and `handed` what section `trl` says.
    """
    batch = section.trl_batch(world_size)
    return StepArguments(
        output_dir=str(directory),
        max_steps=section.max_steps,
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler_type,
        lr_scheduler_kwargs=dict(section.lr_scheduler_kwargs),
        warmup_steps=section.lr_warmup_steps,
        per_device_train_batch_size=batch.per_device_train_batch_size,
        gradient_accumulation_steps=batch.gradient_accumulation_steps,
        num_generations=section.num_generations,
        num_iterations=section.num_iterations,
        max_completion_length=section.max_completion_length,
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        min_p=section.min_p or None,
        repetition_penalty=section.repetition_penalty,
        beta=section.beta,
        epsilon=section.epsilon,
        epsilon_high=section.epsilon_high,
        delta=section.delta,
        off_policy_mask_threshold=section.off_policy_mask_threshold,
        entropy_coef=section.entropy_coef,
        loss_type=section.loss_type,
        importance_sampling_level=section.importance_sampling_level,
        multi_objective_aggregation=section.multi_objective_aggregation,
        scale_rewards=section.trl_scale_rewards,
        mask_truncated_completions=section.mask_truncated_completions,
        dynamic_sampling=section.dynamic_sampling,
        speculation=section.speculation,
        optim=section.optim,
        adam_beta1=section.adam_beta1,
        adam_beta2=section.adam_beta2,
        adam_epsilon=section.adam_epsilon,
        weight_decay=section.weight_decay,
        max_grad_norm=section.max_grad_norm,
        disable_dropout=True,
        bf16=bf16,
        fp16=fp16,
        gradient_checkpointing=gradient_checkpointing,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=section.save_every_steps,
        save_total_limit=2,
        report_to="none",
        log_completions=False,
        disable_tqdm=True,
        log_level_replica="error",
        seed=seed,
        **(engine or {}),
        **(handed or {}),
    )
