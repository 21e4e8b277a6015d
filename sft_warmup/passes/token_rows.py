"""Rows of tokens taken out of a batch and put back, and a linear layer over them whose gradient has the bits of all."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS = (192, 384, 256, 512, 128)
"""Tokens; of MKL on an AMD EPYC it is the first."""
TRIED = (500, 1000, 1616, 2464, 3104, 5000)
"""Tokens of the products that a block is tried with; fewer than the first are added up in other ways, more than the last are
not tried."""


class Blocks:
    """How many tokens at a time the matrix library adds up in the gradient of a weight, found by trial and kept.

    A sum over tokens has the same bits without those whose gradient is zero if the others are added up in the same blocks.
    """

    def __init__(self) -> None:
        self.found: dict[tuple[int, int, int, int], int | None] = {}

    def of(self, outputs: int, inputs: int, count: int) -> int | None:
        """Tokens in a block, for a weight of this shape and so many tokens; None where no block is known that keeps all bits."""
        import torch

        if not TRIED[0] <= count <= TRIED[-1]:
            return None
        most = next(each for each in TRIED if each >= count)
        key = outputs, inputs, torch.get_num_threads(), most
        if key not in self.found:
            self.found[key] = next((block for block in BLOCKS if _keeps_bits(outputs, inputs, block, most)), None)
        return self.found[key]


def gather_rows(batch: Tensor, places: Tensor) -> Tensor:
    """(1, places, width): these tokens of a batch (rows, tokens, width), by their place in it; no place may come twice."""
    found: Tensor = _gather().apply(batch, places.to(batch.device))
    return found[None]


def spread_rows(found: Tensor, places: Tensor, shape: tuple[int, int]) -> Tensor:
    """The opposite: (rows, tokens, width), 0 where there is no place."""
    spread: Tensor = _spread().apply(found[0], places.to(found.device), shape)
    return spread


def linear_as_of_all(rows: Tensor, weight: Tensor, places: Tensor, count: int, blocks: Blocks) -> Tensor:
    """`rows` (1, places or more, width) through `weight`, whose gradient has the bits of all `count` tokens.

    `places` rise. The gradient of what comes after them in `rows` must be zero.
    """
    found: Tensor = _linear().apply(rows[0], weight, places, count, blocks.of(weight.shape[0], weight.shape[1], count))
    return found[None]


def sum_as_of_all(pulls: Tensor, inputs: Tensor, places: Tensor, count: int, block: int | None) -> Tensor:
    """(outputs, inputs): `pulls.t() @ inputs`, added up as if there were zeros at the other places up to `count`."""
    import torch

    if block is None:
        whole = pulls.new_zeros(count, pulls.shape[1]), inputs.new_zeros(count, inputs.shape[1])
        return whole[0].index_copy_(0, places, pulls).t() @ whole[1].index_copy_(0, places, inputs)
    edges = torch.searchsorted(places, torch.arange(0, count + block, block)).tolist()
    parts = [(start, end) for start, end in pairwise(edges) if end > start]
    total = torch.zeros(pulls.shape[1], inputs.shape[1])
    for index, (start, end) in enumerate(parts):
        # The first is written, not added: 0 plus it is itself, but for the sign of a zero.
        total.addmm_(pulls[start:end].t(), inputs[start:end], beta=min(index, 1))
    return total


def _keeps_bits(outputs: int, inputs: int, block: int, most: int) -> bool:
    """Whether blocks of so many tokens give every bit of the whole product, over four tenths of each of TRIED up to `most`."""
    import torch

    draw = torch.Generator().manual_seed(0)
    for count in TRIED[: TRIED.index(most) + 1]:
        places = (torch.rand(count, generator=draw) < 0.4).nonzero()[:, 0]
        pulls, found = (torch.randn(len(places), width, generator=draw) for width in (outputs, inputs))
        whole, parts = (sum_as_of_all(pulls, found, places, count, each) for each in (None, block))
        if not torch.equal(whole, parts):
            return False
    return True


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
        def forward(ctx: Any, rows: Tensor, weight: Tensor, places: Tensor, count: int, block: int | None) -> Tensor:
            ctx.save_for_backward(rows, weight, places)
            ctx.count, ctx.block = count, block
            return rows @ weight.t()

        @staticmethod
        def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
            rows, weight, places = ctx.saved_tensors
            back = pull @ weight if ctx.needs_input_grad[0] else None
            most = len(places)
            return back, sum_as_of_all(pull[:most], rows[:most], places, ctx.count, ctx.block), None, None, None

    return Linear
