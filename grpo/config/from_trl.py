"""A config of ours from the settings of a GRPO training with TRL, and what of them has no counterpart."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from grpo.config.trl_adapters import translate_adapters
from grpo.config.trl_fields import HANDED, OTHER_WAY, REFUSED, SAME_VALUE
from grpo.config.trl_found import FoundSettings
from grpo.config.trl_names import OPTIMISERS, find_optimiser_problem
from grpo.config.trl_other_names import ALIASES, GONE, MODEL, OLD, OLD_DEFAULTS, QUIET, ROWS, is_worth_saying

# What TRL 1.14.2 takes where a file says nothing; ours has other defaults, so all of them are written out.
DEFAULTS: dict[str, Any] = {
    "learning_rate": 1.0e-6, "lr_scheduler_type": "linear", "num_generations": 8, "max_completion_length": 512,
    "temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "beta": 0.0, "num_iterations": 1,
    "epsilon": 0.2, "loss_type": "dapo", "scale_rewards": "group", "max_grad_norm": 1.0, "weight_decay": 0.0,
    "optim": "adamw_torch_fused", "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1.0e-8,
    "gradient_checkpointing": True, "num_train_epochs": 3.0, "seed": 42, "save_steps": 500,
}  # fmt: skip
# Of model_init_kwargs: what is translated, and what follows from the engine and the device.
_INIT_KWARGS = (
    "dtype", "torch_dtype", "revision", "attn_implementation", "use_cache", "device_map", "low_cpu_mem_usage",
)  # fmt: skip
# Of generation_kwargs: what section grpo has too, and what a run does anyway.
_FILTERS = ("top_p", "top_k", "min_p", "repetition_penalty")
_IMPLIED = ("do_sample", "pad_token_id", "eos_token_id", "bos_token_id", "use_cache")
BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "generation_batch_size", "steps_per_generation")


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
    given, written = dict(found.settings), dict(found.settings)
    out = Translation(refusals=list(found.refusals))
    for old, new in ALIASES.items():
        if old in given:
            given.setdefault(new, given.pop(old))
    untold = [
        f"{name} ({text[:40]})"
        for name, text in found.unknown.items()
        if is_worth_saying(name) and name not in GONE and name not in REFUSED
    ]
    if untold:
        out.notes.append(f"the file does not say these values; write them yourself: {', '.join(untold)}")
    out.notes += [f"{name}: {GONE[name]}" for name in found.unknown if name in GONE]
    out.notes += [f"{name}: left out; {REFUSED[name]}" for name in found.unknown if name in REFUSED]
    if found.wrapper is not None:
        out.notes.append(f"read as {found.wrapper}'s, whose defaults are written where TRL's differ")
    out.notes += found.notes
    if given.get("max_steps", -1) in (None, -1, 0):
        given.pop("max_steps", None)
    if "scale_rewards" in given and given["scale_rewards"] is None:
        given["scale_rewards"] = "none"  # a word here, and no missing value
    if "max_grad_norm" in given and given["max_grad_norm"] is None:
        given["max_grad_norm"] = 0.0  # off, as the Trainer takes it
    for name in [name for name, value in given.items() if value is None and name in DEFAULTS]:
        del given[name]
        if name != "num_train_epochs":
            out.notes.append(f"{name}: the file gives no value; TRL's default {DEFAULTS[name]} is written")
    settings = {**{name: value for name, value in DEFAULTS.items() if name not in found.unknown}, **given}
    if "max_steps" in given:
        settings.pop("num_train_epochs", None)
    translate_model(settings, out)
    translate_batch(settings, out, processes)
    translate_server(settings, found.unknown, out)
    translate_length(settings, out)
    translate_sampling(settings, out)
    translate_schedule(settings, out)
    for name, value in settings.items():
        if name not in BATCH and name not in MODEL and name != "num_processes":
            translate_setting(name, value, out, name in given)
    if found.wrapper is None:
        note_age(written, out)
    out.notes = join_notes(out.notes)
    out.put("name", "from-trl")
    return out


def note_age(given: dict[str, Any], out: Translation) -> None:
    """What an older TRL took for what the file leaves out, where it was written for one."""
    marks = [name for name in OLD if name in given]
    left_out = [text for name, text in OLD_DEFAULTS.items() if name not in given]
    if marks and left_out:
        out.notes.append(
            f"written for an older TRL ({marks[0]}): what it leaves out has the value of TRL 1.14.2 here; older versions had "
            f"{', '.join(left_out)}"
        )


def join_notes(notes: list[str]) -> list[str]:
    """Notes that say the same of several settings become one, where the first of them stood."""
    names: dict[str, list[str]] = {}
    for note in notes:
        name, colon, said = note.partition(": ")
        names.setdefault(said if colon else note, []).append(name if colon else "")
    return [f"{', '.join(each)}: {said}" if any(each) else said for said, each in names.items()]


def translate_server(settings: dict[str, Any], unknown: Collection[str], out: Translation) -> None:
    """Host and port of a vLLM server as one address; `unknown` are the settings whose value the file does not tell."""
    host, port = settings.get("vllm_server_host"), settings.get("vllm_server_port")
    host, port = (each[0] if isinstance(each, list) and each else each for each in (host, port))
    told = host is not None or settings.get("vllm_server_base_url") is not None
    mode, unused = settings.get("vllm_mode"), not settings.get("use_vllm") and "use_vllm" not in unknown
    if told and (mode == "colocate" or (mode is None and unused)):
        dropped = [
            each for each in ("vllm_server_host", "vllm_server_base_url") if settings.pop(each, None) is not None
        ]
        why = "in mode colocate there is no server" if mode is not None else "without use_vllm no server is asked"
        out.notes.append(f"{', '.join(dropped)}: left out; {why}")
        return
    if told and mode is None:
        settings["vllm_mode"] = "server"
        older = "; older versions of TRL took that, 1.14.2 would take colocate" if "vllm_mode" not in unknown else ""
        out.notes.append(f"vllm_mode: server is written, because the file gives its address{older}")
    if isinstance(host, str) and host not in ("0.0.0.0", "") and "$" not in host:
        settings.pop("vllm_server_host")
        settings.pop("vllm_server_port", None)
        out.put("model.vllm.server_base_url", f"http://{host}:{port or 8000}")
    elif port is not None:
        settings["vllm_server_port"] = port


def translate_sampling(settings: dict[str, Any], out: Translation) -> None:
    """Filters that stand in `generation_kwargs`, and what vLLM cannot be used for here, though TRL does it."""
    inner = settings.get("generation_kwargs")
    if isinstance(inner, dict):
        moved = {name: inner[name] for name in _FILTERS if inner.get(name) is not None}
        settings |= moved
        rest = {name: value for name, value in inner.items() if name not in moved and name not in _IMPLIED}
        if rest.get("temperature") == settings.get("temperature"):
            rest.pop("temperature", None)
        if rest.get("max_new_tokens") == settings.get("max_completion_length"):
            rest.pop("max_new_tokens", None)
        settings["generation_kwargs"] = rest
    if not settings.get("use_vllm"):
        return
    if out.config["model"].get("quantization") == "nf4":
        del settings["use_vllm"]
        out.notes.append(
            "use_vllm: left out; with 4-bit weights TRL merges the adapters into them, rounded, and samples from another policy"
        )
        return
    filters = [
        name
        for name, off in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0))
        if settings.get(name) not in (None, off, -1)
    ]
    if filters and settings.get("vllm_importance_sampling_correction", True):
        settings["vllm_importance_sampling_correction"] = False
        out.notes.append(
            f"vllm_importance_sampling_correction: false is written; with {' and '.join(filters)} it would compare vLLM's "
            "probabilities after the filter with the policy's before it"
        )


def translate_schedule(settings: dict[str, Any], out: Translation) -> None:
    """Shares of all steps as numbers of steps, and settings of a schedule that does not read them."""
    total = settings.get("max_steps")
    for name in ("save_steps", "eval_steps"):
        share = settings.get(name)
        if isinstance(share, float) and 0 < share < 1 and isinstance(total, int):
            settings[name] = math.ceil(total * share)  # as the Trainer counts
    saved, used = settings.get("save_steps"), settings.get("num_iterations")
    if isinstance(saved, int) and isinstance(used, int) and used > 0 and saved % used:
        settings["save_steps"] = math.ceil(saved / used) * used
        out.notes.append(
            f"save_steps: {saved} is raised to {settings['save_steps']}, so that no checkpoint lies between two uses of a batch"
        )
    if settings.get("lr_scheduler_type") in ("constant", "constant_with_warmup") and settings.get(
        "lr_scheduler_kwargs"
    ):
        del settings["lr_scheduler_kwargs"]
        out.notes.append(f"lr_scheduler_kwargs: left out; {settings['lr_scheduler_type']} does not read them")


def translate_setting(name: str, value: Any, out: Translation, written: bool) -> None:
    """One setting that stands for itself."""
    if name == "use_vllm":
        if value:
            out.put("model.engine", "vllm")
    elif name == "use_cpu" and value is True:
        out.put("model.device", "cpu")
    elif name in ("warmup_steps", "warmup_ratio"):
        if value:
            out.put("grpo.warmup_ratio" if 0 < value < 1 else "grpo.warmup_steps", value if value < 1 else int(value))
    elif name in SAME_VALUE:
        translate_same(name, value, out)
    elif name in HANDED:
        if value is not None:
            out.put(f"trl.{name}", value)
    elif name == "generation_kwargs" and value:
        out.notes.append(f"generation_kwargs: {', '.join(value)} left out; {REFUSED[name]}")
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
    if name == "learning_rate" and value == 0:
        out.refusals.append("learning_rate 0 trains nothing; to see what a model earns, use python -m grpo.evaluate")
        return
    if name in ("top_k", "min_p") and value < 0:
        value = 0
    if name == "optim" and value not in OPTIMISERS:
        out.refusals.append(find_optimiser_problem(str(value)) or f"optim {value}: not here")
        return
    if name.startswith("vllm_importance") or name == "chat_template_kwargs":
        pass
    elif name in ("save_steps", "eval_steps") and (not isinstance(value, int) or value < 1):
        share = isinstance(value, float) and 0 < value < 1
        out.notes.append(
            f"{name}: {value} is {'a share of all steps' if share else 'not a number of steps'}; write {path}"
        )
        return
    elif name == "scale_rewards" and isinstance(value, bool):
        value = "group" if value else "none"
    elif name == "num_generations" and value < 2:
        out.refusals.append(f"num_generations {value}: a group needs at least two completions, as TRL says too")
        return
    elif name == "max_prompt_length":
        out.notes.append(f"max_prompt_length: longer prompts are refused here, where TRL cut them ({path}: {value})")
    elif name == "delta" and out.config["grpo"].get("loss_type") in ("cispo", "sapo", "vespo"):
        out.notes.append(f"delta: left out; loss_type {out.config['grpo']['loss_type']} does not read it")
        return
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
        if options.get("revision") not in (None, "main"):
            out.put("model.revision", options["revision"])
        left = [each for each in options if each not in _INIT_KWARGS]
        if left:
            out.notes.append(f"model_init_kwargs: {', '.join(left)} left out; section model says how a model is loaded")
    adapters = settings.get("use_peft") or any(settings.get(name) is not None for name in ("lora_r", "lora_rank"))
    out.put("model.dtype", find_type(settings, bool(adapters), out))
    if adapters:
        out.put("model.lora", translate_adapters(settings, out.notes))
    else:
        out.put("model.lora", None)
    if "adapter_path" in settings:
        path = settings["adapter_path"]
        out.notes.append(
            "model.adapter: training continues from an adapter, whose own rank and scale apply"
            + ("" if path else "; the file does not say which")
        )
        if path:
            out.put("model.adapter", path)
    if settings.get("load_in_4bit"):
        if adapters:
            out.put("model.quantization", "nf4")
        else:
            out.refusals.append(
                "load_in_4bit without adapters trains nothing: 4-bit weights are frozen; use_peft is missing"
            )
    if settings.get("load_in_8bit"):
        out.notes.append("load_in_8bit: weights are whole or 4-bit NF4 here; model.quantization: nf4 is the nearest")


def translate_length(settings: dict[str, Any], out: Translation) -> None:
    """How long a prompt and its completion may be together."""
    length = settings.get("max_seq_length")
    completion = settings.get("max_completion_length", 512)
    prompt = settings.get("max_prompt_length")
    room = settings.pop("vllm_max_model_length", None)
    colocated = settings.get("use_vllm") and settings.get("vllm_mode", "colocate") == "colocate"
    if room is not None and not colocated:
        out.notes.append("vllm_max_model_length: left out; TRL gives it to colocated vLLM alone")
    elif isinstance(room, int) and isinstance(completion, int) and room <= completion:
        out.notes.append(
            f"vllm_max_model_length: {room} leaves a prompt no room beside max_completion_length {completion}; left out"
        )
    elif length is None:
        length = room
    if length is None and all(isinstance(each, int) for each in (completion, prompt)):
        length = completion + prompt
    if length is None and isinstance(completion, int) and completion > 1024:  # TRL has no such limit
        length = completion + 2048
    if isinstance(length, int):
        out.put("model.max_sequence_length", length)


def find_type(settings: dict[str, Any], adapters: bool, out: Translation) -> str:
    """The type of the weights, which here is that of the products too."""
    half, brain = settings.pop("fp16", None), settings.pop("bf16", None)
    given = settings.get("dtype")
    given = given.removeprefix("torch.") if isinstance(given, str) else None
    if half or given == "float16":
        if adapters:
            return "float16"
        out.notes.append(
            "fp16: weights that are trained are float32 here, and products too; float16 is for weights below adapters"
        )
        return "float32"
    if given in ("float32", "bfloat16", "auto"):
        return given
    if brain is False:
        return "float32"
    if adapters:
        return "bfloat16"
    out.notes.append(
        "dtype: TRL 1.14.2 trains float32 weights with products in bfloat16; here both have one type, and float32 is written. "
        "model.dtype: bfloat16 halves the memory, and small updates round away"
    )
    return "float32"


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
    if settings.get("by_unsloth") and each % group:
        out.notes.append(f"{BATCH[0]}: unsloth raises {each} to num_generations {group}, and so it is written")
        each = group
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
        fits = next((n for n in range(2, 65) if each * accumulation * n % group == 0), None) if processes == 1 else None
        fitting = f"; --processes {fits} would fit, if it was started with so many" if fits else ""
        out.notes.append(
            f"a step of {step} completions on {processes} process{'es' if processes > 1 else ''} is not a multiple of "
            f"num_generations {group}, which TRL refuses; {prompts} "
            f"prompt{'s' if prompts > 1 else ''} a step {'are' if prompts > 1 else 'is'} written{fitting}"
        )
        out.put("grpo.prompts_per_step", prompts)
        out.put("grpo.micro_batch_size", "auto")
        return
    out.put("grpo.prompts_per_step", step // group)
    out.put("grpo.micro_batch_size", each)
    if processes > 1:
        out.notes.append(f"{processes} processes: start them with torchrun --nproc_per_node {processes} -m grpo.run")
