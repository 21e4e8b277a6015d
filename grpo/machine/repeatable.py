"""Sums in one order on the processor: torch adds the gradients of an indexed weight by several threads as they come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def repeatable(device: str) -> Iterator[None]:
    """Within this block the processor computes the same bytes every time, whatever its threads do.

    What is indexed by repeated numbers, such as the bias of an expert by the tokens that chose it, gets its gradient by
    atomic additions otherwise, and a resumed run would differ in the last bit. An accelerator's kernels are left alone.
    """
    import torch

    if device != "cpu":
        yield
        return
    settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = False  # costs time and changes nothing that is read
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        settings.fill_uninitialized_memory = filled
