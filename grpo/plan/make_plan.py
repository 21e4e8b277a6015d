"""What a config will do and cost, from the settings in force, before anything is spent: `python -m grpo.plan`."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from grpo.config.run_config import RunConfig
from grpo.config.sections import TrlBatch
from grpo.data.run_rows import Inputs
from grpo.machine.device import GIB, Device, find_device
from grpo.plan.display import plan_lines, screen_lines
from grpo.plan.memory_estimate import BYTES, Memory, Shape, estimate_memory, find_shape, guess_parameters
from grpo.plan.notes import write_notes
from grpo.plan.refusals import find_refusals
from grpo.plan.time_estimate import Duration, Work, estimate_duration, find_speed
from grpo.policy.tokenizer import TokenCounter, find_token_counter
from rewards.errors import UserError

# The device of the recipe; a plan for profile gpu is held against it where there is no CUDA device.
REFERENCE_DEVICE = Device("cuda", "NVIDIA L4", 24 * GIB, 1)


@dataclass(frozen=True)
class Tokens:
    """Tokens of one row and of the whole of GRPO; `most` if every completion runs to its limit.

    `expected` takes completions to be as long as their references.
    """

    exact: bool
    source: str
    prompt_mean: float
    prompt_longest: int
    prompt_limit: int
    reference_mean: float
    reference_longest: int
    references_beyond_limit: int
    prompt_total: int
    completion_most: int
    completion_expected: int
    total_most: int
    total_expected: int


@dataclass(frozen=True)
class Plan:
    """The effective settings of a run, counted out. `per_task` are expected prompts, `notes` what a reader must know."""

    config: RunConfig
    profile: str
    device: Device
    device_is_reference: bool
    shape: Shape | None
    shape_source: str
    world_size: int
    prompts_per_step: int
    num_generations: int
    completions_per_step: int
    max_steps: int
    prompts_seen: int
    train_rows: int
    held_out_rows: int
    unique_prompts: int
    epochs: float
    lr_warmup_steps: int
    per_task: dict[str, float]
    trl: TrlBatch
    evaluations: int
    sft_rows: int
    sft_steps: int
    tokens: Tokens
    memory: Memory | None
    duration: Duration | None
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The plan as an object of plain values; bytes and seconds are numbers, unknown parts null."""
        model, grpo = self.config.model, self.config.grpo
        return {
            "name": self.config.name,
            "sources": list(self.config.sources),
            "profile": self.profile,
            "prompts_per_step": self.prompts_per_step,
            "num_generations": self.num_generations,
            "completions_per_step": self.completions_per_step,
            "max_steps": self.max_steps,
            "prompts_seen": self.prompts_seen,
            "train_rows": self.train_rows,
            "held_out_rows": self.held_out_rows,
            "unique_prompts": self.unique_prompts,
            "epochs": self.epochs,
            "lr_warmup_steps": self.lr_warmup_steps,
            "per_task": self.per_task,
            "evaluations": self.evaluations,
            "sft_warmup": {"enabled": self.config.sft_warmup.enabled, "rows": self.sft_rows, "steps": self.sft_steps},
            "trl": {**asdict(self.trl), "num_iterations": grpo.num_iterations, "world_size": self.world_size},
            "sampling": {
                key: getattr(grpo, key)
                for key in ("temperature", "top_p", "top_k", "repetition_penalty", "max_completion_length")
            },
            "model": {
                "name": "embedded" if model.embedded else model.name,
                "engine": model.engine,
                "dtype": model.effective_dtype(self.device.kind),
                "quantization": model.quantization,
                "parameters": self.parameters,
                "trainable_parameters": self.trainable_parameters,
                "shape_from": self.shape_source,
            },
            "device": {**asdict(self.device), "is_reference": self.device_is_reference},
            "tokens": asdict(self.tokens),
            "memory_bytes": {**asdict(self.memory), "peak": self.memory.peak} if self.memory else None,
            "seconds_estimated": {
                **{name: round(value, 1) for name, value in asdict(self.duration).items()},
                "total": round(self.duration.total, 1),
            }
            if self.duration
            else None,
            "notes": self.notes,
        }

    def lines(self) -> list[tuple[str, str]]:
        """The plan as pairs of a label and a text, in the order they are shown."""
        return plan_lines(self)

    def show(self, progress: Any) -> None:
        """Hand the first screen to `progress.say`, line by line, as wide as the terminal is."""
        for line in screen_lines(self):
            progress.say(line)

    @property
    def parameters(self) -> int | None:
        """Weights of the policy, as near as this machine can tell."""
        return self.shape.parameters if self.shape else guess_parameters(self.config.model.name)

    @property
    def trainable_parameters(self) -> int | None:
        """Weights that are trained: the adapters', or all; None where the shape is unknown."""
        if self.shape is None:
            return None
        lora = self.config.model.lora
        return self.shape.lora_parameters(lora.r) if lora is not None else self.shape.parameters


def make_plan(
    config: RunConfig,
    inputs: Inputs,
    counter: TokenCounter | None = None,
    *,
    profile: str | None = None,
    device: Device | None = None,
    world_size: int | None = None,
) -> Plan:
    """Count out what the config does to these rows on this device; `UserError` with every reason not to start.

    `counter` is by default the best one this machine has without a download; `world_size` is torchrun's.
    """
    profile = profile or config.profile or ("embedded" if config.model.embedded else "gpu")
    world_size = world_size or int(os.environ.get("WORLD_SIZE") or 1)
    device, is_reference = _choose_device(profile, device)
    counter = counter or find_token_counter(config.model, inputs.taught)
    train_tokens = counter.count_prompts([example.prompt for example in inputs.train])
    held_out_tokens = counter.count_prompts([example.prompt for example in inputs.held_out])
    shape, shape_source = find_shape(config.model)
    refusals = find_refusals(
        config,
        inputs,
        train_tokens=train_tokens,
        held_out_tokens=held_out_tokens,
        exact=counter.exact,
        shape=shape,
        world_size=world_size,
    )
    if refusals:
        raise UserError(refusals)

    grpo, rows = config.grpo, len(inputs.train)
    generations = math.ceil(grpo.max_steps / grpo.num_iterations)
    prompts_seen = generations * grpo.prompts_per_step
    references = counter.count_texts([example.reference for example in inputs.train if example.reference is not None])
    tokens = _count_tokens(config, train_tokens, references, prompts_seen, counter)
    tasks = Counter(example.task for example in inputs.train)
    sft_rows = len(inputs.warmup) if config.sft_warmup.enabled else 0
    sft_steps = config.sft_warmup.steps(sft_rows) if config.sft_warmup.enabled else 0
    # Before, after the warm-up, every so many steps but the last, at the end.
    evaluations = 3 + (grpo.max_steps - 1) // config.evaluation.every_steps
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
            config, shape, device, tokens, references, generations, evaluations, held_out, sft_steps, world_size
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
        max_steps=grpo.max_steps,
        prompts_seen=prompts_seen,
        train_rows=rows,
        held_out_rows=len(inputs.held_out),
        unique_prompts=_count_unique(prompts_seen, rows, grpo.prompts_per_step),
        epochs=round(prompts_seen / rows, 4),
        lr_warmup_steps=grpo.lr_warmup_steps,
        per_task={task: round(prompts_seen * count / rows, 1) for task, count in sorted(tasks.items())},
        trl=grpo.trl_batch(world_size),
        evaluations=evaluations,
        sft_rows=sft_rows,
        sft_steps=sft_steps,
        tokens=tokens,
        memory=memory,
        duration=duration,
        notes=write_notes(config, device, is_reference, tokens, memory, shape, world_size),
    )


def _choose_device(profile: str, device: Device | None) -> tuple[Device, bool]:
    device = device or find_device()
    if profile == "gpu" and device.kind != "cuda":
        return REFERENCE_DEVICE, True
    if profile == "embedded" and device.kind == "cuda":
        # The rehearsal is a processor's job even where there is a GPU.
        return Device("cpu", "CPU", None, 1), False
    return device, False


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
    # A batch decodes until its longest row stops, and some rows always ramble beyond the longest reference.
    longest = sorted(references)[int(len(references) * 0.95)] if references else grpo.max_completion_length
    element = BYTES[model.effective_dtype(device.kind)]
    return Work(
        parameters=shape.parameters,
        layers=shape.layers,
        weight_bytes=shape.parameters * element,
        frozen=model.lora is not None,
        recomputes=model.checkpoints_gradients(device.kind, shape.parameters),
        steps=grpo.max_steps,
        passes_per_step=grpo.trl_batch(world_size).gradient_accumulation_steps,
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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.plan`; returns the exit code."""
    import argparse
    import json
    import sys

    parser = argparse.ArgumentParser(
        prog="python -m grpo.plan",
        description="What a config will do and cost: prompts, tokens, memory and time, from the settings in force.",
        epilog="examples:\n  python -m grpo.plan --config v4_1.yaml\n"
        "  python -m grpo.plan --config v4_1.yaml --profile gpu --json\n"
        "  python -m grpo.plan --config my.yaml --set grpo.max_steps=100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, help="a path, or a shipped name such as v4_1.yaml")
    parser.add_argument("--profile", default="auto", help="auto, gpu or embedded (default: auto)")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options = parser.parse_args(arguments)

    from grpo.config.run_config import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile

    try:
        device = find_device()
        profile, line = resolve_profile(options.profile, device)
        print(line, file=sys.stderr)
        config = load_config(options.config, options.overrides, profile, device)
        plan = make_plan(config, load_inputs(config), profile=profile, device=device)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(plan.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(screen_lines(plan)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
