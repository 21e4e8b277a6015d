"""Trainings that reach TRL's GRPO through axolotl or ms-swift: their names and their own defaults, said in TRL's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from grpo.config.trl_found import FoundSettings

Wrapper = Callable[[FoundSettings], FoundSettings]
_IMAGES = re.compile(r"[-_]?(vl|omni|vision|llava|internvl|pixtral|ocr\d*)\b|[-_]vl[-_]", re.IGNORECASE)


def find_wrapper(settings: Mapping[str, Any], program: str = "") -> Wrapper | None:
    """Who reads these settings, where it is not TRL itself."""
    if "rlhf_type" in settings or program in ("swift rlhf", "megatron rlhf"):
        return read_swift if not program.startswith("megatron") else refuse_megatron
    return (
        read_axolotl
        if "base_model" in settings and settings.keys() & {"rl", "micro_batch_size", "sequence_len"}
        else None
    )


# What axolotl takes where its file says nothing and TRL would take something else.
_AXOLOTL_DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "num_train_epochs": 1.0,
    "lr_scheduler_type": "cosine", "gradient_checkpointing": False, "dtype": "bfloat16",
}  # fmt: skip
_AXOLOTL_NAMES = {
    "base_model": "model_name_or_path", "revision_of_model": "model_revision", "num_epochs": "num_train_epochs",
    "micro_batch_size": "per_device_train_batch_size", "optimizer": "optim", "lr_scheduler": "lr_scheduler_type",
    "rl_beta": "beta", "use_liger_loss": "use_liger_kernel", "gpu_memory_utilization": "vllm_gpu_memory_utilization",
    "tensor_parallel_size": "vllm_tensor_parallel_size", "max_model_len": "vllm_max_model_length",
    "eval_batch_size": "per_device_eval_batch_size", "peft_use_dora": "use_dora", "peft_use_rslora": "use_rslora",
    "lora_modules_to_save": "lora_modules_to_save", "peft_init_lora_weights": "lora_init", "peft_layers_to_transform": "lora_layers",
}  # fmt: skip
# What changes nothing here: how rows are laid out, stored and shown, and kernels.
_AXOLOTL_QUIET = re.compile(
    r"(sample_packing|pad_to_sequence_len|eval_sample_packing|save_safetensors|special_tokens|pad_token|bos_token|eos_token|"
    r"unk_token|flash_attention|xformers_attention|sdp_attention|attn_implementation|wandb_.*|use_tensorboard|mlflow_.*|"
    r"dataset_prepared_path|strict|debug|model_type|tokenizer_type|tokenizer_use_fast|val_set_size|train_on_inputs|"
    r"group_by_length|host|port|dtype|enable_prefix_caching|logging_steps|type|path|split|name|adapter|lora_target_linear|"
    r"rl|sequence_len|load_in_8bit|bf16|lora_fan_in_fan_out|skip_prepare_dataset|shuffle_merged_datasets)"
)


def read_axolotl(found: FoundSettings) -> FoundSettings:
    """A file of axolotl's whose `rl` is grpo or gdpo."""
    given = {_AXOLOTL_NAMES.get(name, name): value for name, value in found.settings.items()}
    out = FoundSettings(
        unknown={
            _AXOLOTL_NAMES.get(name, name): text
            for name, text in found.unknown.items()
            if not _AXOLOTL_QUIET.fullmatch(name)
        },
        notes=list(found.notes),
        refusals=list(found.refusals),
        wrapper="axolotl",
    )
    kind = given.get("rl")
    if kind not in ("grpo", "gdpo"):
        other = "it has no rl: a supervised training" if kind is None else f"rl: {kind} is another trainer of axolotl's"
        out.refusals.append(f"{other}, not GRPO")
    if given.get("nemo_gym_enabled") or given.get("rollout_func"):
        out.refusals.append("its rewards and turns come from an environment, and completions here are one turn")
    if given.get("use_data_producer") or given.get("async_prefetch"):
        out.notes.append(
            "async_prefetch: left out; grpo.one_step_ahead generates the next batch while this one is trained on"
        )
    settings = {**_AXOLOTL_DEFAULTS, **{k: v for k, v in given.items() if not _AXOLOTL_QUIET.fullmatch(k)}}
    if not {"warmup_steps", "warmup_ratio"} & {*given, *out.unknown}:
        settings["warmup_ratio"] = 0.03
    if given.get("adapter") in ("lora", "qlora"):
        settings["use_peft"] = True
        if given["adapter"] == "qlora":
            settings["load_in_4bit"] = True
        if given.get("lora_target_linear"):
            settings["lora_target_modules"] = "all-linear"
    elif given.get("adapter"):
        out.refusals.append(f"adapter: {given['adapter']} is not trained here; lora and qlora are")
    if kind == "gdpo":
        settings["multi_objective_aggregation"] = "normalize_then_sum"
    if given.get("bf16") is False:
        settings["dtype"] = "float32"
    # A default stands for what a file leaves out, not for what it says elsewhere.
    out.settings = {name: value for name, value in settings.items() if name not in out.unknown}
    return _without_images(out)


# What ms-swift takes where its command says nothing and TRL would take something else.
_SWIFT_DEFAULTS: dict[str, Any] = {
    "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_accumulation_steps": 1,
    "lr_scheduler_type": "cosine", "weight_decay": 0.1, "adam_beta2": 0.95, "beta": 0.04, "temperature": 0.9,
    "loss_type": "grpo", "vllm_importance_sampling_correction": False,
}  # fmt: skip
_SWIFT_NAMES = {
    "model": "model_name_or_path", "model_id_or_path": "model_name_or_path", "ckpt_dir": "model_name_or_path", "lora_rank": "lora_r",
    "target_modules": "lora_target_modules", "max_length": "max_prompt_length", "overlong_filter": "mask_truncated_completions",
    "tau_pos": "sapo_temperature_pos", "tau_neg": "sapo_temperature_neg", "num_infer_workers": "dataset_workers",
}  # fmt: skip
_SWIFT_QUIET = {
    "rlhf_type", "model_type", "tuner_type", "train_type", "sft_type", "template", "template_backend", "quant_method", "quant_bits",
    "load_from_cache_file", "dataset_num_proc", "offload_model", "offload_optimizer", "move_model_batches", "attn_impl",
    "padding_free", "use_hf", "add_version", "check_model", "async_generate", "gc_collect_after_offload", "vllm_enable_lora",
    "vllm_max_lora_rank", "vllm_enforce_eager", "vllm_limit_mm_per_prompt", "vllm_enable_prefix_caching", "sleep_level",
    "advantage_estimator", "kl_in_reward", "enable_thinking", "log_entropy", "save_safetensors", "dataset_shuffle",
    "train_dataloader_shuffle", "freeze_vit", "freeze_aligner", "freeze_llm", "vllm_max_num_seqs", "truncation_strategy",
    "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype", "strict", "report_to", "max_turns",
}  # fmt: skip
# What makes a training of ms-swift something else, and what to call it.
_SWIFT_REFUSED = {
    **dict.fromkeys(
        ("multi_turn_scheduler", "multi_turn_func", "use_gym_env", "gym_env", "vllm_server_pass_dataset"),
        "completions of several turns with an environment are not written here",
    ),
    **dict.fromkeys(
        ("teacher_model", "teacher_model_server", "advantage_reweight", "sdar_loss_coef"),
        "GRPO's loss does not use a teacher's probabilities here",
    ),
    "chord_sft_dataset": "its loss mixes in an SFT loss (CHORD)",
    "target_regex": "adapters are named by modules (model.lora.target_modules), not by an expression",
    "ref_model": "the reference is the policy as it starts, not another model",
    "adapters": "it continues from adapters: set model.adapter yourself",
}


def read_swift(found: FoundSettings) -> FoundSettings:
    """A command or file of `swift rlhf`."""
    given = {_SWIFT_NAMES.get(name, name): value for name, value in found.settings.items()}
    out = FoundSettings(
        unknown={_SWIFT_NAMES.get(name, name): text for name, text in found.unknown.items()},
        notes=list(found.notes),
        refusals=list(found.refusals),
        wrapper="ms-swift",
    )
    kind, estimator = given.get("rlhf_type", "dpo"), given.get("advantage_estimator", "grpo")
    if kind != "grpo" or estimator != "grpo":
        out.refusals.append(
            f"{'rlhf_type ' + str(kind) if kind != 'grpo' else 'advantage_estimator ' + str(estimator)} is not GRPO"
        )
    out.refusals += [f"{name}: {why}" for name, why in _SWIFT_REFUSED.items() if given.get(name)]
    tuner = given.get("tuner_type", given.get("train_type", given.get("sft_type", "lora")))
    dropped = _SWIFT_QUIET | _SWIFT_REFUSED.keys() | {"dynamic_sample", "max_resample_times"}
    settings = {**_SWIFT_DEFAULTS, **{name: value for name, value in given.items() if name not in dropped}}
    if tuner == "lora":
        settings = {"lora_r": 8, "lora_alpha": 32, "lora_dropout": 0.05, "lora_target_modules": "all-linear"} | settings
        settings["use_peft"] = True
        settings.setdefault("learning_rate", 1e-4)
        settings["load_in_4bit"] = given.get("quant_bits") == 4
    elif tuner == "full":
        settings.setdefault("learning_rate", 1e-5)
        settings = {name: value for name, value in settings.items() if not name.startswith("lora_")}
    else:
        out.refusals.append(f"tuner_type: {tuner} is not trained here; lora and full are")
    if settings.get("scale_rewards") == "gdpo":
        settings |= {"scale_rewards": "group", "multi_objective_aggregation": "normalize_then_sum"}
    if isinstance(given.get("enable_thinking"), bool):
        settings["chat_template_kwargs"] = {"enable_thinking": given["enable_thinking"]}
    if given.get("sleep_level"):
        settings["vllm_enable_sleep_mode"] = True
    if given.get("dynamic_sample"):
        out.notes.append("dynamic_sample: write grpo.dynamic_sampling, how many times more prompts may be asked")
    settings.setdefault("torch_dtype", "auto")
    out.settings = {name: value for name, value in settings.items() if name not in out.unknown}
    if _IMAGES.search(str(given.get("model_type", ""))):
        out.refusals.append(f"model_type {given['model_type']} reads images or sound, and rows here are text")
    return _without_images(out)


def refuse_megatron(found: FoundSettings) -> FoundSettings:
    """`megatron rlhf`, whose weights, optimiser and parallelism are Megatron's."""
    return FoundSettings(refusals=["it trains with Megatron-SWIFT, whose optimiser and sizes are not TRL's"])


def _without_images(found: FoundSettings) -> FoundSettings:
    name = found.settings.get("model_name_or_path")
    if isinstance(name, str) and _IMAGES.search(name.rpartition("/")[2]):
        found.refusals.append(f"{name} reads images or sound, and rows here are text")
    return found
