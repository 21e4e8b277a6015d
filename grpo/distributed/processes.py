"""The processes of one run: which of them this is, what they share out, and what only the first of them does.

A run started by `torchrun` or `accelerate launch` has one process a device. All of them go through the same stages;
rows are shared out and the results gathered, so that every process knows every number, and only the first writes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from rewards.errors import RecompensaError, UserError

T = TypeVar("T")
R = TypeVar("R")

# Longer than a vLLM server takes to load a large model while all other processes wait for the first.
TIMEOUT_SECONDS = 3600
# How long each further process of a machine waits for the one before it to say what is wrong.
PATIENCE_SECONDS = 10.0
# A launcher ends all processes as soon as it notices that one did: the one that speaks gets the time to.
QUIET_SECONDS = 1.5
# What gloo says of a connection that another process left.
LOSSES = ("closed by peer", "reset by peer", "Broken pipe", "Timed out waiting", "Connection refused")

LAUNCHES = {
    "ddp": "whole weights (torchrun, configs/accelerate/ddp.yaml or one process)",
    "fsdp2": "FSDP2 (configs/accelerate/fsdp2.yaml)",
    "zero3": "ZeRO-3 (configs/accelerate/zero3.yaml)",
}


class ProcessLost(RecompensaError):
    """Another process of this run ended while this one waited for it."""


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among `count`; `local` is its index on this machine, `local_count` how many are here."""

    index: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def is_main(self) -> bool:
        return self.index == 0


def find_rank() -> Rank:
    """This process by the environment that `torchrun` and `accelerate launch` set; the only one where they did not."""
    count = _read("WORLD_SIZE", 1)
    return Rank(_read("RANK", 0), count, _read("LOCAL_RANK", 0), _read("LOCAL_WORLD_SIZE", count))


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
def company() -> Iterator[None]:
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
            f"another process of this run is gone ({loss}): its own lines or the launcher's say why; the run is kept, "
            "go on with: python -m grpo.run --resume RUN, launched as before"
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


@contextmanager
def one_voice() -> Iterator[None]:
    """What ends a process inside, such as argparse with the usage, is printed by the first of each machine only."""
    if not find_rank().local:
        yield
        return
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    except SystemExit as end:
        time.sleep(PATIENCE_SECONDS if end.code else 0)
        raise


def may_speak() -> bool:
    """Whether this process is the one to say why all of them end; for the others it returns when that was said."""
    rank = find_rank()
    if not has_joined():
        # The first of a machine most likely fails at the same, and the launcher then ends those who wait here.
        time.sleep(PATIENCE_SECONDS * rank.local)
        return True
    from torch.distributed.distributed_c10d import _get_default_store

    try:
        first = _get_default_store().add("recompensa/spoken", 1) == 1
    except RuntimeError:  # the launcher keeps the store, and may be gone
        first = rank.is_main
    if not first:
        time.sleep(QUIET_SECONDS)
    return first


def wait() -> None:
    """Go on once every process is here."""
    gather(None)


def gather(value: T) -> list[T]:
    """The value of each process, by index, on all of them. Anything that pickles."""
    rank = find_rank()
    if rank.count == 1:
        return [value]
    import torch.distributed

    values: list[Any] = [None] * rank.count
    torch.distributed.all_gather_object(values, value)
    return values


def concatenate(part: Sequence[T]) -> list[T]:
    """The parts of all processes end to end, by index, on all of them."""
    return [item for each in gather(list(part)) for item in each]


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return any(gather(bool(flag)))


def together(function: Callable[[], R]) -> R:
    """Call `function` in every process; what RecompensaError it raises in one of them is raised in all.

    Without this, the others would wait for the one that failed until they are killed. Of another exception they are
    told its name and its text.
    """
    rank = find_rank()
    if rank.count == 1:
        return function()
    result, fault = None, None
    try:
        result = function()
    except RecompensaError as error:
        fault = error
    except Exception as error:
        gather(RecompensaError(f"process {rank.index} failed: {type(error).__name__}: {error}"))
        raise
    faults = [each for each in gather(fault) if each is not None]
    if faults:
        raise fault or faults[0]
    return result


def on_main(function: Callable[[], R]) -> R:
    """Call `function` in the first process only; all get what it returned or the RecompensaError it raised."""
    return gather(together(lambda: function() if find_rank().is_main else None))[0]


def share_out(function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
    """`function` of all items, in order, each process having worked on its share of them."""
    rank = find_rank()
    if rank.count == 1:
        return list(function(items))
    parts = gather(list(together(lambda: function(items[rank.index :: rank.count]))))
    results: list[Any] = [None] * len(items)
    for index, part in enumerate(parts):
        results[index :: rank.count] = part
    return results


class Silent:
    """Stands where only the first process has something that writes: takes every call and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class SharedHost:
    """A reward host whose completions are scored by all processes, each its share."""

    def __init__(self, host: Any):
        self._host = host
        self.to_record = host.to_record

    def score(self, pairs: Sequence[Any]) -> list[Any]:
        return share_out(self._host.score, pairs)


def take_signals(interruption: Any) -> None:
    """Inside the block of `interruption`, let a signal that comes again ask for nothing more where there are others.

    SLURM signals the launcher and its processes, and the launcher passes on what it got: one stop arrives twice. What
    takes too long is killed by the launcher.
    """
    if find_rank().count == 1:
        return

    def ask(*_: object) -> None:
        interruption.requested = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)


def make_agreement(interruption: Any) -> Any:
    """A transformers callback after which every process knows of a stop that any was asked for.

    It must come before the callback that acts on it: processes that stop at different steps wait for each other.
    """
    from transformers import TrainerCallback

    class Agree(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            interruption.requested = any_of(interruption.requested)

    return Agree()


# -- weights that are spread over the processes ------------------------------------------------------------------------


def is_sharded(model: Any) -> str | None:
    """ "FSDP2" or "ZeRO-3" where each process holds a part of the weights only, else None."""
    for parameter in model.parameters():
        if hasattr(parameter, "ds_id"):
            return "ZeRO-3"
        if hasattr(parameter, "full_tensor"):
            return "FSDP2"
    return None


@contextmanager
def whole_weights(model: Any, trainer: Any) -> Iterator[None]:
    """Every process holds all weights inside the block, so that each may call the model as often as it likes.

    Sharded weights are otherwise fetched in every forward pass by all processes in step, and completions of different
    lengths would leave one waiting for the others for ever. Weights must not be changed inside. `trainer` is the one
    that sharded them; None where there is none yet.
    """
    kind = is_sharded(model)
    if kind == "ZeRO-3":
        from trl.models.utils import unwrap_model_for_generation

        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator):
            yield
    elif kind == "FSDP2":
        import torch
        from torch.distributed.fsdp import FSDPModule

        parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
        if hasattr(model, "get_base_model"):
            # Generation calls the model inside the adapters' wrapper, but FSDP2 learns what its root is from the first
            # call, for good.
            with torch.no_grad():
                model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device), use_cache=False)
        reshards = trainer is None or bool(trainer.accelerator.state.fsdp_plugin.reshard_after_forward)
        # Forward passes outside this block free each layer again; inside they must leave it whole.
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in parts:
                part.set_reshard_after_forward(reshards and part is not model, recurse=False)
                part.reshard()
    else:
        yield


def whole_state(model: Any, trainer: Any) -> dict[str, Any] | None:
    """All weights of a sharded model, gathered in the first process by the accelerator of `trainer`; None for others."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer and is_sharded(model) else None


def check_checkpoint(checkpoint: Path, trainer: Any) -> str | None:
    """A line where `checkpoint` was saved by another number of processes; `UserError` where `trainer` cannot read it."""
    count, saved = find_rank().count, find_launch(checkpoint)
    states = len(list(checkpoint.glob("rng_state_*.pth"))) or 1
    launched = "zero3" if trainer.is_deepspeed_enabled else "fsdp2" if trainer.is_fsdp_enabled else "ddp"
    if saved != launched:
        raise UserError(
            f"--resume: {checkpoint} was saved by a launch with {LAUNCHES[saved]}, this is one with "
            f"{LAUNCHES[launched]}, which cannot read it; launch it as it was"
        )
    if states == count:
        return None
    if saved == "zero3":
        raise UserError(
            f"--resume: {checkpoint} was saved by {states} processes, and DeepSpeed cuts its optimiser up for just as "
            f"many; launch {states}, not {count}"
        )
    return (
        f"resumed by {count} processes where {states} saved {checkpoint.name}: from here on numbers agree to rounding "
        f"only with those that {states} would have given"
    )


def find_launch(checkpoint: Path) -> str:
    """Which of LAUNCHES saved a checkpoint, by the files that only its library writes."""
    if (checkpoint / "latest").is_file():
        return "zero3"
    return "fsdp2" if any(checkpoint.glob("pytorch_model_fsdp*")) else "ddp"


def _read(name: str, otherwise: int) -> int:
    return int(os.environ.get(name) or otherwise)
