"""A config of ours from the settings of a GRPO training with TRL, and what of them has no counterpart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grpo.config.trl_fields import HANDED, OTHER_WAY, REFUSED, SAME_VALUE
from grpo.config.trl_names import OPTIMISERS, find_optimiser_problem
from grpo.config.trl_reading import FoundSettings

# What TRL 1.14.2 takes where a file says nothing; ours has other defaults, so all of them are written out.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1.0e-6, "lr_scheduler_type": "linear", "num_generations": 8, "max_completion_length": 512,
    "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "beta": 0.0, "num_iterations": 1,
    "epsilon": 0.2, "loss_type": "dapo", "scale_rewards": "group", "max_grad_norm": 1.0, "weight_decay": 0.0,
    "optim": "adamw_torch_fused", "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1.0e-8,
    "gradient_checkpointing": True, "num_train_epochs": 3.0, "seed": 42, "save_steps": 500,
}  # fmt: skip
BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "generation_batch_size", "steps_per_generation")
# Of TRL's ModelConfig and of scripts: what the policy is, and what is not a setting of a training.
MODEL = (
    "model_name_or_path", "model_revision", "dtype", "torch_dtype", "use_peft", "lora_r", "lora_alpha", "lora_dropout",
    "lora_target_modules", "load_in_4bit", "load_in_8bit", "attn_implementation", "max_seq_length", "lora_task_type",
    "bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_compute_dtype",
)  # fmt: skip
ROWS = ("dataset", "reward", "system_prompt", "prompt_column", "solution", "task", "dataset_mixture")
# What every run has in its own way: saying so of each config would hide what matters.
QUIET = ("output_dir", "run_name", "report_to", "log_completions", "save_strategy", "eval_strategy")
# Settings that other versions of TRL had.
GONE = {
    "vllm_device": "TRL has no such setting any more; engine vllm shares the training devices, or give model.vllm.server_devices",
    "vllm_dtype": "vLLM has the policy's type",
    "vllm_enable_prefix_caching": "prefix caching is on",
    "overwrite_output_dir": "a run never overwrites another",
    "eval_on_start": "a run evaluates before and after everything",
    "do_eval": "a run evaluates on its held-out rows",
    "chat_template": "write model.chat_template: a file with the template",
    "callbacks": "a run has its own",
    "config_file": "launch with accelerate and a file such as configs/accelerate/ddp.yaml",
    "use_liger_loss": "the loss keeps no logits that are too many",
    "shuffle_generation_inputs": "rows are shuffled by seed",
    "generation_aggregation_steps": "a generation batch is one optimiser step",
}


# What they are called today.
ALIASES = {
    "model_name": "model_name_or_path", "vllm_max_model_len": "vllm_max_model_length", "torch_dtype": "dtype",
    "evaluation_strategy": "eval_strategy", "per_device_batch_size": "per_device_train_batch_size",
}  # fmt: skip


@dataclass
class Translation:
    """`config` in our words; `notes` are what was changed or is lost, `refusals` why there is none."""

    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def put(self, path: str, value: Any) -> None:
        place = self.config
        *parents, key = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = value


def translate(found: FoundSettings, processes: int = 1) -> Translation:
    """The same training as a config of ours, on this many processes; every setting is translated, noted or refused."""
    given = dict(found.settings)
    out = Translation(refusals=list(found.refusals))
    for old, new in ALIASES.items():
        if old in given:
            given.setdefault(new, given.pop(old))
    untold = [
        f"{name} ({text[:40]})"
        for name, text in found.unknown.items()
        if name in BATCH or name in SAME_VALUE or name in HANDED or name in MODEL
    ]
    if untold:
        out.notes.append(f"the file does not say these values; write them yourself: {', '.join(untold)}")
    if given.get("max_steps", -1) in (None, -1, 0):
        given.pop("max_steps", None)
    settings = {**{name: value for name, value in DEFAULTS.items() if name not in found.unknown}, **given}
    if "max_steps" in given:
        settings.pop("num_train_epochs", None)
    translate_model(settings, out)
    translate_batch(settings, out, processes)
    for name, value in settings.items():
        if name not in BATCH and name not in MODEL and name != "num_processes":
            translate_setting(name, value, out, name in given)
    out.put("name", "from-trl")
    return out


def translate_setting(name: str, value: Any, out: Translation, written: bool) -> None:
    """One setting that stands for itself."""
    if name == "use_vllm":
        if value:
            out.put("model.engine", "vllm")
    elif name in ("warmup_steps", "warmup_ratio"):
        if value:
            out.put("grpo.warmup_ratio" if 0 < value < 1 else "grpo.warmup_steps", value if value < 1 else int(value))
    elif name in SAME_VALUE:
        translate_same(name, value, out)
    elif name in HANDED:
        if value is not None:
            out.put(f"trl.{name}", value)
    elif name == "fp16" and not value:
        pass
    elif name in REFUSED:
        if value not in (None, False, "", {}, 0, 0.0):
            out.notes.append(f"{name}: left out; {REFUSED[name]}")
    elif name in QUIET:
        pass
    elif name in OTHER_WAY:
        if written and not OTHER_WAY[name].startswith("leave it out") and value not in (None, False):
            out.notes.append(f"{name}: {OTHER_WAY[name]}")
    elif any(word in name for word in ROWS):
        out.notes.append(f"{name}: rows and rewards are not TRL's settings; `recompensa init DATA` writes both")
    else:
        out.notes.append(f"{name}: {GONE.get(name, 'not a setting of TRL 1.14.2; left out')}")


def translate_same(name: str, value: Any, out: Translation) -> None:
    """A key of ours that holds the same, where the value is one that ours takes."""
    path = SAME_VALUE[name]
    if value is None:
        return
    if name in ("top_k", "min_p") and value < 0:
        value = 0
    if name == "optim" and value not in OPTIMISERS:
        out.refusals.append(find_optimiser_problem(str(value)) or f"optim {value}: not here")
        return
    if name.startswith("vllm_importance") or name == "chat_template_kwargs":
        pass
    elif name in ("save_steps", "eval_steps") and (not isinstance(value, int) or value < 1):
        out.notes.append(f"{name}: {value} is not a number of steps; write {path}")
        return
    elif name == "scale_rewards" and isinstance(value, bool):
        value = "group" if value else "none"
    elif name == "num_generations" and value < 2:
        out.refusals.append(f"num_generations {value}: a group needs at least two completions, as TRL says too")
        return
    elif name == "max_prompt_length":
        out.notes.append(f"max_prompt_length: longer prompts are refused here, where TRL cut them ({path}: {value})")
    elif name == "epsilon_high" and value == out.config.get("grpo", {}).get("epsilon"):
        return
    out.put(path, value)


def translate_model(settings: dict[str, Any], out: Translation) -> None:
    """The policy: its name, type, adapters and quantisation."""
    if settings.get("model_name_or_path"):
        out.put("model.name", settings["model_name_or_path"])
    else:
        out.notes.append("model_name_or_path: the file names no model; write model.name")
    if settings.get("model_revision") not in (None, "main"):
        out.put("model.revision", settings["model_revision"])
    options = settings.pop("model_init_kwargs", None)
    if isinstance(options, dict):
        settings["dtype"] = options.get("dtype", options.get("torch_dtype"))
    dtype = settings.get("dtype") or settings.get("torch_dtype") or ("bfloat16" if settings.get("bf16", True) else None)
    if settings.get("fp16") or dtype == "float16":
        out.notes.append(f"fp16: {REFUSED['fp16']}; bfloat16 is written")
        dtype = "bfloat16"
    settings.pop("fp16", None)
    settings.pop("bf16", None)
    out.put("model.dtype", dtype if dtype in ("float32", "bfloat16") else "auto")
    adapters = settings.get("use_peft") or settings.get("lora_r") is not None
    if adapters:
        targets = settings.get("lora_target_modules") or "all-linear"
        if targets == ["all-linear"]:
            targets = "all-linear"
        out.put(
            "model.lora",
            {
                "r": settings.get("lora_r") or 16,
                "alpha": int(settings.get("lora_alpha") or 32),
                "dropout": settings.get("lora_dropout") or 0.0,
                "target_modules": targets,
            },
        )
    else:
        out.put("model.lora", None)
    if settings.get("load_in_4bit"):
        if adapters:
            out.put("model.quantization", "nf4")
        else:
            out.refusals.append(
                "load_in_4bit without adapters trains nothing: 4-bit weights are frozen; use_peft is missing"
            )
    if settings.get("load_in_8bit"):
        out.notes.append("load_in_8bit: weights are whole or 4-bit NF4 here; model.quantization: nf4 is the nearest")
    length = settings.get("max_seq_length")
    completion = settings.get("max_completion_length", 512)
    prompt = settings.get("max_prompt_length")
    if length is None and all(isinstance(each, int) for each in (completion, prompt)):
        length = completion + prompt
    if isinstance(length, int):
        out.put("model.max_sequence_length", length)


def translate_batch(settings: dict[str, Any], out: Translation, processes: int) -> None:
    """TRL's four batch sizes as prompts a step and completions a pass; one generation batch is one optimiser step."""
    group = settings.get("num_generations", 8)
    each, accumulation = settings.get(BATCH[0], 8), settings.get(BATCH[1], 1)
    processes = settings.get("num_processes") or processes
    if not all(isinstance(value, int) and value > 0 for value in (group, each, accumulation, processes)):
        out.notes.append(
            "batch sizes: the file does not give them all; write grpo.prompts_per_step and micro_batch_size"
        )
        return
    step = each * accumulation * processes
    generation = settings.get("generation_batch_size") or each * processes * (
        settings.get("steps_per_generation") or accumulation
    )
    if generation > step:  # fewer completions at once, by the same weights, are the same step
        out.notes.append(
            f"generation_batch_size {generation}: TRL makes {generation / step:g} optimiser steps of one generation batch; "
            "here a generation batch is one step, which num_iterations may use again"
        )
    if step % group:
        prompts = max(1, round(step / group))
        out.notes.append(
            f"a step of {step} completions is not a multiple of num_generations {group}, which TRL refuses and unsloth silently "
            f"raises; {prompts} prompt(s) a step are written"
        )
        out.put("grpo.prompts_per_step", prompts)
        out.put("grpo.micro_batch_size", "auto")
        return
    out.put("grpo.prompts_per_step", step // group)
    out.put("grpo.micro_batch_size", each)
    if processes > 1:
        out.notes.append(f"{processes} processes: start them with torchrun --nproc_per_node {processes} -m grpo.run")
