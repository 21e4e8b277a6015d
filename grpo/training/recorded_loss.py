"""When the loss may take what generation has computed already (see `policy.recording`), and what it takes for a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grpo.machine.device import find_processor
from grpo.policy.recording import Recording, begin_recording
from grpo.policy.shared_prefix import unwrap

if TYPE_CHECKING:
    import torch

# Of a processor's memory; a loss in one pass keeps as much by itself, so there it may be any size.
SHARE = 1 / 8


def begin_for_loss(trainer: Any, prompt_ids: Sequence[Sequence[int]], samples: int) -> Recording | None:
    """A recording of the batch that is about to be written, where its loss is over the same weights and one pass.

    That is: every completion is learnt once, before the weights move, with a loss that asks for no value of a log-probability
    but through ratios, which are 1 then: no reference, no bonus of entropy.
    """
    arguments = trainer.args
    moves = trainer.num_iterations > 1 or arguments.gradient_accumulation_steps % arguments.steps_per_generation
    if not trainer.model.training or not trainer._skips or moves or trainer.is_deepspeed_enabled:
        return None
    if arguments.dynamic_sampling or arguments.speculation:
        return None
    keeps = arguments.repetition_penalty == 1.0 and arguments.top_p == 1.0 and not arguments.top_k
    memory = find_processor().memory_bytes
    return begin_recording(
        unwrap(trainer.model), prompt_ids, samples, trainer.max_completion_length, arguments.temperature,
        measures=keeps and not arguments.min_p,
        most_bytes=None if arguments.gradient_accumulation_steps == 1 or memory is None else int(SHARE * memory),
    )  # fmt: skip


def find_recorded(recording: Recording | None, batch: dict, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """What `grouped_logps` is to take from the recording for a micro-batch; nothing where it is of other completions."""
    if recording is None or "numbers" not in batch:
        return {}
    numbers = batch["numbers"].tolist()
    rows = [row[:count] for row, count in zip(ids.tolist(), mask.sum(1).tolist(), strict=True)]
    return {"recording": recording, "numbers": numbers} if recording.has(rows, numbers) else {}
