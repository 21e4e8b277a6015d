"""Packing: the conversations of a batch laid end to end in one row without padding, none of which sees another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rewards.errors import UserError
from sft_warmup.dataset import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = 2e-3
"""How far a packed row's log-probabilities may lie from those of its conversations alone, in nats, in float32."""


def pack(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of all of them: `input_ids`, `labels` and `position_ids`, each (1, tokens); no cache, with which transformers
    would look for no ends.

    The positions start over with each conversation; without an attention mask transformers reads from them where one ends.
    The first token of a conversation is nobody's prediction.
    """
    import torch

    ids = [token for row in rows for token in row["input_ids"]]
    labels = [label for row in rows for label in (IGNORED, *row["labels"][1:])]
    places = [place for row in rows for place in range(len(row["input_ids"]))]
    return {
        "input_ids": torch.tensor([ids]), "labels": torch.tensor([labels]), "position_ids": torch.tensor([places]),
        "use_cache": False,
    }  # fmt: skip


def check_packing(model: PreTrainedModel, rows: Sequence[Mapping[str, Any]]) -> None:
    """Check with two of the rows that this model keeps packed conversations apart; raises UserError if it does not."""
    import torch

    first, second = rows[0], rows[min(1, len(rows) - 1)]
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            packed = pack([first, second])
            del packed["labels"]
            moved = {key: value.to(device) if key != "use_cache" else value for key, value in packed.items()}
            together = model(**moved).logits.float()
            alone = [
                model(input_ids=torch.tensor([row["input_ids"]], device=device), use_cache=False).logits.float()
                for row in (first, second)
            ]
    finally:
        model.train(training)
    far = (together - torch.cat(alone, dim=1)).abs().max().item()
    loose = 50 if next(model.parameters()).dtype != torch.float32 else 1
    if not far <= TOLERANCE * loose:
        raise UserError(
            f"sft_warmup.packing: this model lets packed conversations see each other (logits differ by {far:.3g}); set "
            "packing: false"
        )
