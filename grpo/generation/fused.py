"""Decoding on a CUDA device in few kernels: compiled parts of a block, and attention that Triton compiles."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from grpo.generation.kv_cache import KVCache, Piece

if TYPE_CHECKING:
    import torch


@cache
def compiled(part: Callable[..., Any]) -> Callable[..., Any]:
    """`part` compiled for all sizes at once: rows leave a batch, and none of them may cost another compilation."""
    import torch

    return torch.compile(part, dynamic=True)


def can_fuse(model: Any) -> bool:
    """Whether the device of `model` is one for which Triton compiles, and its kernel gives what plain attention gives."""
    weight = model.get_input_embeddings().weight
    if weight.device.type != "cuda" or find_spec("triton") is None or not (shutil.which("cc") or shutil.which("gcc")):
        return False
    return _kernel_is_right(weight.device, weight.dtype)


@cache
def _kernel_is_right(device: Any, dtype: Any) -> bool:
    try:
        found = difference(device, dtype)
    except Exception as fault:  # a compiler, a driver or a device that Triton does not get along with
        return give_up(str(fault))
    return found <= 2e-2 or give_up(f"the attention kernel is off by {found:.2g}")


def give_up(reason: str) -> bool:
    """False, after a warning that completions are written without fused kernels."""
    line = (reason.strip().splitlines() or ["no reason given"])[0][:200]
    warnings.warn(f"completions are written without fused kernels: {line}", stacklevel=2)
    return False


def difference(device: torch.device, dtype: torch.dtype, size: int = 16) -> float:
    """The largest difference between the kernel's attention and the plain one, of values of about 1, in heads of this size."""
    import torch

    lengths, slots, heads = (70, 5, 33), 2, 6
    draw = torch.Generator().manual_seed(0)

    def states(count: int, tokens: int) -> torch.Tensor:
        return torch.randn(count, heads, tokens, size, generator=draw).to(device, dtype)

    pieces = [Piece([0] * 40, 0, 0, None)]
    pieces += [Piece([0] * n, 40 * (p < 2), 0 if p < 2 else None, p) for p, n in enumerate(lengths)]
    read = [states(1, sum(piece.length for piece in pieces)) for _ in range(3)]
    steps = [[states(len(lengths) * slots, 1) for _ in range(3)] for _ in range(2)]
    found = []
    for fused in (False, True):
        memory = KVCache(max(lengths), pieces[1:], device, static=True, fused=fused)
        memory.reading = pieces
        memory.attend(0, read[0], read[1][:, :2], read[2][:, :2], 0.25, 0.0, None)
        memory.start(list(range(len(lengths))), slots)
        outs = []
        for query, key, value in steps:
            memory.advance()
            outs.append(memory.attend_next(0, query, key[:, :2], value[:, :2], 0.25))
        found.append(torch.stack(outs).float())
    return (found[0] - found[1]).abs().max().item()
