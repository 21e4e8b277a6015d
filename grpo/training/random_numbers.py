"""The random numbers of a step's completions: they follow from seed and step, so that a resumed run draws the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpo.generation.sampling import exact_device
from grpo.training.dynamic_sampling import mix_seeds

if TYPE_CHECKING:
    import torch


def make_generator(
    seed: int, step: int, attempt: int, again: int, before: tuple[int, int], device: torch.device
) -> torch.Generator:
    """One seed a step, another for each round of dynamic sampling (`attempt`) and each further generation (`again`).

    Each process goes on in the stream where the one before it ends, (completions, tokens) numbers later, so that on a
    CPU the completions of a step do not depend on how many processes share it.
    """
    import torch

    numbers = (seed, step, attempt, again) if again else (seed, step, attempt)
    generator = torch.Generator(device=exact_device(device))
    generator.manual_seed(mix_seeds(*numbers) if attempt or again else seed * 1_000_003 + step)
    torch.rand(before, generator=generator, dtype=torch.float64, device=generator.device)
    return generator
