"""Log-probabilities of given tokens under logits that may fill most of the memory."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CHUNK_ELEMENTS = 1 << 22  # logits that are taken to float32 at once, 16 MiB


def token_logps(
    logits: torch.Tensor,
    ids: torch.Tensor,
    temperature: float = 1.0,
    compute_entropy: bool = False,
    differentiable_entropy: bool = False,
):
    """Log-probability of each of `ids` (tokens,) under `logits` (tokens, vocabulary), and the entropies or None.

    Float32 whatever the logits are. The backward writes its gradient over the logits, which nobody may need then.
    """
    logps, entropies = _token_logps().apply(logits, ids, temperature, compute_entropy, differentiable_entropy)
    return logps, entropies if compute_entropy else None


@cache
def _token_logps():
    import torch

    class TokenLogps(torch.autograd.Function):
        """Gather minus log-sum-exp; a plain softmax would keep three arrays of the size of the logits."""

        @staticmethod
        def forward(ctx, logits, ids, temperature, compute_entropy, differentiable_entropy):
            total = torch.empty(len(ids), dtype=torch.float32, device=logits.device)
            logps, entropies = torch.empty_like(total), torch.empty_like(total)
            for part in parts(logits):
                scaled = tempered(logits[part], temperature)
                total[part] = scaled.logsumexp(-1)
                logps[part] = scaled.gather(1, ids[part, None])[:, 0] - total[part]
                if compute_entropy:
                    share = (scaled - total[part, None]).exp_()
                    entropies[part] = total[part] - share.mul_(scaled).sum(-1)
            ctx.bonus = compute_entropy and differentiable_entropy
            ctx.save_for_backward(logits, ids, total, *((entropies,) if ctx.bonus else ()))
            ctx.temperature, ctx.spent = temperature, False
            if not ctx.bonus:
                ctx.mark_non_differentiable(entropies)
            return logps, entropies

        @staticmethod
        def backward(ctx, gradient, entropy_gradient):
            if ctx.spent:
                raise RuntimeError("the logits of these log-probabilities are spent; run the forward again")
            ctx.spent = True
            logits, ids, total, *entropies = ctx.saved_tensors
            for part in parts(logits):
                slope = gradient[part, None] / ctx.temperature
                logs = tempered(logits[part], ctx.temperature) - total[part, None]
                if ctx.bonus:
                    # dH / dz = -p (log p + H), and d logp / dz = one - p.
                    pull = (logs + entropies[0][part, None]).mul_(entropy_gradient[part, None] / ctx.temperature)
                    share = logs.exp_().mul_(-(pull + slope))
                else:
                    share = logs.exp_().mul_(-slope)
                logits[part] = share.scatter_add_(1, ids[part, None], slope)
            return logits, None, None, None, None

    return TokenLogps


def tempered(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Float32 logits over the temperature; the same array where nothing has to change."""
    return logits.float() if temperature == 1.0 else logits.float() / temperature


def parts(logits: torch.Tensor) -> list[slice]:
    """Slices of rows that are small enough to be taken to float32."""
    step = max(1, CHUNK_ELEMENTS // logits.shape[-1])
    return [slice(start, start + step) for start in range(0, len(logits), step)]
