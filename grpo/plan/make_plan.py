"""What a config will do and cost, from the settings in force, before anything is spent: `python -m grpo.plan`."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from grpo.config.run_config import RunConfig
from grpo.config.sections import GrpoSection, TrlBatch
from grpo.data.run_rows import RunRows
from grpo.machine.device import GIB, Device, choose_device, find_device
from grpo.plan.disk_estimate import estimate_disk
from grpo.plan.memory_estimate import BYTES, Shape, estimate_memory, find_shape
from grpo.plan.micro_batch import plan_micro_batch
from grpo.plan.notes import write_notes
from grpo.plan.plan import Plan, Tokens
from grpo.plan.refusals import find_refusals
from grpo.plan.template_findings import TemplateFindings, examine_template
from grpo.plan.time_estimate import Work, estimate_duration, find_speed
from grpo.policy.tokenizer import PromptCounter, TokenCounter, TokenizerCounter, find_token_counter
from rewards.errors import UserError

# The device of the recipe; a plan for profile gpu is held against it where there is no CUDA device.
REFERENCE_DEVICE = Device("cuda", "NVIDIA L4", 24 * GIB, 1)


def make_plan(
    config: RunConfig,
    inputs: RunRows,
    counter: TokenCounter | None = None,
    *,
    profile: str | None = None,
    device: Device | None = None,
    world_size: int | None = None,
) -> Plan:
    """Count out what the config does to these rows on this device; `UserError` with every reason not to start.

    `counter` is by default the best one this machine has without a download; `world_size` is torchrun's.
    """
    config = config.with_rows(len(inputs.train))
    profile = profile or config.profile or ("embedded" if config.model.embedded else "gpu")
    world_size = world_size or int(os.environ.get("WORLD_SIZE") or 1)
    device, is_reference = _choose_device(profile, device, config.model.device)
    counter = counter or find_token_counter(config.model, inputs.taught)
    train_tokens = counter.count_prompts([example.prompt for example in inputs.train])
    held_out_tokens = counter.count_prompts([example.prompt for example in inputs.held_out])
    shape, shape_source = find_shape(config.model)
    if shape is not None and config.model.embedded is not None and isinstance(counter, TokenizerCounter):
        # Few texts have fewer pieces than the vocabulary may: the model gets as many rows as its tokenizer has tokens.
        shape = replace(shape, vocabulary=counter.tokenizer.get_vocab_size())
    refusals = find_refusals(
        config,
        inputs,
        train_tokens=train_tokens,
        held_out_tokens=held_out_tokens,
        exact=counter.exact,
        shape=shape,
        world_size=world_size,
    )
    found = TemplateFindings([], [])
    if isinstance(counter, PromptCounter):
        found = examine_template(counter.prompts, config, inputs)
    if refusals or found.refusals:
        raise UserError([*refusals, *found.refusals])

    # What `micro_batch_size: auto` comes to; a run measures it once more.
    grpo = plan_micro_batch(config.grpo, config.model, shape, device, max(train_tokens), world_size)
    counted = config.model_copy(update={"grpo": grpo})
    rows = len(inputs.train)
    generations = math.ceil(grpo.max_steps / grpo.num_iterations)
    prompts_seen = generations * grpo.prompts_per_step
    references = counter.count_texts([example.reference for example in inputs.train if example.reference is not None])
    tokens = _count_tokens(config, train_tokens, references, prompts_seen, counter)
    tasks = Counter(example.task for example in inputs.train)
    sft_rows = len(inputs.warmup) if config.sft_warmup.enabled else 0
    sft_steps = config.sft_warmup.steps(sft_rows) if config.sft_warmup.enabled else 0
    # Before, after the warm-up, every so many steps but the last, at the end.
    last = config.last_step(sft_rows)
    evaluations = (3 if config.trains_grpo else 2 if config.sft_warmup.enabled else 1) + max(
        0, last - 1
    ) // config.evaluation.every_steps
    if not config.trains_grpo:
        generations = prompts_seen = 0
        grpo = grpo.model_copy(update={"micro_batch_size": config.sft_warmup.rows_a_pass(world_size)})
    held_out = min(len(inputs.held_out), config.evaluation.max_examples or len(inputs.held_out))
    memory = duration = None
    if shape is not None:
        memory = estimate_memory(
            shape,
            config.model,
            grpo,
            device_kind=device.kind,
            prompt_tokens=max(train_tokens),
            completion_tokens=grpo.max_completion_length,
            world_size=world_size,
        )
        work = _make_work(
            counted, shape, device, tokens, references, generations, evaluations, held_out, sft_steps, world_size
        )
        duration = estimate_duration(work, find_speed(device))
    return Plan(
        config=config,
        profile=profile,
        device=device,
        device_is_reference=is_reference,
        shape=shape,
        shape_source=shape_source,
        world_size=world_size,
        prompts_per_step=grpo.prompts_per_step,
        num_generations=grpo.num_generations,
        completions_per_step=grpo.completions_per_step,
        max_steps=last,
        prompts_seen=prompts_seen,
        train_rows=rows,
        held_out_rows=len(inputs.held_out),
        unique_prompts=_count_unique(prompts_seen, rows, grpo.prompts_per_step),
        epochs=round(prompts_seen / rows, 4),
        lr_warmup_steps=grpo.lr_warmup_steps,
        per_task={task: round(prompts_seen * count / rows, 1) for task, count in sorted(tasks.items())},
        trl=_find_batch(config, grpo, world_size),
        evaluations=evaluations,
        sft_rows=sft_rows,
        sft_steps=sft_steps,
        tokens=tokens,
        memory=memory,
        duration=duration,
        disk_bytes=estimate_disk(
            config,
            shape,
            device_kind=device.kind,
            row_tokens=tokens.prompt_mean + tokens.reference_mean + grpo.max_completion_length,
            evaluations=evaluations,
            held_out_rows=held_out,
        ),
        notes=write_notes(config, device, is_reference, tokens, memory, shape, world_size) + found.notes,
    )


def _choose_device(profile: str, device: Device | None, wanted: str) -> tuple[Device, bool]:
    device = device or find_device()
    if profile == "gpu" and device.kind != "cuda" and wanted in ("auto", "cuda"):
        return REFERENCE_DEVICE, True
    return choose_device(wanted, profile, device), False


def _count_unique(seen: int, rows: int, prompts_per_step: int) -> int:
    """Different prompts among those seen: each epoch draws without replacement and drops an incomplete last step."""
    epoch = rows // prompts_per_step * prompts_per_step
    return seen if seen <= epoch else min(seen, rows)


def _count_tokens(
    config: RunConfig, prompts: Sequence[int], references: Sequence[int], prompts_seen: int, counter: TokenCounter
) -> Tokens:
    grpo = config.grpo
    mean = sum(prompts) / len(prompts)
    # The end marker is a token of the completion too.
    answer = sum(min(count + 1, grpo.max_completion_length) for count in references) / max(1, len(references))
    answer = answer or grpo.max_completion_length
    room = config.model.max_sequence_length - grpo.max_completion_length
    prompt_total = round(prompts_seen * mean)
    completions = prompts_seen * grpo.num_generations
    return Tokens(
        exact=counter.exact,
        source=counter.source,
        prompt_mean=round(mean, 1),
        prompt_longest=max(prompts),
        prompt_limit=min(room, config.data.max_prompt_tokens or room),
        reference_mean=round(sum(references) / max(1, len(references)), 1),
        reference_longest=max(references, default=0),
        references_beyond_limit=sum(count + 1 > grpo.max_completion_length for count in references),
        prompt_total=prompt_total,
        completion_most=completions * grpo.max_completion_length,
        completion_expected=round(completions * answer),
        total_most=prompt_total + completions * grpo.max_completion_length,
        total_expected=prompt_total + round(completions * answer),
    )


def _find_batch(config: RunConfig, grpo: GrpoSection, world_size: int) -> TrlBatch:
    """Of the GRPO step, or of the supervised one where no GRPO follows, whose settings then need not fit together."""
    if config.trains_grpo:
        return grpo.trl_batch(world_size)
    section, rows = config.sft_warmup, config.sft_warmup.rows_a_pass(world_size)
    return TrlBatch(rows, section.batch_size // world_size // rows, section.batch_size)


def _make_work(
    config: RunConfig,
    shape: Shape,
    device: Device,
    tokens: Tokens,
    references: Sequence[int],
    generations: int,
    evaluations: int,
    held_out: int,
    sft_steps: int,
    world_size: int,
) -> Work:
    model, grpo = config.model, config.grpo
    steps = grpo.max_steps if config.trains_grpo else 0
    # A batch decodes until its longest row stops, and some rows always ramble beyond the longest reference.
    longest = sorted(references)[int(len(references) * 0.95)] if references else grpo.max_completion_length
    element = BYTES[model.effective_dtype(device.kind)]
    return Work(
        parameters=shape.active_parameters,
        layers=shape.layers,
        weight_bytes=shape.parameters * element,
        frozen=model.lora is not None,
        recomputes=model.checkpoints_gradients(device.kind, shape.parameters),
        steps=steps,
        passes_per_step=grpo.trl_batch(world_size).gradient_accumulation_steps if steps else 1,
        generations=generations,
        prompts_per_step=grpo.prompts_per_step,
        num_generations=grpo.num_generations,
        prompt_tokens=tokens.prompt_mean,
        completion_tokens=min(tokens.reference_mean or grpo.max_completion_length, grpo.max_completion_length),
        decoding_steps=min(1.5 * longest, grpo.max_completion_length),
        evaluations=evaluations,
        held_out=held_out,
        evaluation_batch=config.evaluation.batch_size,
        sft_steps=sft_steps,
        sft_batch=config.sft_warmup.batch_size,
    )
