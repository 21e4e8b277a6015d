"""The order in which GRPO goes through its rows: TRL's own, restored when a run is resumed in a later pass."""

from __future__ import annotations

from typing import Any


def make_callback() -> Any:
    """A transformers callback that moves TRL's sampler to the pass that begins.

    `RepeatSampler` draws the order of each pass from one generator that continues from pass to pass. A resumed run
    starts with a fresh generator, and would otherwise go through the rows of a later pass in the order of the first.
    """
    from transformers import TrainerCallback

    class FindOrder(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
            sampler = find_sampler(train_dataloader)
            if getattr(sampler, "shuffle", False):
                forward(sampler, int(state.epoch or 0))

    return FindOrder()


def find_sampler(loader: Any) -> Any:
    """The sampler of rows under whatever wraps it: skipped batches, the shares of several processes."""
    batches = getattr(loader, "batch_sampler", None)
    while (inner := getattr(batches, "batch_sampler", None)) is not None:
        batches = inner
    return getattr(batches, "sampler", None)


def forward(sampler: Any, passes: int) -> None:
    """Make the sampler's next order that of the pass after this many."""
    import torch

    sampler.generator.manual_seed(sampler.seed)
    for _ in range(passes):
        torch.randperm(sampler.num_samples, generator=sampler.generator)
