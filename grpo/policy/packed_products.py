"""Products of a few rows with packed float32 weights, on a processor, by oneDNN: a token a row takes half to two thirds of the time.

PyTorch hands float32 products to MKL, which packs the weights anew in every call; with sixteen rows that is half the work.
oneDNN's are the same sums in another order. It adds up in one run where MKL adds blocks, so its rounding is 1.5 to 2 times
MKL's: the loss, whose log-probabilities are held against TRL's, stays with MKL. So do small models, whose completions are
those of every earlier version, bit for bit.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

LEAST_WEIGHTS = 1 << 21  # parameters of the smallest model whose weights are packed


def is_worth_packing(model: Any) -> bool:
    """Whether decoding multiplies by oneDNN: float32 on a processor, in one piece, no small model."""
    import torch

    weight = model.get_input_embeddings().weight
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or hasattr(weight, "full_tensor"):
        return False
    return has_onednn() and sum(each.numel() for each in model.parameters()) >= LEAST_WEIGHTS


@cache
def has_onednn() -> bool:
    """Whether this build of torch has the two operators that inductor calls for frozen float32 layers."""
    import torch

    if not torch.backends.mkldnn.is_available():
        return False
    operators = torch.ops.mkldnn
    return hasattr(operators, "_linear_pointwise") and hasattr(operators, "_reorder_linear_weight")


def pack(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """`weight` (outputs, inputs) in the order in which products with about `rows` rows read it; good for `multiply` alone."""
    import torch

    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)


def multiply(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """states (rows, inputs) @ weight (outputs, inputs).T + bias, without gradients; the weight may be packed."""
    import torch

    return torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
