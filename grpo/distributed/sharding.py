"""Weights that are spread over the processes, and the checkpoints of such runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from grpo.distributed.rank import find_rank
from rewards.errors import UserError

LAUNCHES = {
    "ddp": "whole weights (torchrun, configs/accelerate/ddp.yaml or one process)",
    "fsdp2": "FSDP2 (configs/accelerate/fsdp2.yaml)",
    "zero3": "ZeRO-3 (configs/accelerate/zero3.yaml)",
}


def is_sharded(model: Any) -> str | None:
    """ "FSDP2" or "ZeRO-3" where each process holds a part of the weights only, else None."""
    for parameter in model.parameters():
        if hasattr(parameter, "ds_id"):
            return "ZeRO-3"
        if hasattr(parameter, "full_tensor"):
            return "FSDP2"
    return None


@contextmanager
def whole_weights(
    model: Any, trainer: Any, gather_zero3: Callable[[Any], AbstractContextManager[Any]] | None = None
) -> Iterator[None]:
    """Every process holds all weights inside the block, so that each may call the model as often as it likes.

    Sharded weights are otherwise fetched in every forward pass by all processes in step, and completions of different
    lengths would leave one waiting for the others for ever. Weights must not be changed inside. `trainer` is the one
    that sharded them; None where there is none yet. `gather_zero3` is what collects the weights that its DeepSpeed spread.
    """
    kind = is_sharded(model)
    if kind == "ZeRO-3" and gather_zero3 is not None:
        with gather_zero3(trainer):
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
