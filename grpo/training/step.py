"""One generation batch on its way through TRL's methods: what each method leaves for the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpo.training.dynamic_sampling import Rollouts
from rewards.host.verdicts import ScoredCompletion

if TYPE_CHECKING:
    import torch

    from grpo.policy.recording import Recording


@dataclass
class Step:
    """What was written and scored, and how far TRL has come with it; a fresh one for every generation batch.

    `seconds` is the wall-clock time of the parts since somebody last cleared it: generation, scoring, loss (with
    backward). It goes from one batch to the next.
    """

    scored: list[ScoredCompletion] = field(default_factory=list)
    rollouts: Rollouts | None = None
    is_drawn: bool = False  # whether they were written and scored before TRL asks for them
    defers_logps: bool = False  # whether log-probabilities wait until the advantages are known
    micro_batch: dict[str, Any] = field(default_factory=dict)  # that of the present loss, else empty
    recording: Recording | None = None  # what generation computed of the loss, until that is done
    watched: torch.Tensor | None = None  # entropies of a pass that TRL asks no entropies of
    loss_start: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def following(self) -> Step:
        """The step of the next batch."""
        return Step(seconds=self.seconds)

    def take_entropies(self, like: torch.Tensor) -> torch.Tensor | None:
        """The policy's entropy (nats) at each token of `like` (B, T), 0 in padding; None if nothing has measured it."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        measured, self.watched = self.watched, None
        if self.rollouts is not None and self.rollouts.entropies is not None:
            rows = pad_sequence([torch.tensor(row) for row in self.rollouts.entropies], batch_first=True)
            # TRL may pad further, to a multiple.
            measured = torch.nn.functional.pad(rows.to(like.device), (0, like.size(1) - rows.size(1)))
        return measured

    def log_rewards(self, log: Any) -> None:
        """Hand `log(name, value)` every reward by its task and every value by its function, one by one.

        TRL weighs processes by how often each logs, not by how many rows a mean stands for.
        """
        values: Mapping[str, list[float | None]] = defaultdict(list)
        for scored in self.scored:
            values[f"reward_by_task/{scored.example.task}"].append(scored.reward)
            for outcome in scored.outcomes:
                values[f"reward/{outcome.function}"].append(outcome.value)
        for name, rewards in values.items():
            for reward in rewards:
                if reward is not None:
                    log(name, reward)
