"""Decoding on a CUDA device in few kernels: compiled parts of a block, and attention that Triton compiles."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any


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
        from grpo.generation.attention_kernel import difference

        found = difference(device, dtype)
    except Exception as fault:  # a compiler, a driver or a device that Triton does not get along with
        return give_up(str(fault))
    return found <= 2e-2 or give_up(f"the attention kernel is off by {found:.2g}")


def give_up(reason: str) -> bool:
    """False, after a warning that completions are written without fused kernels."""
    line = (reason.strip().splitlines() or ["no reason given"])[0][:200]
    warnings.warn(f"completions are written without fused kernels: {line}", stacklevel=2)
    return False
