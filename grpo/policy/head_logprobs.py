"""Log-probabilities straight from the last hidden states: the head runs in chunks of tokens, no logits are kept.

A loss of GRPO weighs each token's log-probability by one number. The gradient of that log-probability by its hidden
state, h numbers, is known in the forward already: it is kept in place of V logits, and the backward multiplies it by the
number. So a frozen head costs the products it always did. A trained head runs once more in the backward, since its own
gradient sums over tokens what only the backward knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from grpo.policy.chunk_sizes import CHUNK_LOGITS, CHUNK_LOGITS_CPU, LEAST_LOGITS
from grpo.policy.packed_products import has_onednn, multiply
from grpo.policy.token_logprobs import tempered

if TYPE_CHECKING:
    import torch

# Of a block of a frozen head: logits (8 MiB, so that caches hold them), words at least, tokens at most.
BLOCK_LOGITS, LEAST_WORDS, MOST_ROWS = 1 << 21, 1024, 8192
PROBED: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()  # whether a model's logits are its head's, of hidden states


def is_worth_it(tokens: int, vocabulary: int) -> bool:
    """Whether the logits of so many tokens are too many to be kept."""
    return tokens * vocabulary > LEAST_LOGITS


def has_plain_head(model: Any) -> bool:
    """Whether the logits are what the head makes of hidden states and nothing else, scaled at most; asked once a model.

    A cap on the logits, a head that is sharded over processes or has a dropout of its own are not.
    """
    import torch

    head = model.get_output_embeddings()
    if head is None or any(
        hasattr(weight, "full_tensor") or hasattr(weight, "ds_id") or weight.is_meta or not weight.numel()
        for weight in head.parameters()
    ):
        return False
    if any(isinstance(module, torch.nn.Dropout) and module.p > 0 for module in head.modules()):
        return False
    if model not in PROBED:
        ids = torch.arange(8, device=model.get_input_embeddings().weight.device)[None] % model.config.vocab_size
        training = [module for module in model.modules() if module.training]
        model.eval()
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
            with without_head(model):
                states = model(input_ids=ids, use_cache=False).logits
            wide = states.shape[-1] != logits.shape[-1]
            found = run_head(head, states[0]) if wide else states[0]
        for module in training:
            module.training = True
        scale = logits.float().abs().max().clamp(min=1.0)
        close = 1e-5 if logits.dtype == torch.float32 else 2e-2
        PROBED[model] = wide and bool(((found - logits[0]).float().abs().max() <= close * scale).item())
    return PROBED[model]


@contextmanager
def without_head(model: Any) -> Iterator[Any]:
    """Inside, the model's logits are the hidden states that its head would have been given."""
    head = model.get_output_embeddings()
    own = vars(head).get("forward")
    head.forward = lambda states, *_, **__: states
    try:
        yield head
    finally:
        del head.forward
        if own is not None:
            head.forward = own


def head_logps(
    head: Any,
    states: torch.Tensor,
    ids: torch.Tensor,
    temperature: float = 1.0,
    compute_entropy: bool = False,
    differentiable_entropy: bool = False,
):
    """What `token_logps` gives for the logits that `head` makes of `states` (tokens, size); float32."""
    trained = [weight for weight in head.parameters() if weight.requires_grad]
    bonus = compute_entropy and differentiable_entropy
    if not trained and not bonus and is_frozen_matrix(head, states):
        logps, entropies = _frozen_head_logps().apply(states, head, ids, temperature, compute_entropy)
        return logps, entropies if compute_entropy else None
    logps, entropies = _head_logps().apply(states, head, ids, temperature, compute_entropy, bonus, *trained)
    return logps, entropies if compute_entropy else None


def is_frozen_matrix(head: Any, states: torch.Tensor) -> bool:
    """Whether a head without trained weights is one float32 matrix on a processor, and nothing listens to it."""
    import torch

    if type(head) is not torch.nn.Linear or "forward" in vars(head) or head._forward_hooks or head._forward_pre_hooks:
        return False
    return states.device.type == "cpu" and head.weight.dtype == states.dtype == torch.float32


def run_head(head: Any, states: torch.Tensor) -> torch.Tensor:
    """Logits of hidden states, which accelerate may have taken to float32 on their way out of the model."""
    weight: Any = getattr(head, "weight", None)
    floats = weight is not None and weight.is_floating_point()
    return head(states.to(weight.dtype) if floats else states)


def chunks(count: int, vocabulary: int, device: torch.device) -> list[slice]:
    """Slices of `count` positions, each small enough that its logits fit the memory set aside for them."""
    step = max(1, (CHUNK_LOGITS_CPU if device.type == "cpu" else CHUNK_LOGITS) // vocabulary)
    return [slice(start, start + step) for start in range(0, count, step)]


@cache
def _head_logps():
    import torch

    def slopes(logs, ids, temperature, entropies=None):
        """Of the log-probabilities by the logits, and of the entropies where those are given; writes over `logs`."""
        of_entropy = None
        if entropies is not None:
            of_entropy = (logs + entropies[:, None]).mul_(logs.exp()).mul_(-1 / temperature)
        of_logps = logs.exp_().mul_(-1 / temperature)
        return of_logps.scatter_add_(1, ids[:, None], of_logps.new_full((len(ids), 1), 1 / temperature)), of_entropy

    class HeadLogps(torch.autograd.Function):
        @staticmethod
        def forward(ctx, states, head, ids, temperature, compute_entropy, bonus, *trained):
            wanted = ctx.needs_input_grad[0]
            keeps = wanted and not trained
            total = torch.empty(len(ids), dtype=torch.float32, device=states.device)
            logps, entropies = torch.empty_like(total), torch.empty_like(total)
            pulls: Any = torch.empty_like(states) if keeps else None
            spreads: Any = torch.empty_like(states) if keeps and bonus else None
            for part in chunks(len(ids), head_size(head), states.device):
                with torch.set_grad_enabled(keeps):
                    given = states[part].detach().requires_grad_(keeps)
                    logits = run_head(head, given)
                scaled = tempered(logits.detach(), temperature)
                total[part] = scaled.logsumexp(-1)
                logps[part] = scaled.gather(1, ids[part, None])[:, 0] - total[part]
                logs = scaled - total[part, None]
                if compute_entropy:
                    entropies[part] = total[part] - logs.exp().mul_(scaled).sum(-1)
                del scaled
                if keeps:
                    of_logps, of_entropy = slopes(logs, ids[part], temperature, entropies[part] if bonus else None)
                    (pulls[part],) = torch.autograd.grad(logits, given, of_logps.to(logits.dtype), retain_graph=bonus)
                    if of_entropy is not None:
                        (spreads[part],) = torch.autograd.grad(logits, given, of_entropy.to(logits.dtype))
            ctx.head, ctx.temperature, ctx.bonus, ctx.kept = head, temperature, bonus, keeps
            if keeps:
                ctx.save_for_backward(pulls, *((spreads,) if bonus else ()))
            elif wanted or trained:
                ctx.save_for_backward(states, ids, total, entropies, *trained)
            if not bonus:
                ctx.mark_non_differentiable(entropies)
            return logps, entropies

        @staticmethod
        def backward(ctx, gradient, entropy_gradient):
            if ctx.kept:
                pulls, *spreads = ctx.saved_tensors
                found = pulls * gradient[:, None].to(pulls.dtype)
                if ctx.bonus:
                    found += spreads[0] * entropy_gradient[:, None].to(pulls.dtype)
                return found, None, None, None, None, None
            states, ids, total, entropies, *trained = ctx.saved_tensors
            pulls, sums = torch.empty_like(states), [torch.zeros_like(weight) for weight in trained]
            for part in chunks(len(ids), head_size(ctx.head), states.device):
                with torch.enable_grad():
                    given = states[part].detach().requires_grad_()
                    logits = run_head(ctx.head, given)
                logs = tempered(logits.detach(), ctx.temperature) - total[part, None]
                slope, of_entropy = slopes(logs, ids[part], ctx.temperature, entropies[part] if ctx.bonus else None)
                slope.mul_(gradient[part, None])
                if of_entropy is not None:
                    slope += of_entropy.mul_(entropy_gradient[part, None])
                pulls[part], *found = torch.autograd.grad(logits, [given, *trained], slope.to(logits.dtype))
                for summed, each in zip(sums, found, strict=True):
                    summed += each
            return pulls, None, None, None, None, None, *sums

    return HeadLogps


@cache
def _frozen_head_logps():
    import torch

    class FrozenHeadLogps(torch.autograd.Function):
        """`HeadLogps` of a frozen float32 matrix W: the pull on a state is (W[id] - softmax @ W) / temperature.

        The vocabulary is gone through block by block, so that each weight is read by all tokens at once; what is summed
        up, over a maximum that grows, are numerators of the softmax, so no probabilities are made.
        """

        @staticmethod
        def forward(ctx, states, head, ids, temperature, compute_entropy):
            weight, wanted = head.weight.detach(), ctx.needs_input_grad[0]
            logps = torch.empty(len(ids), dtype=torch.float32)
            entropies = torch.empty_like(logps)
            pulls: Any = torch.empty_like(states) if wanted else None
            for part in (slice(start, start + MOST_ROWS) for start in range(0, len(ids), MOST_ROWS)):
                found = read_vocabulary(
                    states[part], weight, head.bias, ids[part], temperature, compute_entropy, wanted
                )
                logps[part] = found[0]
                if compute_entropy:
                    entropies[part] = found[1]
                if wanted:
                    pulls[part] = found[2]
            if wanted:
                ctx.save_for_backward(pulls)
            ctx.mark_non_differentiable(entropies)
            return logps, entropies

        @staticmethod
        def backward(ctx, gradient, _):
            (pulls,) = ctx.saved_tensors
            return pulls * gradient[:, None], None, None, None, None

    return FrozenHeadLogps


def read_vocabulary(states, weight, bias, ids, temperature: float, compute_entropy: bool, wanted: bool):
    """Log-probability of each of `ids`, entropy and the gradient of the former by its state; the last two where asked for."""
    import torch

    tokens, step = len(ids), max(LEAST_WORDS, BLOCK_LOGITS // len(ids))
    rooms = [states.new_empty(tokens, min(step, len(weight))) for _ in range(1 + compute_entropy)]
    highest = states.new_full((tokens,), -1e30)
    total, moment, chosen = states.new_zeros(3, tokens).unbind()
    pull = torch.zeros_like(states) if wanted else None
    for start in range(0, len(weight), step):
        words = weight[start : start + step]
        room, *second = (each if len(words) == each.shape[1] else each[:, : len(words)] for each in rooms)
        logits = torch.mm(states, words.t(), out=room)
        if bias is not None:
            logits += bias[start : start + step]
        if temperature != 1.0:
            logits /= temperature
        before, highest = highest, torch.maximum(highest, logits.amax(-1))
        here = ((ids >= start) & (ids < start + len(words))).nonzero()[:, 0]
        chosen[here] = logits[here, ids[here] - start]
        logits -= highest[:, None]
        shares = logits.exp_() if not compute_entropy else torch.exp(logits, out=second[0])
        down = before - highest
        shrunk = down.exp()
        if compute_entropy:
            moment = shrunk * (moment + down * total) + torch.linalg.vecdot(shares, logits.clamp_(min=-1e4))
        total = shrunk * total + shares.sum(-1)
        if pull is not None:
            pull.mul_(shrunk[:, None])
            # A gradient bears oneDNN's rounding, as the blocks' do (see `merged_blocks`).
            pull = pull.add_(multiply(shares, words.t())) if has_onednn() else pull.addmm_(shares, words)
    log_total = total.log()
    logps = chosen - highest - log_total
    entropies = log_total - moment / total if compute_entropy else None
    if pull is not None:
        pull = pull.div_(-total[:, None]).add_(weight[ids])
        pull = pull if temperature == 1.0 else pull / temperature
    return logps, entropies, pull


def head_size(head: Any) -> int:
    """How many logits a head makes of one state."""
    return getattr(head, "out_features", None) or head.weight.shape[0]
