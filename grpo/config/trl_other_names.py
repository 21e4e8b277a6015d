"""Settings in files for TRL that are no fields of today's GRPOConfig: of models, rows, scripts and older versions."""

from __future__ import annotations

from grpo.config.trl_adapters import SETTINGS
from grpo.config.trl_fields import HANDED, OTHER_WAY, REFUSED, SAME_VALUE

# Of TRL's ModelConfig and of scripts: what the policy is, and what is not a setting of a training.
MODEL = (
    "model_name_or_path", "model_revision", "dtype", "torch_dtype", "use_peft", "load_in_4bit", "load_in_8bit",
    "attn_implementation", "max_seq_length", "bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_compute_dtype",
    "adapter_path", "by_unsloth", *SETTINGS,
)  # fmt: skip
ROWS = (
    "dataset", "reward", "system", "prompt_column", "solution", "task", "dataset_mixture", "columns", "external_plugins",
    "train_data", "eval_data",
)  # fmt: skip
# What every run has in its own way: saying so of each config would hide what matters.
QUIET = ("output_dir", "run_name", "report_to", "log_completions", "save_strategy", "eval_strategy")
# Settings that other versions of TRL had.
GONE = {
    "vllm_device": "TRL has no such setting any more; engine vllm shares the training devices, or give model.vllm.server_devices",
    "vllm_dtype": "vLLM has the policy's type",
    "vllm_enable_prefix_caching": "prefix caching is on",
    "overwrite_output_dir": "a run never overwrites another",
    "chat_template": "write model.chat_template: a file with the template",
    "callbacks": "a run has its own",
    "config_file": "launch with accelerate and a file such as configs/accelerate/ddp.yaml",
    "use_liger_loss": "the loss never holds all logits at once",
    "shuffle_generation_inputs": "rows are shuffled by seed",
    "generation_aggregation_steps": "a generation batch is one optimiser step",
    "wandb_project": "write tracking.project",
    "wandb_entity": "wandb's own variable WANDB_ENTITY says it",
    "logging_dir": "write tracking.tensorboard: true",
    "vllm_sampling_params": "left out: of them unsloth uses lists alone, such as stop, and completions end here at the "
    "model's own end tokens; temperature, top_p, top_k and min_p count where GRPOConfig has them",
}
# What only files for older versions have, and what those took where a file says nothing.
OLD = (
    "max_prompt_length", "vllm_device", "vllm_dtype", "vllm_max_model_len", "vllm_enable_prefix_caching", "torch_dtype",
    "overwrite_output_dir", "evaluation_strategy", "use_liger_loss", "generation_aggregation_steps",
)  # fmt: skip
OLD_DEFAULTS = {
    "beta": "beta 0.04 until May 2025", "top_k": "top_k 50 until May 2025",
    "loss_type": "loss_type grpo, then bnpo, until August 2025",
}  # fmt: skip


# What they are called today.
ALIASES = {
    "model_name": "model_name_or_path", "vllm_max_model_len": "vllm_max_model_length", "torch_dtype": "dtype",
    "evaluation_strategy": "eval_strategy", "per_device_batch_size": "per_device_train_batch_size",
}  # fmt: skip


def is_known(name: str) -> bool:
    """Whether TRL's GRPOConfig or ModelConfig has a setting of that name, or had, or our reading gives it."""
    tables = (SAME_VALUE, HANDED, OTHER_WAY, REFUSED, MODEL, GONE, OLD, ALIASES, QUIET)
    return any(name in each for each in tables) or name == "num_processes" or name.startswith("**")


def is_worth_saying(name: str) -> bool:
    """Whether anything here would depend on the value of that setting."""
    if name in QUIET or OTHER_WAY.get(name, "").startswith("leave it out"):
        return False
    if name not in OTHER_WAY and any(word in name for word in ROWS):
        return False
    return not name.startswith("trackio") and name not in ("num_processes", "logging_steps", "bf16", "fp16", "use_cpu")
