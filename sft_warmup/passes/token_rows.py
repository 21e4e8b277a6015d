"""Rows of tokens taken out of a batch and put back, and a linear layer over them whose gradient has the bits of all."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Zeros:
    """Matrices of zeros that are kept, and lent for one product at a time: what was written there must be cleared again."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, int], Tensor] = {}

    def lend(self, name: str, rows: int, width: int) -> Tensor:
        """(rows, width) of zeros, float32, on the CPU; `name` keeps apart what is lent at the same time."""
        import torch

        found = self.kept.get((name, width))
        if found is None or found.shape[0] < rows:
            found = self.kept[name, width] = torch.zeros(rows, width)
        return found[:rows]


def gather_rows(batch: Tensor, places: Tensor) -> Tensor:
    """(1, places, width): these tokens of a batch (rows, tokens, width), by their place in it; no place may come twice."""
    found: Tensor = _gather().apply(batch, places.to(batch.device))
    return found[None]


def spread_rows(found: Tensor, places: Tensor, shape: tuple[int, int]) -> Tensor:
    """The opposite: (rows, tokens, width), 0 where there is no place."""
    spread: Tensor = _spread().apply(found[0], places.to(found.device), shape)
    return spread


def linear_as_of_all(rows: Tensor, weight: Tensor, places: Tensor, count: int, zeros: Zeros) -> Tensor:
    """`rows` (1, places, width) through `weight`, whose gradient is added up as if all `count` tokens had been there.

    A product over tokens adds them in blocks: without the tokens that pull at nothing its last bits would be others.
    """
    found: Tensor = _linear().apply(rows[0], weight, places, count, zeros)
    return found[None]


@cache
def _gather() -> Any:
    import torch

    class Gather(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, batch: Tensor, places: Tensor) -> Tensor:
            ctx.save_for_backward(places)
            ctx.shape = batch.shape
            return batch.flatten(0, 1).index_select(0, places)

        @staticmethod
        def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None]:
            (places,) = ctx.saved_tensors
            whole = pull.new_zeros(ctx.shape[0] * ctx.shape[1], ctx.shape[2]).index_copy_(0, places, pull)
            return whole.view(ctx.shape), None

    return Gather


@cache
def _spread() -> Any:
    import torch

    class Spread(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, found: Tensor, places: Tensor, shape: tuple[int, int]) -> Tensor:
            ctx.save_for_backward(places)
            return found.new_zeros(shape[0] * shape[1], found.shape[1]).index_copy_(0, places, found).view(*shape, -1)

        @staticmethod
        def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None, None]:
            (places,) = ctx.saved_tensors
            return pull.flatten(0, 1).index_select(0, places), None, None

    return Spread


@cache
def _linear() -> Any:
    import torch

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, rows: Tensor, weight: Tensor, places: Tensor, count: int, zeros: Zeros) -> Tensor:
            ctx.save_for_backward(rows, weight, places)
            ctx.count, ctx.zeros = count, zeros
            return rows @ weight.t()

        @staticmethod
        def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
            rows, weight, places = ctx.saved_tensors
            back = pull @ weight if ctx.needs_input_grad[0] else None
            pulls = ctx.zeros.lend("pulls", ctx.count, pull.shape[1]).index_copy_(0, places, pull)
            inputs = ctx.zeros.lend("inputs", ctx.count, rows.shape[1]).index_copy_(0, places, rows)
            gradient = pulls.t() @ inputs
            pulls.index_fill_(0, places, 0)
            inputs.index_fill_(0, places, 0)
            return back, gradient, None, None, None

    return Linear
