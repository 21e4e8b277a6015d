"""What a reader must know about a plan before starting it, though none of it is a reason not to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpo.config.run_config import RunConfig
from grpo.config.sections import ModelSection
from grpo.config.without_effect import find_without_effect
from grpo.machine.device import Device, multiplies_batch
from grpo.plan.memory_estimate import MemoryEstimate, Shape
from grpo.policy.adapters import base_section, find_adapter
from grpo.policy.generation_settings import set_aside
from grpo.policy.gguf_file import find_gguf, read_gguf
from grpo.policy.local_files import fetch_model_json, read_model_json
from grpo.policy.prefix_rules import foretell
from rewards.screen.amounts import format_count, format_size

if TYPE_CHECKING:
    from grpo.plan.plan import Tokens


def write_notes(
    config: RunConfig,
    device: Device,
    is_reference: bool,
    tokens: Tokens,
    memory: MemoryEstimate | None,
    shape: Shape | None,
    world_size: int,
) -> list[str]:
    """One line a fact; none where there is nothing to say."""
    notes = find_without_effect(config)
    if is_reference:
        notes.append(f"no CUDA device here: memory and time are those of the recipe's {device}")
    if multiplies_batch(device, world_size):
        notes.append(
            f"one process sees {device.count} CUDA devices and a run would refuse to start so: use torchrun "
            f"--nproc_per_node {device.count}, or set CUDA_VISIBLE_DEVICES=0"
        )
    if config.trains_grpo and config.grpo.loss_type == "luspo" and config.grpo.importance_sampling_level == "token":
        notes.append("loss_type luspo is meant for whole completions: importance_sampling_level: sequence")
    if not tokens.exact:
        notes.append(f"no tokenizer of {config.model.label} on this machine: tokens are {tokens.source}")
    unreachable = find_unreachable(config.model) if shape is None else None
    if unreachable:
        notes.append(unreachable)
    if tokens.references_beyond_limit:
        notes.append(
            f"{tokens.references_beyond_limit} reference{'s are' if tokens.references_beyond_limit > 1 else ' is'} longer than grpo.max_completion_length "
            f"{config.grpo.max_completion_length}: the right answer would be cut off"
        )
    if memory is not None and device.memory_bytes is not None and memory.peak > 0.9 * device.memory_bytes:
        notes.append(
            f"about {format_size(memory.peak)} may not fit {format_size(device.memory_bytes)}: lower grpo.micro_batch_size, or set "
            "model.gradient_checkpointing=true"
        )
    aside = set_aside(config.model, config.grpo)
    if aside:
        listed = ", ".join(f"{key} {_shorten(value)}" for key, value in aside.items())
        notes.append(
            f"generation_config.json of {config.model.name} asks for {listed}: set aside, section grpo samples; what is "
            "saved carries the file as it was"
        )
    shares, why = foretell_sharing(config.model)
    if shares is False:
        notes.append(
            f"prompts will not be shared within a group: {why}; a step then takes the time of TRL's own pass and generation"
        )
    adapter = find_adapter(config.model)
    lora = config.model.lora
    if adapter is not None and lora is not None and (adapter.r, adapter.alpha) != (lora.r, lora.alpha):
        notes.append(
            f"{adapter.name} is an adapter on {adapter.base}: it is trained on with its own r {adapter.r} and alpha "
            f"{adapter.alpha}, not those of model.lora (r {lora.r}, alpha {lora.alpha})"
        )
    if config.model.embedded is not None and shape is not None and shape.parameters > 5_000_000:
        notes.append(
            f"{format_count(shape.parameters)} parameters are many for a policy made on the spot: expect it to be slow"
        )
    rounds = config.grpo.dynamic_sampling
    if rounds:
        notes.append(
            f"grpo.dynamic_sampling {rounds}: up to {rounds} further rounds of generation a step, with at most "
            f"{rounds * config.grpo.prompts_per_step} fresh prompts; prompts, tokens and time above count none of them"
        )
    times = config.evaluation.stop_repetition
    if times is not None:
        notes.append(
            f"evaluation.stop_repetition {times}: an answer that repeats itself {times} times in a row is ended and judged as "
            "truncated; its means are comparable only with evaluations that use the same setting"
        )
    ahead = config.grpo.one_step_ahead
    if ahead:
        by = "the vLLM server" if ahead == "server" else f"a copy of the policy on {ahead}"
        behind = config.grpo.num_iterations
        notes.append(
            f"grpo.one_step_ahead: {by} writes each batch but the first while the one before it is learnt, so its completions are "
            f"{behind} optimiser step{'s' if behind > 1 else ''} old; every token is weighed by how far the policy has moved since"
        )
    micro = config.grpo.micro_batch_size
    if isinstance(micro, int) and micro % config.grpo.num_generations and config.grpo.num_generations % micro:
        notes.append(
            f"grpo.micro_batch_size {micro} cuts through groups of {config.grpo.num_generations}: prompts are shared less"
        )
    return notes


def foretell_sharing(model: ModelSection) -> tuple[bool | None, str]:
    """Whether prompts will be shared within a group, as far as files tell; None where only the loaded model does."""
    if model.embedded is not None:
        return True, "the policy made on the spot is exact"
    if model.engine == "unsloth":
        return None, "unsloth has its own loss"
    if model.gguf is not None:
        return foretell(read_gguf(find_gguf(model.gguf)).config())
    adapter = find_adapter(model)
    if adapter is not None and adapter.base is not None:
        model = base_section(adapter, model)
    found = read_model_json(model.name, model.revision, "config.json")
    return foretell(found) if found is not None else (None, f"no config.json of {model.name} is at hand")


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def find_unreachable(section: ModelSection) -> str | None:
    """A line about a model that a run on this machine could not load now: it is not here, and the Hub is out of reach."""
    if section.embedded is not None or section.gguf is not None:
        return None
    reason = fetch_model_json(section.name, section.revision, "config.json").reason or ""
    if "cannot be reached" not in reason and "HF_HUB_OFFLINE" not in reason:
        return None
    return (
        f"{section.name} is not on this machine and the Hub is out of reach: a run here would stop where it loads the model; "
        "connect, or give the folder of a copy as model.name"
    )
