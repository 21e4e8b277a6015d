"""How long a run should take: a rough model of the time of generation, training and evaluation. Always an estimate.

A decoding step costs the larger of its launch overhead (so much a layer, since small models wait for Python and not
for memory) and of reading the weights once. A training pass costs its floating-point operations at a share of the
device's peak (2 a weight and token forward, 4 backward, 2 less where the weights are frozen, 2 more where activations
are recomputed) and the launch overhead of each pass. Prompts are counted once a group, as the trainer runs them. It is
no measurement: it tells minutes from hours, and which part is the long one.
"""

from __future__ import annotations

from dataclasses import dataclass

from grpo.machine.device import Device

EFFICIENCY = 0.35


@dataclass(frozen=True, slots=True)
class Speed:
    """Achieved floating-point operations and bytes a second, and seconds a layer of one decoding step."""

    operations: float
    bandwidth: float
    layer_seconds: float


# Peaks of dense bfloat16 arithmetic and of memory, from the makers' data sheets; the first name found in the device's.
_CUDA_SPEEDS = (
    ("H200", 989e12, 4.8e12),
    ("H100", 989e12, 3.35e12),
    ("A100", 312e12, 1.55e12),
    ("L40S", 362e12, 0.86e12),
    ("L4", 121e12, 0.30e12),
    ("A10", 125e12, 0.60e12),
    ("T4", 65e12, 0.32e12),
    ("4090", 165e12, 1.0e12),
    ("3090", 71e12, 0.94e12),
)


@dataclass(frozen=True, slots=True)
class Work:
    """What a run computes; token counts are expectations."""

    parameters: int
    layers: int
    weight_bytes: int
    frozen: bool
    recomputes: bool
    steps: int
    passes_per_step: int
    generations: int
    prompts_per_step: int
    num_generations: int
    prompt_tokens: float
    completion_tokens: float
    decoding_steps: float
    evaluations: int
    held_out: int
    evaluation_batch: int
    sft_steps: int
    sft_batch: int


@dataclass(frozen=True, slots=True)
class Duration:
    """Seconds of each part of the run."""

    generation: float
    training: float
    evaluation: float
    sft_warmup: float

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.generation + self.training + self.evaluation + self.sft_warmup


def find_speed(device: Device) -> Speed:
    """The speed of a device by its name; an unknown CUDA device counts as an L4."""
    if device.kind == "cuda":
        peak, bandwidth = next((entry[1:] for entry in _CUDA_SPEEDS if entry[0] in device.name), (121e12, 0.30e12))
        return Speed(peak * EFFICIENCY, bandwidth, 0.9e-3)
    return Speed(40e9, 10e9, 0.5e-3)


def estimate_duration(work: Work, speed: Speed) -> Duration:
    """The time of the parts of a run on one device."""
    forward = 2 * work.parameters / speed.operations
    passes = (2 + (2 if work.frozen else 4) + (2 if work.recomputes else 0)) / 2
    step_seconds = max(work.layers * speed.layer_seconds, work.weight_bytes / speed.bandwidth)

    def decode(rows: int) -> float:
        return work.decoding_steps * max(step_seconds, rows * forward)

    group = work.prompts_per_step * work.num_generations
    trained_tokens = work.prompts_per_step * work.prompt_tokens + group * work.completion_tokens
    batches = -(-work.held_out // work.evaluation_batch)
    launch_seconds = passes * work.layers * speed.layer_seconds
    sft_tokens = work.sft_batch * (work.prompt_tokens + work.completion_tokens)
    return Duration(
        generation=work.generations * (work.prompts_per_step * work.prompt_tokens * forward + decode(group)),
        training=work.steps * (passes * forward * trained_tokens + work.passes_per_step * launch_seconds),
        evaluation=work.evaluations
        * (work.held_out * work.prompt_tokens * forward + batches * decode(min(work.evaluation_batch, work.held_out))),
        sft_warmup=work.sft_steps * (passes * forward * sft_tokens + launch_seconds),
    )
