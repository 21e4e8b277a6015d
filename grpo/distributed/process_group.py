"""The processes of one run meet, wait for each other and part.

A run started by `torchrun` or `accelerate launch` has one process a device. All of them go through the same stages;
rows are shared out and the results gathered, so that every process knows every number, and only the first writes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from grpo.distributed.collectives import wait
from grpo.distributed.rank import find_rank
from rewards.errors import RecompensaError

# Longer than a vLLM server takes to load a large model while all other processes wait for the first.
TIMEOUT_SECONDS = 3600
# What gloo says of a connection that another process left.
LOSSES = ("closed by peer", "reset by peer", "Broken pipe", "Timed out waiting", "Connection refused")


class ProcessLost(RecompensaError):
    """Another process of this run ended while this one waited for it."""


def join(device: str) -> None:
    """Meet the other processes: gloo on a CPU, NCCL on CUDA devices, of which each process gets its own."""
    if find_rank().count == 1:
        return
    # torch reads it when it is imported. Each process would warn that DDP searched for unused weights and found none.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from datetime import timedelta

    from accelerate import PartialState

    if device == "cpu":
        # accelerate would number it "cpu:0", a place that torch.load cannot put a checkpoint's optimiser.
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState(cpu=device == "cpu", timeout=timedelta(seconds=TIMEOUT_SECONDS))


def has_joined() -> bool:
    """Whether this process has met others, and not parted from them."""
    if find_rank().count == 1 or "torch" not in sys.modules:
        return False
    import torch.distributed

    return torch.distributed.is_available() and torch.distributed.is_initialized()


@contextmanager
def process_group() -> Iterator[None]:
    """The whole work of a process: at its end it waits for the others and parts from them.

    A launcher ends all processes as soon as one ends with another code than 0, also the first while it still writes.
    After an exception nobody is waited for: the others may never come. ProcessLost is raised in place of what a library
    says when another process is gone.
    """
    try:
        yield
        if has_joined():
            wait()
            leave()
    except RuntimeError as fault:
        loss = find_loss(fault)
        if loss is None:
            raise
        # The launcher has noticed as well and ends all: this process ends by itself, once it has said why.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise ProcessLost(
            f"another process of this run has died ({loss}): its own output or the launcher's says why; the run is kept, "
            "resume with: python -m grpo.run --resume RUN, launched as before"
        ) from fault


def find_loss(fault: RuntimeError) -> str | None:
    """What a fault says of a connection to another process; None where it is about something else."""
    import torch.distributed

    text = str(fault)
    for words in LOSSES:
        if words in text and ("gloo" in text or isinstance(fault, torch.distributed.DistError)):
            return words
    return "NCCL" if isinstance(fault, torch.distributed.DistBackendError) else None


def leave() -> None:
    """Part from the other processes, if there are any."""
    if has_joined():
        import torch.distributed

        torch.distributed.destroy_process_group()
