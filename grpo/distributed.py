"""The processes of one run: which of them this is, what they share out, and what only the first of them does.

A run started by `torchrun` or `accelerate launch` has one process a device. All of them go through the same stages;
rows are shared out and the results gathered, so that every process knows every number, and only the first writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rewards.errors import RecompensaError

T = TypeVar("T")
R = TypeVar("R")

# Longer than a vLLM server takes to load a large model while all other processes wait for the first.
TIMEOUT_SECONDS = 3600


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
    from datetime import timedelta

    from accelerate import PartialState

    if device == "cpu":
        # accelerate would number it "cpu:0", a place that torch.load cannot put a checkpoint's optimiser.
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState(cpu=device == "cpu", timeout=timedelta(seconds=TIMEOUT_SECONDS))


def leave() -> None:
    """Part from the other processes, if there are any."""
    if find_rank().count == 1:
        return
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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

    Without this, the others would wait for the one that failed until they are killed.
    """
    if find_rank().count == 1:
        return function()
    result, fault = None, None
    try:
        result = function()
    except RecompensaError as error:
        fault = error
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
        from torch.distributed.fsdp import FSDPModule

        parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
        # Forward passes outside this block free each layer again; inside they must leave it whole.
        for part in parts:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in parts:
                part.set_reshard_after_forward(part is not model, recurse=False)
                part.reshard()
    else:
        yield


def whole_state(model: Any, trainer: Any) -> dict[str, Any] | None:
    """All weights of a sharded model, gathered in the first process by the accelerator of `trainer`; None for others."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer and is_sharded(model) else None


def _read(name: str, otherwise: int) -> int:
    return int(os.environ.get(name) or otherwise)
