"""Weights of a block as its tokens need them: adapters stand in their weights, layers of one input below each other.

Each part gives the gradients of what is trained in it, by products that are written out: of the weights themselves, or of
adapters beside frozen ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpo.policy.plain_blocks import Unusual, read_linear

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class Joined:
    """Linear layers of one input, one below the other: weights (outputs, inputs) with their adapters A, B and scales.

    `own` are the layers' weights and biases that are trained themselves, each with its number; biases are behind all weights.
    """

    weights: list[torch.Tensor]
    bias: torch.Tensor | None
    adapters: list[tuple[torch.Tensor, torch.Tensor, float] | None]
    scratch: dict[tuple[int, ...], torch.Tensor]
    own: list[tuple[int, torch.Tensor]] = field(default_factory=list)

    @property
    def trained(self) -> list[torch.Tensor]:
        """What is trained, in the order in which `pull` gives its gradients."""
        adapters = [matrix for adapter in self.adapters if adapter is not None for matrix in adapter[:2]]
        return [weight for _, weight in self.own] + adapters

    def room(self, number: int, like: torch.Tensor) -> torch.Tensor:
        """Memory for an array of this shape, shared by all blocks: fresh pages would cost more than writing to them."""
        key = number, *like.shape
        if key not in self.scratch:
            self.scratch[key] = like.new_empty(like.shape)
        return self.scratch[key]

    def merge(self) -> torch.Tensor:
        """(outputs, inputs); good until another matrix of this shape is merged."""
        import torch

        if len(self.weights) == 1 and self.adapters[0] is None:
            return self.weights[0]
        shape = sum(len(weight) for weight in self.weights), self.weights[0].shape[1]
        if shape not in self.scratch:
            self.scratch[shape] = self.weights[0].new_empty(shape)
        whole = self.scratch[shape]
        for part, weight, adapter in self.pieces(whole):
            if adapter is None:
                part.copy_(weight)
            else:
                torch.addmm(weight, adapter[1], adapter[0], alpha=adapter[2], out=part)
        return whole

    def pieces(self, whole: torch.Tensor, axis: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor, Any]]:
        """The part of `whole` along `axis` that belongs to each layer, its weight and its adapter."""
        parts = whole.split([len(weight) for weight in self.weights], axis)
        return zip(parts, self.weights, self.adapters, strict=True)

    def pull(self, states: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `trained`, from what came in (tokens, inputs) and that of what went out (tokens, outputs)."""
        import torch

        present = [adapter for adapter in self.adapters if adapter is not None]
        found = self.pull_own(states, gradient) if self.own else []
        if not present:
            return found
        downs = torch.cat([adapter[0] for adapter in present]) if len(present) > 1 else present[0][0]
        inner = iter((states @ downs.t()).split([len(adapter[0]) for adapter in present], 1))
        thin, ups = [], []
        for part, _, adapter in self.pieces(gradient, 1):
            if adapter is not None:
                thin.append((part @ adapter[1]).mul_(adapter[2]))
                ups.append((part.t() @ next(inner)).mul_(adapter[2]))
        pulled = (torch.cat(thin, 1) if len(thin) > 1 else thin[0]).t() @ states
        of_downs = pulled.split([len(adapter[0]) for adapter in present])
        return found + [each for pair in zip(of_downs, ups, strict=True) for each in pair]

    def pull_own(self, states: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `own`."""
        numbers = [number for number, _ in self.own]
        sizes, count = [len(weight) for weight in self.weights], len(self.weights)
        # One product where all are trained; MKL's, which is oneDNN's equal here.
        whole = gradient.t() @ states if len([n for n in numbers if n < count]) == count else None
        found = []
        for number in numbers:
            part = gradient.split(sizes, 1)[number % count]
            if number >= count:
                found.append(part.sum(0))
            else:
                found.append(part.t() @ states if whole is None else whole.split(sizes)[number])
        return found


@dataclass(slots=True)
class Norm:
    """The family's root-mean-square norm over the last axis, in float32."""

    weight: torch.Tensor
    epsilon: float
    trained: list[torch.Tensor]  # its weight, where that is trained

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return (states * self.scale(states)).mul_(self.weight)

    def scale(self, states: torch.Tensor) -> torch.Tensor:
        """The reciprocal root mean square of each state, (..., 1)."""
        return states.pow(2).mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()

    def pull(self, states: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
        """The gradients of `trained`; that of `states` is written over `gradient`."""
        import torch

        scale = self.scale(states)
        found = []
        if self.trained:
            found = [(states * gradient).mul_(scale).flatten(0, -2).sum(0)]
        gradient.mul_(self.weight)
        along = torch.linalg.vecdot(gradient, states)[..., None].mul_(scale.pow(3)).div_(-states.shape[-1])
        gradient.mul_(scale).addcmul_(states, along)
        return found


def read_norm(norm: Any) -> Norm:
    """An RMS norm as a Norm; raises Unusual if PEFT trains a copy of it."""
    if hasattr(norm, "modules_to_save"):
        raise Unusual
    check_floats([norm.weight])
    return Norm(norm.weight.detach(), norm.variance_epsilon, [norm.weight] if norm.weight.requires_grad else [])


def join(layers: Sequence[Any], scratch: dict[tuple[int, ...], torch.Tensor]) -> Joined:
    """Linear layers that read the same states as one; a layer without a bias gets zeros if another has one."""
    import torch

    read = [read_linear(layer) for layer in layers]
    weights, biases, adapters = (list(each) for each in zip(*read, strict=True))
    check_floats([*weights, *(each for each in biases if each is not None)])
    check_floats([matrix for adapter in adapters if adapter is not None for matrix in adapter[:2]])
    bias = None
    if any(each is not None for each in biases):
        pairs = zip(weights, biases, strict=True)
        bias = torch.cat([w.detach().new_zeros(len(w)) if own is None else own.detach() for w, own in pairs])
    both = enumerate([*weights, *biases])
    own = [(number, each) for number, each in both if each is not None and each.requires_grad]
    return Joined([weight.detach() for weight in weights], bias, adapters, scratch, own)


def check_floats(weights: Sequence[torch.Tensor]) -> None:
    """`Unusual` for weights that are not whole float32 arrays on a processor."""
    import torch

    for each in weights:
        if each.dtype != torch.float32 or each.device.type != "cpu" or hasattr(each, "full_tensor"):
            raise Unusual
