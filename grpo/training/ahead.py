"""The next batch on its way while this one is learnt: its prompts, who writes it, and how a checkpoint keeps it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from grpo.training.dynamic_sampling import Rollouts

if TYPE_CHECKING:
    from torch.utils.data import Sampler

FILE = "ahead.json"  # in a checkpoint


class AheadWriter(Protocol):
    """A copy of the policy beside the one that is trained."""

    def catch_up(self) -> None:
        """Take the present weights; nothing is being written meanwhile."""

    def write(self, prompt_ids: list[list[int]], step: int) -> Rollouts:
        """A completion for each prompt, with its log-probabilities, by the random numbers of that step; in any thread."""


@dataclass
class Pending:
    """A batch that is being written, or was: for which step and which prompts."""

    step: int
    prompt_ids: list[list[int]]
    rollouts: Rollouts | None = None
    fault: BaseException | None = None
    thread: threading.Thread | None = None

    def finish(self) -> Rollouts:
        """What was written, once it is; raises what writing it raised."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.fault is not None:
            raise self.fault
        assert self.rollouts is not None
        return self.rollouts


class BatchAhead:
    """At most one batch ahead of the step, written with the weights that the step before it began with.

    `step` is the one whose completions are being written at the moment, from which their random numbers follow.
    """

    def __init__(self, writer: AheadWriter):
        self.writer = writer
        self.step = 0
        self._pending: Pending | None = None

    def take(self, prompt_ids: list[list[int]], step: int) -> Rollouts | None:
        """What was written ahead for these prompts of this step, waited for; None where nothing was."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        found = pending.finish()
        return found if (pending.step, pending.prompt_ids) == (step, prompt_ids) else None

    def write(self, prompt_ids: list[list[int]], step: int) -> Rollouts:
        """Write these now, with the present weights."""
        self.step = step
        self.writer.catch_up()
        return self.writer.write(prompt_ids, step)

    def begin(self, prompt_ids: list[list[int]], step: int) -> None:
        """Begin to write these for a later step, with the present weights, and come back at once."""
        self.step = step
        self.writer.catch_up()
        pending = Pending(step, prompt_ids)

        def run() -> None:
            try:
                pending.rollouts = self.writer.write(prompt_ids, step)
            except BaseException as fault:  # it is raised where the batch is asked for
                pending.fault = fault

        # A daemon: a process that ends early does not wait for a batch that nobody will read.
        pending.thread = threading.Thread(target=run, name="one-step-ahead", daemon=True)
        pending.thread.start()
        self._pending = pending

    def save(self, checkpoint: Path) -> None:
        """Keep what is written ahead: its weights are gone when the run is resumed. Nothing where writing it failed."""
        if self._pending is None:
            return
        try:
            rollouts = self._pending.finish()
        except Exception:  # the step that wants it says why
            return
        kept = {"step": self._pending.step, "prompt_ids": self._pending.prompt_ids, **asdict(rollouts)}
        (checkpoint / FILE).write_text(json.dumps(kept))

    def recall(self, checkpoint: Path) -> None:
        """Go on with what `save` kept; a checkpoint without it begins as a run does."""
        file = checkpoint / FILE
        if file.is_file():
            kept = json.loads(file.read_text())
            step, prompt_ids = kept.pop("step"), kept.pop("prompt_ids")
            self._pending = Pending(step, prompt_ids, Rollouts(**kept))


def batches_of_rows(sampler: Sampler[int], size: int, repeats: int) -> Iterator[list[int]]:
    """The rows of each generation batch of `size`, pass after pass, of a sampler that gives each batch `repeats` times."""
    while True:
        batch: list[int] = []
        for place, row in enumerate(sampler):
            if (place // size) % repeats:
                continue
            batch.append(row)
            if len(batch) == size:
                yield batch
                batch = []


def pad_logprobs(rows: Sequence[Sequence[float]], width: int) -> Any:
    """Log-probabilities as a float32 array (B, width), 0 in the padding."""
    import torch

    out = torch.zeros(len(rows), width)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.tensor(row)
    return out
