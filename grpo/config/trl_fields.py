"""Every setting of TRL's GRPOConfig, and what becomes of it here: handed through, said by a key of ours, or refused.

A test holds the three tables against the fields of the pinned TRL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NUMBER, WHOLE, FLAG, TEXT, MAPPING = "a number", "a whole number", "true or false", "a text", "a mapping"
_TYPES: dict[str, tuple[type, ...]] = {
    NUMBER: (int, float), WHOLE: (int,), FLAG: (bool,), TEXT: (str,), MAPPING: (dict,)
}  # fmt: skip

# What section `trl` may say: nothing of it breaks the numbers, the resuming or the record of a run.
HANDED: dict[str, str] = {
    **dict.fromkeys(
        (
            "sapo_temperature_neg", "sapo_temperature_pos", "vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg",
            "vespo_lambda_neg", "top_entropy_quantile", "entropy_coef_min", "entropy_coef_max", "entropy_coef_delta",
            "entropy_target", "router_aux_loss_coef", "vllm_importance_sampling_clip_min",
        ),
        NUMBER,
    ),
    **dict.fromkeys(
        (
            "use_adaptive_entropy", "use_bias_correction_kl", "cast_lm_head_to_fp32", "tf32", "shuffle_dataset",
            "full_determinism", "dataloader_persistent_workers", "ddp_find_unused_parameters", "ddp_broadcast_buffers",
            "ddp_static_graph",
        ),
        FLAG,
    ),
    **dict.fromkeys(
        (
            "pad_to_multiple_of", "torch_empty_cache_steps", "dataloader_num_workers", "dataloader_prefetch_factor",
            "ddp_bucket_cap_mb", "ddp_timeout",
        ),
        WHOLE,
    ),
    **dict.fromkeys(("optim_args", "ddp_backend", "vllm_model_impl"), TEXT),
    "gradient_checkpointing_kwargs": MAPPING,
}  # fmt: skip

_SECTION = (
    "max_steps", "num_train_epochs", "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "optim",
    "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "num_generations", "max_completion_length",
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "beta", "num_iterations", "epsilon", "delta",
    "epsilon_high", "importance_sampling_level", "multi_objective_aggregation", "scale_rewards", "loss_type",
    "mask_truncated_completions", "entropy_coef", "off_policy_mask_threshold",
)  # fmt: skip
_VLLM = {
    "vllm_mode": "mode", "vllm_enable_sleep_mode": "enable_sleep_mode", "vllm_server_base_url": "server_base_url",
    "vllm_server_port": "server_port", "vllm_server_timeout": "server_timeout", "vllm_group_port": "group_port",
    "vllm_gpu_memory_utilization": "gpu_memory_utilization", "vllm_tensor_parallel_size": "tensor_parallel_size",
    "vllm_importance_sampling_correction": "importance_sampling_correction",
    "vllm_importance_sampling_mode": "importance_sampling_mode",
    "vllm_importance_sampling_clip_max": "importance_sampling_clip_max",
    "vllm_importance_sampling_cap": "importance_sampling_clip_max",
}  # fmt: skip

# What a key of ours says: TRL's name -> that key. Those that hold the same value under both names.
SAME_VALUE: dict[str, str] = {
    **{name: f"grpo.{name}" for name in _SECTION},
    **{name: f"model.vllm.{key}" for name, key in _VLLM.items()},
    "save_steps": "grpo.save_every_steps",
    "save_total_limit": "grpo.save_total_limit",
    "eval_steps": "evaluation.every_steps",
    "per_device_eval_batch_size": "evaluation.batch_size",
    "seed": "seed",
    "gradient_checkpointing": "model.gradient_checkpointing",
    "chat_template_kwargs": "model.chat_template_kwargs",
    "warmup_ratio": "grpo.warmup_ratio",
    "max_prompt_length": "data.max_prompt_tokens",
}
# What keys of ours say in another way: TRL's name -> what to write.
OTHER_WAY: dict[str, str] = {
    **dict.fromkeys(
        ("per_device_train_batch_size", "gradient_accumulation_steps", "generation_batch_size", "steps_per_generation"),
        "write grpo.prompts_per_step (prompts of one optimiser step, which is one generation batch) and "
        "grpo.micro_batch_size (completions in one pass)",
    ),
    "bf16": "write model.dtype: bfloat16, which auto is on a CUDA device",
    "fp16": "write model.dtype: float16, for weights below adapters",
    "use_vllm": "write model.engine: vllm",
    "use_cpu": "write model.device: cpu",
    "output_dir": "give --run-dir, or name the run with the key name",
    "run_name": "write name",
    "report_to": "write tracking.wandb or another key of section tracking",
    "project": "write tracking.project",
    "reward_weights": "write rewards.functions, a weight each",
    "log_completions": "write grpo.log_completions_every; all are kept on disk",
    "resume_from_checkpoint": "give --resume RUN",
    "model_init_kwargs": "write model.revision, model.dtype and model.quantization",
    "use_liger_kernel": "leave it out: the loss never holds all logits at once, with any engine",
    "liger_kernel_config": "leave it out, as use_liger_kernel",
    "eval_strategy": "write evaluation.every_steps",
    "eval_on_start": "leave it out: a run evaluates before and after everything",
    "num_generations_eval": "leave it out: the held-out evaluation writes one completion a row",
    "load_best_model_at_end": "leave it out: the best policy is always kept, in best/",
    "metric_for_best_model": "leave it out: the best policy is that of the best held-out mean reward",
    "greater_is_better": "leave it out, as metric_for_best_model",
    "logging_steps": "leave it out: every step is logged",
    "logging_strategy": "leave it out: every step is logged",
    "logging_first_step": "leave it out: every step is logged",
    "logging_nan_inf_filter": "leave it out: what is logged is what it was",
    "save_strategy": "write grpo.save_every_steps",
    "dataloader_drop_last": "leave it out: a step is always whole",
    "dataloader_pin_memory": "leave it out: it follows from the device",
    "do_train": "leave it out",
    "do_eval": "leave it out: section evaluation",
    "do_predict": "leave it out",
    "fsdp": "launch with accelerate and configs/accelerate/fsdp2.yaml",
    "fsdp_config": "launch with accelerate and configs/accelerate/fsdp2.yaml",
    "deepspeed": "launch with accelerate and configs/accelerate/zero3.yaml",
    "accelerator_config": "launch with accelerate and a file such as configs/accelerate/ddp.yaml",
    "parallelism_config": "launch with accelerate; sequences are not split across devices",
    "local_rank": "leave it out: torchrun and accelerate set it",
    "vllm_server_host": "write model.vllm.server_base_url",
    "vllm_max_model_length": "write model.max_sequence_length, which colocated vLLM is given",
    "hub_model_id": "leave it out: a run uploads nothing; its best/ can be uploaded afterwards",
    **dict.fromkeys(
        (
            "push_to_hub", "hub_token", "hub_private_repo", "hub_strategy", "hub_always_push", "hub_revision",
            "log_completions_hub_repo",
        ),
        "leave it out: a run uploads nothing; its best/ can be uploaded afterwards",
    ),
    "disable_tqdm": "leave it out, or give --quiet",
    **dict.fromkeys(("log_level", "log_level_replica", "log_on_each_node"), "leave it out: the first process speaks"),
    **dict.fromkeys(
        ("num_completions_to_print", "log_unique_prompts", "log_multimodal"),
        "leave it out: all completions are on disk and in the report",
    ),
    **dict.fromkeys(
        ("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"), "see section tracking"
    ),
    "disable_dropout": "leave it out: only adapters have a dropout, model.lora.dropout",
}  # fmt: skip
# What cannot be had, and why.
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        ("bf16_full_eval", "fp16_full_eval"), "what is evaluated would not be what is trained"
    ),
    "generation_kwargs": "a run writes its completions itself, by grpo.temperature, top_p, top_k, min_p and "
    "repetition_penalty alone, so that they can be repeated",
    **dict.fromkeys(
        (
            "cache_implementation", "use_cache", "use_transformers_continuous_batching",
            "transformers_continuous_batching_config", "use_transformers_paged",
        ),
        "a run writes its completions itself, with a cache of its own",
    ),
    "vllm_structured_outputs_regex": "a grammar changes vLLM's probabilities and not the policy's, so that their ratio means "
    "nothing",
    **dict.fromkeys(
        ("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"),
        "the moving reference policy is in no checkpoint, so that a resumed run would follow another one",
    ),
    "ignore_data_skip": "a resumed run would see other rows",
    "restore_callback_states_from_checkpoint": "a run restores what it needs by itself",
    "neftune_noise_alpha": "noise on the embeddings makes the log-probabilities of a prompt random",
    **dict.fromkeys(
        ("torch_compile", "torch_compile_backend", "torch_compile_mode"),
        "a compiled policy cannot share prompts within a group, and each new length compiles it again",
    ),
    "optim_target_modules": "the optimisers that read it are not offered",
    **dict.fromkeys(
        ("label_smoothing_factor", "average_tokens_across_devices", "label_names", "train_sampling_strategy", "length_column_name"),
        "GRPO does not read it",
    ),
    "auto_find_batch_size": "TRL refuses it for GRPO; write grpo.micro_batch_size: auto",
    **dict.fromkeys(
        (
            "eval_delay", "prediction_loss_only", "eval_do_concat_batches", "eval_use_gather_object",
            "eval_accumulation_steps", "include_for_metrics", "batch_eval_metrics",
        ),
        "the held-out evaluation is our own (section evaluation), not the Trainer's",
    ),
    "save_only_model": "a run could not be resumed",
    "save_on_each_node": "the first process writes",
    "enable_jit_checkpoint": "a run saves when it is asked to stop, by itself",
    "remove_unused_columns": "rewards read the columns of a row",
    "data_seed": "everything random follows from seed",
    "include_num_input_tokens_seen": "TRL counts num_tokens by itself",
    "skip_memory_metrics": "memory is recorded by itself",
    "debug": "it prints a run's inner numbers",
    **dict.fromkeys(
        ("dataloader_multiprocessing_context", "dataloader_in_order"), "rows would come in another order"
    ),
    "trust_remote_code": "code of a model's repository is never run",
    "max_tool_calling_iterations": "completions of several turns with tools are not written here",
    "ds3_gather_for_generation": "generation needs whole weights, and gathers them itself",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """The values that TRL, transformers or torch take of a setting; others end in a traceback when training begins."""

    takes: Callable[[Any], bool]
    shown: str


_POSITIVE = Range(lambda value: value > 0, "a number above 0")
_COUNT = Range(lambda value: value >= 1, "a whole number of at least 1")
_AT_LEAST_ZERO = Range(lambda value: value >= 0, "a number of at least 0")
_CHECKPOINTING = ("use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop")
RANGES: dict[str, Range] = {
    "top_entropy_quantile": Range(lambda value: 0 < value <= 1, "a share above 0 and up to 1"),
    **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), _POSITIVE),
    **dict.fromkeys(
        (
            "vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg", "router_aux_loss_coef",
            "vllm_importance_sampling_clip_min", "dataloader_num_workers",
        ),
        _AT_LEAST_ZERO,
    ),
    **dict.fromkeys(
        (
            "pad_to_multiple_of", "torch_empty_cache_steps", "dataloader_prefetch_factor", "ddp_bucket_cap_mb", "ddp_timeout",
        ),
        _COUNT,
    ),
    "vllm_model_impl": Range(lambda value: value in ("vllm", "transformers"), "vllm or transformers"),
    "ddp_backend": Range(
        lambda value: value in ("nccl", "gloo", "mpi", "ccl", "hccl", "cncl", "mccl"), "nccl, gloo, mpi, ccl, hccl, cncl or mccl"
    ),
    "optim_args": Range(
        lambda value: all(len(each.split("=")) == 2 for each in value.replace(" ", "").split(",")),
        "name=value, with commas between several",
    ),
    "gradient_checkpointing_kwargs": Range(
        lambda value: value.keys() <= set(_CHECKPOINTING), f"a mapping with {', '.join(_CHECKPOINTING)}"
    ),
}  # fmt: skip
# What TRL's ModelConfig and its scripts call what is said here by keys of section model and others.
_SCRIPTS: dict[str, str] = {
    "model_name_or_path": "write model.name", "model_revision": "write model.revision", "torch_dtype": "write model.dtype",
    "dtype": "write model.dtype", "use_peft": "write model.lora", "lora_r": "write model.lora.r",
    "lora_alpha": "write model.lora.alpha", "lora_dropout": "write model.lora.dropout",
    "lora_target_modules": "write model.lora.target_modules", "load_in_4bit": "write model.quantization: nf4",
    "load_in_8bit": "write model.quantization: nf4, the nearest that is offered",
    "attn_implementation": "leave it out: the engine chooses how attention is computed",
    "reward_funcs": "write rewards.functions", "dataset_name": "write data.train",
    "vllm_max_model_len": "write model.max_sequence_length",
    "vllm_device": "leave it out: engine vllm shares the training devices, or give model.vllm.server_devices",
    "evaluation_strategy": "write evaluation.every_steps",
}  # fmt: skip


def find_trl_problems(settings: Mapping[str, Any]) -> list[str]:
    """What of a section `trl` cannot be handed to TRL, one line each, the key first."""
    problems = []
    for name, value in settings.items():
        kind = HANDED.get(name)
        if kind is None:
            problems.append(f"{name}: {advise(name) or 'no such setting of TRL 1.14.2'}")
        elif not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != FLAG):
            problems.append(f"{name}: {value!r} is not {kind}")
        elif (allowed := RANGES.get(name)) is not None and not allowed.takes(value):
            problems.append(f"{name}: {value!r} is not allowed; allowed: {allowed.shown}")
    if settings.get("dataloader_prefetch_factor") is not None and not settings.get("dataloader_num_workers"):
        problems.append("dataloader_prefetch_factor: no process loads rows ahead; give dataloader_num_workers as well")
    return problems


def advise(name: str) -> str | None:
    """What to do about a setting of TRL's that is not a key of ours, in a few words; None for a name that TRL has not."""
    if name in HANDED:
        return f"write trl.{name}"
    if name in SAME_VALUE:
        return f"write {SAME_VALUE[name]}"
    if name in OTHER_WAY:
        return OTHER_WAY[name]
    if name in _SCRIPTS:
        return _SCRIPTS[name]
    return f"cannot be set: {REFUSED[name]}" if name in REFUSED else None
