"""How the next token is drawn from the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# A vocabulary whose probabilities are summed up by blocks, and the tokens of a block.
LEAST_BLOCKED, BLOCK = 8192, 64


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn from the logits; the order is that of `transformers`' `generate`."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    min_p: float = 0.0

    def __post_init__(self):
        problems = []
        if not self.temperature >= 0:
            problems.append(f"temperature: {self.temperature} is below 0; give 0 for greedy decoding or more")
        if not 0 < self.top_p <= 1:
            problems.append(f"top_p: {self.top_p} is outside (0, 1]; give 1 to keep every token")
        if self.top_k < 0:
            problems.append(f"top_k: {self.top_k} is below 0; give 0 to keep every token")
        if not 0 <= self.min_p <= 1:
            problems.append(f"min_p: {self.min_p} is outside [0, 1]; give 0 to keep every token")
        if not self.repetition_penalty > 0:
            problems.append(f"repetition_penalty: {self.repetition_penalty} is not above 0; give 1 for none")
        if problems:
            from rewards.errors import UserError

            raise UserError(problems)

    @property
    def keeps_distribution(self) -> bool:
        """Whether tokens are drawn from the model's own distribution at the temperature, nothing filtered."""
        return self.repetition_penalty == 1.0 and self.top_p == 1.0 and self.top_k == 0 and self.min_p == 0.0


def exact_device(device: Any) -> Any:
    """Where the random numbers of a device are kept and summed up in float64: Apple's mps has none, there the processor."""
    return "cpu" if device.type == "mps" else device


def draw(logits, sampling: Sampling, seen=None, uniform=None, entropies: bool = False, room=None):
    """The next token of each row of float32 `logits`, its log-probability and, where asked for, the entropy.

    `seen` marks the tokens that the repetition penalty counts; `uniform` holds one number in [0, 1) a row: without it
    the choice is greedy and the rest None. The entropy is that of the logits at the temperature, before any filter.
    The probabilities of all tokens are written to `room` where it is given.
    """
    import torch

    raw = logits
    if sampling.repetition_penalty != 1.0:
        penalty = sampling.repetition_penalty
        logits = torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
    if uniform is None:
        return logits.argmax(-1), None, None
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, order = logits.sort(descending=False, dim=-1)
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        drop[:, -1] = False
        logits = logits.masked_fill(torch.zeros_like(drop).scatter_(1, order, drop), -torch.inf)
    if sampling.min_p > 0.0:
        shares = logits.softmax(-1)
        logits = logits.masked_fill(shares < sampling.min_p * shares.amax(-1, keepdim=True), -torch.inf)
    scores = logits.log_softmax(-1)
    chances = torch.exp(scores, out=room)
    spreads = None
    if entropies and sampling.keeps_distribution:
        # A token of probability 0 has no part in it, however low its logit is.
        spreads = -torch.linalg.vecdot(chances, scores.clamp(min=-1e4))
    elif entropies:
        spreads = torch.special.entr((raw / sampling.temperature).softmax(-1)).sum(-1)
    tokens = pick(chances, uniform)
    return tokens[:, 0], scores.gather(1, tokens)[:, 0], spreads


def pick(chances, uniform):
    """The first token of each row at which the sum of `chances` (rows, tokens) is above `uniform` times their total, (rows, 1).

    Sums are float64. Those of a large vocabulary are taken by blocks, then within the block that is met: to run through all
    of it takes longer than to make the chances.
    """
    import torch

    device, wide = exact_device(chances.device), chances.shape[-1] >= LEAST_BLOCKED
    parts = chances.to(device)
    if wide:
        parts = torch.nn.functional.pad(parts, (0, -parts.shape[-1] % BLOCK)).unflatten(-1, (-1, BLOCK))
        sums = parts.sum(-1, dtype=torch.float64).cumsum(-1)
    else:
        sums = parts.cumsum(-1, dtype=torch.float64)
    # A float64 below 1 times the total is below the total: a token of probability 0 at the end is never chosen.
    wanted = uniform[:, None] * sums[:, -1:]
    found = torch.searchsorted(sums, wanted, right=True)
    if wide:
        before = torch.where(found > 0, sums.gather(1, (found - 1).clamp(min=0)), 0.0)
        inner = parts.gather(1, found[..., None].expand(-1, -1, BLOCK))[:, 0].cumsum(-1, dtype=torch.float64) + before
        # Where the two sums round apart, the last token of the block that has any probability.
        last = torch.searchsorted(inner, inner[:, -1:].contiguous())
        found = found * BLOCK + torch.minimum(torch.searchsorted(inner, wanted, right=True), last)
    return found.to(chances.device)
