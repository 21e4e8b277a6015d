"""How many completions fit in one pass of the loss, by what two small passes really keep for their backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grpo.config.run_config import RunConfig
from grpo.config.sections import GrpoSection
from grpo.machine.device import Device, find_device, find_processor
from grpo.plan.memory_estimate import find_shape
from grpo.plan.micro_batch import choose_size, find_budget, plan_micro_batch
from grpo.policy.lean_activations import WATCHERS
from grpo.policy.loading import Policy
from grpo.policy.prefix_support import supports
from grpo.policy.shared_prefix import grouped_logps
from rewards.types import Example

if TYPE_CHECKING:
    import torch

MARGIN = 1.25  # the backward makes gradients of activations beside them


def fit_passes(
    config: RunConfig, policy: Policy, rows: Sequence[Example], device_kind: str, world_size: int
) -> GrpoSection:
    """Section grpo with a number in the place of `micro_batch_size: auto`: the same in every run on that machine."""
    grpo = config.grpo
    if grpo.micro_batch_size != "auto":
        return grpo
    device = find_device() if device_kind == "cuda" else find_processor()
    longest = max(len(policy.prompts.prompt_ids(example.prompt)) for example in rows)
    if policy.fallback or supports(policy.model):
        shape, _ = find_shape(config.model)
        return plan_micro_batch(grpo, config.model, shape, device, longest, world_size)
    return measure_micro_batch(grpo, policy.model, longest, device, world_size)


def measure_micro_batch(
    grpo: GrpoSection, model: Any, prompt_tokens: int, device: Device, world_size: int
) -> GrpoSection:
    """The section with as many completions in a pass as the device has room for, by a measured pass."""
    share = grpo.completions_per_step // world_size
    prompt, each = measure_activations(model, prompt_tokens, grpo.max_completion_length)
    resident = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    trained = sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)

    def bytes_of(size: int) -> int:
        return int(MARGIN * (-(-size // grpo.num_generations) * prompt + size * each))

    return grpo.with_micro_batch(
        choose_size(share, grpo.num_generations, bytes_of, find_budget(device, resident + 3 * trained))
    )


def measure_activations(model: Any, prompt_tokens: int, completion_tokens: int) -> tuple[int, int]:
    """Bytes that the shared pass keeps for the backward: a prompt's, and one completion's of its group.

    Nothing is timed and no memory is read: what autograd saves is counted, for two and for three completions.
    """
    two, three = (count_saved_bytes(model, prompt_tokens, completion_tokens, count) for count in (2, 3))
    each = max(1, three - two)
    return max(0, two - 2 * each), each


def count_saved_bytes(model: Any, prompt_tokens: int, completion_tokens: int, count: int) -> int:
    """Bytes of all arrays that one forward over a group of `count` keeps, weights left out, shared arrays once."""
    import torch

    device = next(model.parameters()).device
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    ids = torch.arange(prompt_tokens + count * completion_tokens, device=device) % vocabulary_of(model)
    prompts = ids[:prompt_tokens].expand(count, -1)
    completions = ids[prompt_tokens:].view(count, completion_tokens)
    seen: dict[int, int] = {}

    def keep(array: torch.Tensor) -> torch.Tensor:
        storage = array.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = max(seen.get(storage.data_ptr(), 0), storage.nbytes())
        return array

    training = [module for module in model.modules() if module.training]
    model.train()
    WATCHERS.append(keep)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda array: array):
                kept = grouped_logps(
                    model, prompts, torch.ones_like(prompts), completions, torch.ones_like(completions),
                    compute_entropy=True,
                )  # fmt: skip
            del kept
    finally:
        WATCHERS.remove(keep)
        model.eval()
        for module in training:
            module.training = True
    return sum(seen.values())


def vocabulary_of(model: Any) -> int:
    """Rows of the input embeddings, which may be more than the tokenizer has tokens."""
    return model.get_input_embeddings().weight.shape[0]
