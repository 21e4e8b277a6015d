"""What a plan refuses: settings that would train nothing, be cut short, or be changed behind the config's back."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grpo.engines.choose import choose_engine
from grpo.plan.memory_estimate import KNOWN_SHAPES, Shape
from grpo.policy.adapters import adapter_problems, find_adapter
from grpo.policy.gguf_file import find_gguf
from grpo.policy.local_files import fetch_model_json, looks_local, read_model_json
from rewards.errors import UserError
from rewards.types import Example

if TYPE_CHECKING:
    from grpo.config.run_config import RunConfig
    from grpo.data.run_rows import RunRows

SHOWN = 3


def find_refusals(
    config: RunConfig,
    inputs: RunRows,
    *,
    train_tokens: Sequence[int],
    held_out_tokens: Sequence[int],
    exact: bool,
    shape: Shape | None,
    world_size: int = 1,
) -> list[str]:
    """Every reason not to start, one line each. The token counts belong to the prompts of `inputs`, in order."""
    return [
        *_engine_refusals(config, world_size),
        *(config.grpo.batch_problems(world_size) if config.trains_grpo else []),
        *(_training_refusals(config, shape) if config.trains_grpo else []),
        *_length_refusals(config, shape),
        *_row_refusals(config, inputs),
        *_prompt_refusals(config, inputs, train_tokens, held_out_tokens, exact),
        *_model_refusals(config),
    ]


def _engine_refusals(config: RunConfig, world_size: int) -> list[str]:
    refusals = choose_engine(config.model).problems(config, world_size)
    sharded = [name for name in ("FSDP", "DEEPSPEED") if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true"]
    if sharded and config.model.quantization != "none":
        refusals.append(
            f"model.quantization: {config.model.quantization} weights cannot be spread over processes (accelerate's "
            f"{sharded[0]}); launch with configs/accelerate/ddp.yaml or torchrun, where each process has them all"
        )
    if config.sft_warmup.enabled and config.sft_warmup.batch_size % world_size:
        refusals.append(
            f"sft_warmup.batch_size: {config.sft_warmup.batch_size} rows a step cannot be shared equally between "
            f"{world_size} processes; write a multiple of {world_size}, or start another number"
        )
    share, section = config.sft_warmup.batch_size // world_size, config.sft_warmup
    if config.sft_warmup.enabled and share and share % section.rows_a_pass(world_size):
        refusals.append(
            f"sft_warmup.micro_batch_size: {section.micro_batch_size} does not divide the {share} rows that each of "
            f"{world_size} processes has of a step; write a divisor"
        )
    if config.model.dtype == "float16" and config.model.device == "cpu":
        refusals.append("model.dtype: float16 is trained on CUDA devices only; set float32, or auto")
    return refusals


def _training_refusals(config: RunConfig, shape: Shape | None) -> list[str]:
    """What TRL would stumble over when training begins."""
    refusals = []
    if config.trl.get("router_aux_loss_coef") and shape is not None and shape.experts < 2:
        refusals.append(
            f"trl.router_aux_loss_coef: {config.model.label} has no experts whose load it could balance; leave it out"
        )
    return refusals


def _length_refusals(config: RunConfig, shape: Shape | None) -> list[str]:
    model, grpo = config.model, config.grpo
    refusals = []
    if grpo.max_completion_length >= model.max_sequence_length:
        refusals.append(
            f"grpo.max_completion_length: {grpo.max_completion_length} leaves no room for a prompt in "
            f"model.max_sequence_length {model.max_sequence_length}; lower the first or raise the second"
        )
    if shape is not None and shape.context is not None and model.max_sequence_length > shape.context:
        refusals.append(
            f"model.max_sequence_length: {model.max_sequence_length} is beyond the context of {model.name}, "
            f"{shape.context} tokens; lower it"
        )
    if grpo.lr_warmup_steps >= grpo.max_steps:
        key = "warmup_steps" if grpo.warmup_steps is not None else "warmup_ratio"
        refusals.append(
            f"grpo.{key}: {grpo.lr_warmup_steps} lr warm-up steps are not fewer than max_steps {grpo.max_steps}, so the "
            "rate would never be reached; lower it or raise max_steps"
        )
    if grpo.num_iterations > 1 and grpo.save_every_steps % grpo.num_iterations:
        refusals.append(
            f"grpo.save_every_steps: {grpo.save_every_steps} is not a multiple of num_iterations {grpo.num_iterations}: a "
            "checkpoint between two generations does not resume to the same weights; write a multiple"
        )
    return refusals


def _row_refusals(config: RunConfig, inputs: RunRows) -> list[str]:
    grpo, refusals = config.grpo, []
    if config.trains_grpo and len(inputs.train) < grpo.prompts_per_step:
        refusals.append(
            f"data: {len(inputs.train)} training rows are fewer than grpo.prompts_per_step {grpo.prompts_per_step}, one "
            "generation batch: TRL would train 0 steps and call it done; give more rows or lower prompts_per_step"
        )
    if not inputs.held_out:
        refusals.append("data: no held-out rows, so nothing could be measured; give data.held_out at least one row")
    return refusals


def _prompt_refusals(
    config: RunConfig, inputs: RunRows, train_tokens: Sequence[int], held_out_tokens: Sequence[int], exact: bool
) -> list[str]:
    model, grpo, own_limit = config.model, config.grpo, config.data.max_prompt_tokens
    # The evaluation's completions may be longer than training's: its prompts have their own limit.
    answer_lengths = (
        ("training", inputs.train, train_tokens, "grpo.max_completion_length", grpo.max_completion_length),
        (
            "held-out",
            inputs.held_out,
            held_out_tokens,
            "evaluation.max_completion_length"
            if config.evaluation.max_completion_length
            else "grpo.max_completion_length",
            config.evaluation.max_completion_length or grpo.max_completion_length,
        ),
    )
    refusals = []
    for kind, rows, tokens, length_key, length in answer_lengths:
        room = model.max_sequence_length - length
        if room <= 0:
            if length_key.startswith("evaluation"):
                refusals.append(
                    f"{length_key}: {length} leaves no room for a prompt in model.max_sequence_length "
                    f"{model.max_sequence_length}; lower the first or raise the second"
                )
            continue
        way = _say_filter(config, kind, room if own_limit is None else min(room, own_limit))
        limit, source = room, f"model.max_sequence_length {model.max_sequence_length} - {length_key} {length}"
        remedy = f"shorten them{way}, lower the completion length or raise model.max_sequence_length"
        if own_limit is not None and own_limit < limit:
            limit, source = own_limit, "data.max_prompt_tokens"
            remedy = f"shorten them{way} or raise data.max_prompt_tokens"
        refusals += _list_long_prompts(kind, rows, tokens, limit, source, remedy, exact)
    return refusals


def _say_filter(config: RunConfig, kind: str, limit: int) -> str:
    """How to leave rows of one's own out; rows that are generated have no file to filter, and the filter
    counts with tokenizers on the Hub or in a folder.
    """
    path = config.data.train if kind == "training" else config.data.held_out
    if config.data.source != "files" or path is None:
        return ""
    if config.model.embedded is not None or config.model.gguf is not None:
        return ""
    return (
        f", leave them out (python -m grpo.data filter {shlex.quote(str(path))} --out kept.jsonl --max-tokens {limit} "
        f"--tokenizer {shlex.quote(config.model.name)})"
    )


def _list_long_prompts(
    kind: str, rows: Sequence[Example], tokens: Sequence[int], limit: int, source: str, remedy: str, exact: bool
) -> list[str]:
    too_long = [(example.id, count) for example, count in zip(rows, tokens, strict=True) if count > limit]
    if not too_long:
        return []
    about = "" if exact else "about "
    shown = ", ".join(f"{row!r} {about}{count} tokens" for row, count in too_long[:SHOWN])
    rest = f" and {len(too_long) - SHOWN} more" if len(too_long) > SHOWN else ""
    return [f"data: {len(too_long)} {kind} prompts are longer than {limit} tokens ({source}): {shown}{rest}; {remedy}"]


def _model_refusals(config: RunConfig) -> list[str]:
    model, refusals = config.model, []
    if model.embedded is not None:
        return []
    if model.gguf is not None:
        try:
            find_gguf(model.gguf)
        except UserError as error:
            refusals += error.problems
    elif looks_local(model.name) and not Path(model.name).expanduser().is_dir():
        refusals.append(
            f"model.name: {model.name} is not a folder; give a folder with config.json, or a name on the hub"
        )
    elif looks_local(model.name) and not any((Path(model.name).expanduser() / name).is_file() for name in _CONFIGS):
        refusals.append(
            f"model.name: {model.name} holds neither {' nor '.join(_CONFIGS)}; give the folder that a model was saved in"
        )
    elif looks_local(model.name) and find_adapter(model) is None and not _has_tokenizer(Path(model.name).expanduser()):
        refusals.append(
            f"model.name: {model.name} holds no tokenizer (tokenizer.json or a vocabulary); copy the files of the model "
            "that it was made from"
        )
    elif read_model_json(model.name, model.revision, "config.json") is None and model.name not in KNOWN_SHAPES:
        # What the Hub is sure of is refused now; a network that is not there may be there when the run starts.
        answer = fetch_model_json(model.name, model.revision, "config.json")
        if answer.final:
            refusals.append(f"model.name: {model.name}: {answer.reason}")
    adapter = find_adapter(model)
    return refusals + (adapter_problems(adapter, model) if adapter is not None else [])


_CONFIGS = ("config.json", "adapter_config.json")


def _has_tokenizer(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("*token*", "vocab*", "*.model", "*.tiktoken", "spiece*"))
