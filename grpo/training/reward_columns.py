"""Our reward functions one by one, as TRL's GDPO expects them: each normalised within its group before they are summed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rewards.host.scoring import RewardHost


def make_column(trainer: Any, place: int, name: str) -> Callable[..., list[float | None]]:
    """What the function at that place of the host gave each completion, None where it did not apply or failed.

    The first column scores the batch for all of them: TRL calls them in order.
    """

    def read_column(completion_ids: list[list[int]], row: list[int], log_metric: Callable, **_: Any):
        if place == 0:
            trainer._judge(completion_ids, row, log_metric)
        return [scored.outcomes[place].value for scored in trainer.now.scored]

    read_column.__name__ = name
    return read_column


def shares_of_weights(host: RewardHost) -> list[float]:
    """The functions' weights as shares of their sum, in the host's order."""
    weights = [entry.weight for entry in host.functions]
    return [weight / sum(weights) for weight in weights]
