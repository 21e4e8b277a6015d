"""`grpo.micro_batch_size: auto`: the most completions in one pass that the device has room for; no torch."""

from __future__ import annotations

from collections.abc import Callable

from grpo.config.sections import GrpoSection, ModelSection
from grpo.machine.device import Device
from grpo.plan.memory_estimate import Shape, estimate_memory

# What activations may take of a processor's memory, which other programs use as well; nothing gets faster with more.
CPU_SHARE = 1 / 12
# What an accelerator's allocator and the libraries leave of its memory.
DEVICE_SHARE = 0.85


def find_budget(device: Device, resident: int) -> int | None:
    """Bytes for activations beside the `resident` weights, gradients and moments; None where the memory is unknown."""
    if device.memory_bytes is None:
        return None
    if device.kind == "cuda":
        return max(0, int(DEVICE_SHARE * device.memory_bytes) - resident)
    return int(CPU_SHARE * device.memory_bytes)


def choose_size(share: int, group: int, bytes_of: Callable[[int], int], budget: int | None) -> int:
    """The largest equal cut of a process's `share` of a step that fits: whole groups first, then parts of one.

    `bytes_of(size)` are the activations of a pass over this many completions. 1 where nothing fits.
    """
    if budget is None:
        return share
    sizes = [size for size in range(share, 0, -1) if share % size == 0 and (size % group == 0 or group % size == 0)]
    return next((size for size in sizes if bytes_of(size) <= budget), 1)


def plan_micro_batch(
    grpo: GrpoSection,
    model: ModelSection,
    shape: Shape | None,
    device: Device,
    prompt_tokens: int,
    world_size: int = 1,
) -> GrpoSection:
    """The section with a number in the place of `auto`, from the estimate; the same one where it says no auto."""
    if grpo.micro_batch_size != "auto":
        return grpo
    share, rest = divmod(grpo.completions_per_step, world_size)
    if shape is None or rest:
        return grpo.with_micro_batch(None)

    def estimate(size: int):
        return estimate_memory(
            shape, model, grpo.with_micro_batch(size), device_kind=device.kind, prompt_tokens=prompt_tokens,
            completion_tokens=grpo.max_completion_length, world_size=world_size,
        )  # fmt: skip

    whole = estimate(share)
    budget = find_budget(device, whole.weights + whole.gradients + whole.optimiser)
    return grpo.with_micro_batch(
        choose_size(share, grpo.num_generations, lambda size: estimate(size).activations, budget)
    )
