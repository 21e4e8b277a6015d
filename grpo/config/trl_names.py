"""Names that TRL and transformers give to optimisers and schedules, and what each of them needs; imports neither."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

# transformers' SchedulerType without reduce_lr_on_plateau and greedy, which wait for an evaluation that GRPO has not;
# each with the settings that `lr_scheduler_kwargs` may give it, those that it cannot do without marked by True.
SCHEDULES: dict[str, dict[str, bool]] = {
    "constant": {},
    "constant_with_warmup": {},
    "linear": {},
    "cosine": {"num_cycles": False},
    "cosine_with_restarts": {"num_cycles": False},
    "polynomial": {"lr_end": False, "power": False},
    "inverse_sqrt": {"timescale": False},
    "cosine_with_min_lr": {"num_cycles": False, "min_lr": False, "min_lr_rate": False},
    "cosine_warmup_with_min_lr": {"num_cycles": False, "min_lr": False, "min_lr_rate": False, "warmup_lr_rate": False},
    "warmup_stable_decay": {
        "num_decay_steps": True, "num_stable_steps": False, "warmup_type": False, "decay_type": False,
        "min_lr_ratio": False, "num_cycles": False,
    },
}  # fmt: skip
Scheduler = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt",
    "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay",
]  # fmt: skip

# transformers' OptimizerNames that GRPO can use, each with the package it needs.
OPTIMISERS: dict[str, str | None] = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop")),
    **dict.fromkeys(
        (
            "adamw_bnb_8bit", "adamw_8bit", "ademamix", "ademamix_8bit", "lion_8bit", "lion_32bit", "paged_adamw_32bit",
            "paged_adamw_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit", "paged_lion_32bit", "paged_lion_8bit",
            "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit",
        ),
        "bitsandbytes",
    ),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), "torchao"),
    "adamw_anyprecision": "torchdistx",
    "grokadamw": "grokadamw",
    "stable_adamw": "optimi",
}  # fmt: skip
# Those that need more than a name, with what.
_REFUSED = {
    **dict.fromkeys(("lomo", "adalomo"), "it updates weights inside the backward, one micro-batch at a time"),
    **dict.fromkeys(
        ("schedule_free_radam", "schedule_free_adamw", "schedule_free_sgd"),
        "its weights differ in training and evaluation, and GRPO writes completions in between",
    ),
    **dict.fromkeys(
        (
            "galore_adamw", "galore_adamw_8bit", "galore_adafactor", "galore_adamw_layerwise",
            "galore_adamw_8bit_layerwise", "galore_adafactor_layerwise", "apollo_adamw", "apollo_adamw_layerwise",
        ),
        "it wants optim_target_modules, which a run does not hand over",
    ),
    **dict.fromkeys(("adamw_torch_xla", "adamw_torch_npu_fused"), "it is for TPUs and NPUs"),
}  # fmt: skip


def find_optimiser_problem(name: str) -> str | None:
    """Why that optimiser cannot be used here, in one line; None where it can."""
    if name in _REFUSED:
        return f"optim {name} cannot be used: {_REFUSED[name]}; write adamw_torch, or one of {_some(OPTIMISERS)}"
    if name not in OPTIMISERS:
        near = difflib.get_close_matches(name, OPTIMISERS, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(OPTIMISERS)}"
        return f"optim {name!r} is not an optimiser of transformers; {hint}"
    return None


def find_missing_package(name: str) -> str | None:
    """The package that this optimiser needs and this machine does not have."""
    package = OPTIMISERS.get(name)
    return package if package is not None and find_spec(package) is None else None


# What a setting of a schedule has to be; anything else ends in a traceback after the warm-up.
_NUMBERS = {
    "num_cycles", "lr_end", "power", "timescale", "min_lr", "min_lr_rate", "warmup_lr_rate", "num_decay_steps",
    "num_stable_steps", "min_lr_ratio",
}  # fmt: skip
_CURVES = ("linear", "cosine", "1-sqrt")


def find_schedule_problem(name: str, settings: Mapping[str, Any], learning_rate: float | None = None) -> str | None:
    """What is wrong with the settings of that schedule, in one line; None where nothing is."""
    known = SCHEDULES[name]
    for key in settings:
        if key not in known:
            allowed = f"allowed: {', '.join(known)}" if known else "it takes none"
            return f"lr_scheduler_kwargs.{key}: no such setting of {name}; {allowed}"
    for key, needed in known.items():
        if needed and settings.get(key) is None:
            return f"lr_scheduler_type {name} needs lr_scheduler_kwargs.{key}; give it, or choose another schedule"
    if "min_lr" in known and len([key for key in ("min_lr", "min_lr_rate") if settings.get(key) is not None]) != 1:
        return f"lr_scheduler_type {name} needs one of lr_scheduler_kwargs.min_lr and min_lr_rate; give one"
    for key, value in settings.items():
        if key in _NUMBERS and value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"lr_scheduler_kwargs.{key}: {value!r} is not a number"
        if key in ("warmup_type", "decay_type") and value not in _CURVES:
            return f"lr_scheduler_kwargs.{key}: {value!r} is not allowed; allowed: {', '.join(_CURVES)}"
        if key in ("power", "timescale") and value is not None and value <= 0:
            return f"lr_scheduler_kwargs.{key}: {value!r} is not above 0"
    end = settings.get("lr_end", 1e-7)
    if name == "polynomial" and learning_rate is not None and end is not None and end >= learning_rate:
        return f"lr_scheduler_kwargs.lr_end, {end:g}, is not below learning_rate {learning_rate:g}; give a smaller one"
    return None


def _some(names: Mapping[str, Any]) -> str:
    return ", ".join(list(names)[1:6])
