"""Settings that a config's author wrote and that do nothing beside its others: found by one table of conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from grpo.config.leaves import flatten

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig

LISTED = 6
"""Keys that one line names; of more it says how many."""


class WrittenKey(NamedTuple):
    """A key as its last source wrote it: the place of that source in their order, whose it is, and the value."""

    order: int
    shipped: bool
    value: Any


class _Condition(NamedTuple):
    """Keys that nothing reads in some configs; of `keys`, `but` are read after all. `{...}` of `because` are keys."""

    keys: str
    decided_by: str
    holds: Callable[[RunConfig], bool]
    because: str
    but: str = ""
    only_later: bool = False
    """Only where a later source than the deciding one wrote it: beside each other the two are meant together."""


_RATIOS_ARE_ONE = "without grpo.num_iterations above 1 or grpo.one_step_ahead every policy ratio is 1"
_STEPLESS = {"adafactor", "sgd", "adagrad", "rmsprop", "rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"}
_CLIPS = {"dr_grpo", "dapo", "grpo", "bnpo", "luspo"}

_CONDITIONS = (
    _Condition(
        "model.vllm trl.vllm_importance_sampling_clip_min trl.vllm_model_impl",
        "model.engine", lambda c: c.model.engine != "vllm", "model.engine is {model.engine}; write model.engine: vllm",
    ),
    _Condition(
        "model.vllm.server_port model.vllm.server_timeout model.vllm.group_port", "model.vllm.mode",
        lambda c: c.model.engine == "vllm" and c.model.vllm.mode == "colocate",
        "model.vllm.mode is colocate; write mode: server",
    ),
    _Condition(
        "trl.vllm_model_impl", "model.vllm.mode",
        lambda c: c.model.engine == "vllm" and c.model.vllm.mode != "colocate",
        "TRL gives it to colocated vLLM alone, and model.vllm.mode is {model.vllm.mode}",
    ),
    _Condition(
        "model.vllm.server_port model.vllm.server_devices model.vllm.gpu_memory_utilization "
        "model.vllm.tensor_parallel_size model.vllm.enable_sleep_mode",
        "model.vllm.server_base_url",
        lambda c: c.model.engine == "vllm" and c.model.vllm.server_base_url is not None,
        "the server of model.vllm.server_base_url runs already; give them to it",
    ),
    _Condition(
        "model.vllm.group_port", "model.vllm.weight_transfer",
        lambda c: c.model.engine == "vllm" and c.model.vllm.weight_transfer == "file",
        "the weights go by model.vllm.weight_transfer: file",
    ),
    _Condition(
        "model.vllm.importance_sampling_mode model.vllm.importance_sampling_clip_max "
        "trl.vllm_importance_sampling_clip_min",
        "model.vllm.importance_sampling_correction",
        lambda c: c.model.engine == "vllm" and not c.model.vllm.importance_sampling_correction,
        "model.vllm.importance_sampling_correction is false",
    ),
    _Condition(
        "grpo.speculation", "model.engine", lambda c: c.model.engine != "transformers",
        "model.engine {model.engine} writes the completions itself",
    ),
    _Condition(
        "model.name model.revision model.gguf model.adapter model.chat_template model.chat_template_kwargs",
        "model.embedded", lambda c: c.model.embedded is not None,
        "the policy is made on the spot (model.embedded); write model.embedded: null, or choose --profile gpu or small",
    ),
    _Condition(
        "model.name model.revision", "model.gguf",
        lambda c: c.model.gguf is not None and c.model.embedded is None,
        "weights and tokenizer are those of model.gguf {model.gguf}; write model.gguf: null", only_later=True,
    ),
    _Condition(
        "grpo trl", "stages", lambda c: not c.trains_grpo, "stages {stages} leaves GRPO out",
        but="grpo.max_completion_length",
    ),
    _Condition(
        "sft_warmup", "sft_warmup.enabled stages", lambda c: not c.sft_warmup.enabled,
        "no SFT stage runs; write sft_warmup.enabled: true, or stages: [sft, grpo]",
    ),
    _Condition(
        "data.shop.warmup_rows data.shop.warmup_slips", "sft_warmup.enabled stages",
        lambda c: c.data.source == "shop" and not c.sft_warmup.enabled,
        "no SFT stage runs; write sft_warmup.enabled: true, or stages: [sft, grpo]",
    ),
    _Condition(
        "data.shop.warmup_slips", "data.shop.warmup_rows",
        lambda c: c.data.source == "shop" and not c.data.shop.warmup_rows,
        "data.shop.warmup_rows is 0",
    ),
    _Condition(
        "evaluation.every_steps", "stages", lambda c: c.stages == [], "stages [] trains nothing",
    ),
    _Condition(
        "grpo.epsilon grpo.epsilon_high grpo.delta", "grpo.num_iterations grpo.one_step_ahead grpo.loss_type",
        lambda c: _is_on_policy(c) and c.grpo.loss_type in _CLIPS, f"{_RATIOS_ARE_ONE}, so nothing is clipped",
    ),
    _Condition(
        "grpo.off_policy_mask_threshold", "grpo.num_iterations grpo.one_step_ahead model.engine",
        lambda c: _is_on_policy(c) and c.model.engine == "transformers", f"{_RATIOS_ARE_ONE}, so nothing is masked",
    ),
    _Condition(
        "grpo.epsilon grpo.epsilon_high", "grpo.loss_type",
        lambda c: c.trains_grpo and c.grpo.loss_type in ("sapo", "vespo"),
        "loss_type {grpo.loss_type} does not clip",
    ),
    _Condition(
        "grpo.epsilon", "grpo.epsilon_high",
        lambda c: c.trains_grpo and c.grpo.loss_type == "cispo" and c.grpo.epsilon_high is not None,
        "loss_type cispo has one bound, grpo.epsilon_high",
    ),
    _Condition(
        "trl.sapo_temperature_neg trl.sapo_temperature_pos", "grpo.loss_type",
        lambda c: c.trains_grpo and c.grpo.loss_type != "sapo", "loss_type is {grpo.loss_type}, not sapo",
    ),
    _Condition(
        "trl.vespo_k_pos trl.vespo_lambda_pos trl.vespo_k_neg trl.vespo_lambda_neg", "grpo.loss_type",
        lambda c: c.trains_grpo and c.grpo.loss_type != "vespo", "loss_type is {grpo.loss_type}, not vespo",
    ),
    _Condition(
        "trl.use_bias_correction_kl", "grpo.beta", lambda c: c.trains_grpo and not c.grpo.beta, "grpo.beta is 0",
    ),
    _Condition(
        "trl.entropy_coef_min trl.entropy_coef_max trl.entropy_coef_delta trl.entropy_target",
        "trl.use_adaptive_entropy", lambda c: c.trains_grpo and not c.trl.get("use_adaptive_entropy"),
        "trl.use_adaptive_entropy is not set",
    ),
    _Condition(
        "grpo.warmup_ratio grpo.warmup_steps", "grpo.lr_scheduler_type",
        lambda c: c.trains_grpo and c.grpo.lr_scheduler_type == "constant",
        "lr_scheduler_type constant does not warm up; write constant_with_warmup",
    ),
    _Condition(
        "sft_warmup.warmup_ratio", "sft_warmup.lr_scheduler_type",
        lambda c: c.sft_warmup.enabled and c.sft_warmup.lr_scheduler_type == "constant",
        "lr_scheduler_type constant does not warm up; write constant_with_warmup",
    ),
    _Condition(
        "grpo.adam_beta1 grpo.adam_beta2 grpo.adam_epsilon", "grpo.optim",
        lambda c: c.trains_grpo and c.grpo.optim in _STEPLESS, "optim {grpo.optim} is not Adam",
    ),
    _Condition(
        "evaluation.top_p evaluation.top_k", "evaluation.temperature", lambda c: not c.evaluation.temperature,
        "evaluation.temperature 0 is greedy",
    ),
    _Condition(
        "evaluation.kept_examples", "evaluation.max_examples", lambda c: c.evaluation.max_examples is None,
        "without evaluation.max_examples all held-out rows are answered, and none is left to keep",
    ),
    _Condition(
        "decision", "decision.relative_to data.source", lambda c: c.decision.relative_to == "baseline",
        "the run is judged by what it gained; write decision.relative_to: thresholds, or set decision.target",
        but="decision.relative_to decision.target decision.watch",
    ),
    _Condition(
        "decision.target", "decision.relative_to data.source", lambda c: c.decision.relative_to != "baseline",
        "decision.relative_to is {decision.relative_to}; write baseline",
    ),
    *(
        _Condition(
            f"data.{source}", "data.source", lambda c, source=source: c.data.source != source,  # type: ignore[misc]
            "data.source is {data.source}",
        )
        for source in ("shop", "tmf921", "tool_calls", "personas")
    ),
    _Condition(
        "data.task_column", "data.source", lambda c: c.data.source not in ("files", "hub"),
        "data.source {data.source} names its tasks itself",
    ),
    _Condition(
        "data.tmf921.replay", "data.tmf921.weak", lambda c: c.data.source == "tmf921" and c.data.tmf921.weak is None,
        "no data.tmf921.weak layers are chosen",
    ),
    _Condition(
        "data.tmf921.weak_count", "continue_from",
        lambda c: c.data.source == "tmf921" and c.continue_from is None, "continue_from names no run",
    ),
    _Condition("tracking.entity", "tracking.wandb", lambda c: c.tracking.wandb == "off", "tracking.wandb is off"),
    _Condition(
        "tracking.project", "tracking.wandb tracking.mlflow tracking.trackio",
        lambda c: c.tracking.wandb == "off" and not (c.tracking.mlflow or c.tracking.trackio), "no tracker reads it",
    ),
    _Condition(
        "report.currency", "report.price_per_hour", lambda c: c.report.price_per_hour is None,
        "report.price_per_hour is not set",
    ),
)  # fmt: skip


def find_without_effect(config: RunConfig) -> list[str]:
    """One line a reason: the keys that were written and that nothing of this config reads.

    Left in silence: keys of shipped files, values that are the default anyway, and whatever a later source switched off,
    as a profile and `--set stages=[sft]` do to the recipe below them.
    """
    written = config.written
    if not written:
        return []
    defaults = {".".join(key): value for key, value in flatten(type(config)().model_dump(mode="json")).items()}
    told: set[str] = set()
    lines = []
    for condition in _CONDITIONS:
        if not condition.holds(config):
            continue
        decided = max(
            (place.order for key, place in written.items() if _lies_in(key, condition.decided_by)), default=-1
        )
        keys = [
            key
            for key, place in written.items()
            if _lies_in(key, condition.keys)
            and not _lies_in(key, f"{condition.but} {condition.decided_by}")
            and key not in told
            and not place.shipped
            and (place.order > decided or (place.order == decided and not condition.only_later))
            and place.value != defaults.get(key)
        ]
        if keys:
            told.update(keys)
            more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
            lines.append(f"no effect: {', '.join(keys[:LISTED])}{more}: {_fill(condition.because, config)}")
    return lines


def _is_on_policy(config: RunConfig) -> bool:
    """Whether the weights that learn from a batch are the ones that wrote it."""
    grpo = config.grpo
    return (
        config.trains_grpo
        and grpo.num_iterations == 1
        and grpo.one_step_ahead is None
        and config.model.engine != "unsloth"
    )


def _lies_in(key: str, sections: str) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections.split())


def _fill(text: str, config: RunConfig) -> str:
    """The text with the values of the keys that it names in braces."""
    before, brace, rest = text.partition("{")
    if not brace:
        return text
    key, _, after = rest.partition("}")
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    shown = f"[{', '.join(value)}]" if isinstance(value, list) else value
    return f"{before}{shown}{_fill(after, config)}"
