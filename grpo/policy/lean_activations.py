"""Activations that are made again in the backward where that costs no product: norms' outputs and gated products.

A block's norm is read by projections whose adapters keep it, though it follows from the residual stream, which is kept
anyway; so does the product of gate and up, whose two factors are. Both are half of what a block keeps. They are made
again by the very operations that made them, so every number stays what it was.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from grpo.policy.plain_blocks import FAMILIES

if TYPE_CHECKING:
    import torch

# Below this many bytes of gated products (64 MiB) memory does not matter, and nothing is made twice.
LEAST_BYTES = 1 << 26
# Called with every array that is kept: of several hooks on what autograd saves only the innermost is asked.
WATCHERS: list[Callable[[Any], Any]] = []


def is_worth_it(model: Any, tokens: int) -> bool:
    """Whether a pass over this many tokens keeps enough, in a model that is built as its family is."""
    return is_rebuilt(model) and is_large(model, tokens)


def is_rebuilt(model: Any) -> bool:
    """Whether a model is built as its family is, so that what its blocks keep can be made again."""
    config = model.config
    if getattr(config, "model_type", None) not in FAMILIES or getattr(config, "hidden_act", "") != "silu":
        return False
    if getattr(model, "is_gradient_checkpointing", False):
        return False
    return not any("forward" in vars(each) for layer in model.model.layers for each in rebuilt(layer))


def is_large(model: Any, tokens: int) -> bool:
    """Whether the gated products of so many tokens are worth making twice."""
    config, element = model.config, model.get_input_embeddings().weight.element_size()
    return tokens * config.intermediate_size * config.num_hidden_layers * element >= LEAST_BYTES


def rebuilt(layer: Any) -> tuple[Any, Any, Any]:
    """The modules of a block whose outputs are made again."""
    return layer.input_layernorm, layer.post_attention_layernorm, layer.mlp


class Recipes:
    """How to make arrays again, by where they lie, as long as they are there."""

    def __init__(self) -> None:
        self.found: dict[int, tuple[weakref.ref, Callable[[], torch.Tensor]]] = {}

    def note(self, array: torch.Tensor, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Remember that `make` computes `array` again; returns the array."""
        self.found[array.untyped_storage().data_ptr()] = weakref.ref(array), make
        return array

    def pack(self, array: torch.Tensor) -> Any:
        """What autograd keeps in the place of an array: itself, or how to make it and how it lies in that."""
        reference, make = self.found.get(array.untyped_storage().data_ptr(), (None, None))
        if reference is None or make is None or reference() is None:
            for watch in WATCHERS:
                watch(array)
            return array
        return make, array.size(), array.stride(), array.storage_offset()

    @staticmethod
    def unpack(kept: Any) -> torch.Tensor:
        """The array that `pack` kept, computed again if only its recipe was kept."""
        import torch

        if isinstance(kept, torch.Tensor):
            return kept
        make, size, stride, offset = kept
        with torch.no_grad():
            return make().as_strided(size, stride, offset)


@contextmanager
def lean_activations(model: Any) -> Iterator[None]:
    """Inside, a forward of `model` keeps neither its norms' outputs nor its gated products."""
    import torch

    recipes = Recipes()
    changed = [(module, make) for layer in model.model.layers for module, make in zip(
        rebuilt(layer), (norm_forward, norm_forward, gated_forward), strict=True
    )]  # fmt: skip
    for module, make in changed:
        module.forward = make(module, recipes)
    try:
        with torch.autograd.graph.saved_tensors_hooks(recipes.pack, recipes.unpack):
            yield
    finally:
        for module, _ in changed:
            del module.forward


def norm_forward(norm: Any, recipes: Recipes) -> Callable[[torch.Tensor], torch.Tensor]:
    """A norm's forward whose output is not kept for the backward but computed again."""
    inner = type(norm).forward

    def forward(states: torch.Tensor) -> torch.Tensor:
        before = states.detach()  # the same array, which autograd keeps for the norm's own backward
        return recipes.note(inner(norm, states), lambda: inner(norm, before))

    return forward


def gated_forward(feed: Any, recipes: Recipes) -> Callable[[torch.Tensor], torch.Tensor]:
    """A feed-forward layer's forward whose gated product is not kept for the backward but computed again."""
    import torch

    def forward(states: torch.Tensor) -> torch.Tensor:
        gate, up = feed.gate_proj(states), feed.up_proj(states)
        product = _gated().apply(gate, up)
        kept = gate.detach(), up.detach()
        recipes.note(product, lambda: torch.nn.functional.silu(kept[0]) * kept[1])
        return feed.down_proj(product)

    return forward


@cache
def _gated():
    import torch

    class Gated(torch.autograd.Function):
        """silu(gate) * up, of which only the factors are kept."""

        @staticmethod
        def forward(ctx, gate, up):
            ctx.save_for_backward(gate, up)
            return torch.nn.functional.silu(gate) * up

        @staticmethod
        def backward(ctx, gradient):
            gate, up = ctx.saved_tensors
            return torch.ops.aten.silu_backward(gradient * up, gate), gradient * torch.nn.functional.silu(gate)

    return Gated
