"""Settings files of other trainings than TRL's GRPO, and how they are told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from grpo.config.trl_other_names import ROWS, is_known

# What only a training with GRPO has.
GRPO_ONLY = {
    "num_generations", "max_completion_length", "num_iterations", "epsilon", "epsilon_high", "delta", "scale_rewards",
    "reward_funcs", "reward_weights", "mask_truncated_completions", "top_entropy_quantile", "importance_sampling_level",
    "generation_batch_size", "steps_per_generation", "vllm_mode", "rlhf_type", "rl",
}  # fmt: skip
# What other trainings have: a key that they alone have, and what to call them.
_MARKS = {
    "actor_rollout_ref": "it is a file of verl's, another trainer than TRL's",
    "_component_": "it is a recipe of torchtune's, another trainer than TRL's",
    "compute_environment": "it is accelerate's file of processes, not a training; translate what accelerate launches",
    "zero_optimization": "it is DeepSpeed's file, not a training",
    "finetuning_type": "it is a file of LLaMA-Factory's, which has no GRPO",
    "loss_fn": "it is a file of NeMo-RL's, another trainer than TRL's",
}
# What trainings with GRPO have as a rule, and some others too.
_OFTEN_GRPO = {"use_vllm", "max_prompt_length", "log_completions", "vllm_gpu_memory_utilization", "beta"}
_SUPERVISED = {"packing", "dataset_text_field", "completion_only_loss", "assistant_only_loss", "neftune_noise_alpha"}
_PREFERENCES = {
    "rpo_alpha",
    "precompute_ref_log_probs",
    "desirable_weight",
    "num_ppo_epochs",
    "rloo_k",
    "label_smoothing",
}


def find_stranger(values: Mapping[Any, Any], settings: Collection[str]) -> str | None:
    """Why a file with these sections and settings is not one of TRL's GRPO; None where it may be."""
    names = set(settings)
    for mark, reason in _MARKS.items():
        if _has_key(values, mark) and not (mark in ("finetuning_type", "loss_fn") and "num_generations" in names):
            return reason
    if names & GRPO_ONLY:
        return None
    if names & _SUPERVISED:
        return "it is a supervised training (SFT): it has no setting that only GRPO has"
    if names & _PREFERENCES:
        return "it is a training on preferences, such as DPO: it has no setting that only GRPO has"
    strange = [name for name in settings if not is_known(name) and not any(word in name for word in ROWS)]
    if strange and not names & _OFTEN_GRPO:
        return f"it has no setting that only GRPO has, and TRL has none called {', '.join(strange[:4])}"
    return None


def has_any_setting(settings: Collection[str]) -> bool:
    """Whether one of them is a setting that TRL has."""
    return any(is_known(name) for name in settings)


def _has_key(values: Any, key: str, depth: int = 0) -> bool:
    if not isinstance(values, Mapping) or depth > 2:
        return False
    return key in values or any(_has_key(each, key, depth + 1) for each in values.values())
