"""The held-out loss of the supervised stage: how surprised the policy is by right answers that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from rewards.statistics.estimates import Estimate, estimate_mean
from sft_warmup.config import SftWarmupSection
from sft_warmup.dataset import IGNORED
from sft_warmup.passes.counted_tokens import Way, find_way, only_counted

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_AT_ONCE = 8192
# Fewer tokens of a large vocabulary: their logits are 128 MiB in float32, and about four copies are held at once.
LOGITS_AT_ONCE = 1 << 25


def measure_loss(
    model: PreTrainedModel, rows: Sequence[Mapping[str, Any]], way: Way | None = None
) -> dict[str, Estimate]:
    """`loss` (nats a token) and `token_accuracy` (share of tokens whose likeliest choice is right) of labelled rows.

    Each row counts once, by the mean over its assistant tokens, so that the interval is one over rows: tokens of an answer
    depend on each other. `model` is left in the mode it was in. `way` is what `find_way` found for it.
    """
    import torch

    order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]))
    losses, accuracies = [0.0] * len(rows), [0.0] * len(rows)
    device = next(model.parameters()).device
    training = model.training
    at_once = min(TOKENS_AT_ONCE, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    model.eval()
    try:
        with torch.no_grad():
            for start, end in pairwise(_cut([len(rows[index]["input_ids"]) for index in order], at_once)):
                batch = order[start:end]
                inputs = {name: value.to(device) for name, value in _pad([rows[index] for index in batch]).items()}
                wanted = inputs["labels"][:, 1:]
                kept = wanted != IGNORED
                with only_counted(model, inputs, way) as asked:
                    labels = asked.pop("labels")[:, 1:]
                    logits = model(**asked, use_cache=False).logits[:, :-1].float()
                logits, labels = logits[labels != IGNORED], labels[labels != IGNORED]
                each, hits = torch.zeros_like(wanted, dtype=logits.dtype), torch.zeros_like(kept)
                each[kept] = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
                hits[kept] = logits.argmax(-1) == labels
                counts = kept.sum(1).clamp(min=1)
                right = hits.sum(1) / counts
                for index, loss, share in zip(batch, (each.sum(1) / counts).tolist(), right.tolist(), strict=True):
                    losses[index], accuracies[index] = loss, share
    finally:
        model.train(training)
    return {"loss": estimate_loss(losses), "token_accuracy": estimate_mean(accuracies)}


def estimate_loss(losses: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of losses, which have no upper bound: Student's, from 0 on; no ends for rows that tell no spread."""
    found = estimate_mean(losses, 0.0, inf)
    if found.low is None or found.high is None or not isfinite(found.high):
        return replace(found, low=None, high=None)
    return replace(found, low=max(0.0, found.low))


def make_callback(
    rows: Sequence[Mapping[str, Any]],
    section: SftWarmupSection,
    on_measured: Callable[[int, dict[str, Estimate]], None],
    half: bool = False,
) -> Any:
    """A transformers callback that measures before the first step, every `section.eval_every` steps, and at the last.

    `half` says that the model's passes compute in half precision.
    """
    from transformers import TrainerCallback

    class MeasureHeldOutLoss(TrainerCallback):
        tried = False
        way: Way | None = None

        def measure(self, model: Any) -> dict[str, Estimate]:
            if not self.tried:
                self.way = find_way(model, _pad(rows[:2]), half=half)
                self.tried = True
            return measure_loss(model, rows, self.way)

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            if state.global_step == 0:  # a stage that is resumed has measured it
                on_measured(0, self.measure(model))

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            every = section.eval_every(state.max_steps)
            if state.global_step % every == 0 or state.global_step == state.max_steps:
                on_measured(state.global_step, self.measure(model))

    return MeasureHeldOutLoss()


def _cut(lengths: Sequence[int], at_once: int) -> list[int]:
    """Where batches of rows in order of length begin and end, each of at most `at_once` tokens with its padding, or one row."""
    cuts, start = [0], 0
    for index, length in enumerate(lengths):
        if index > start and (index + 1 - start) * length > at_once:
            cuts.append(index)
            start = index
    return [*cuts, len(lengths)]


def _pad(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`input_ids`, `labels` and `attention_mask`, padded on the right to one length; what the padding holds is not read."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def pad(values: Sequence[int], filling: int) -> list[int]:
        return [*values, *[filling] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([pad(row["input_ids"], 0) for row in rows]),
        "labels": torch.tensor([pad(row["labels"], IGNORED) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row["input_ids"]), 0) for row in rows]),
    }
