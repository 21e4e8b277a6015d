"""The backward of attention over a packed row whose forward was recorded; float32 on a CPU.

PyTorch's kernel needs each query's log-sum-exp, which decoding does not provide. It follows from the weight that a
token gave to itself, one number per head: log-sum-exp = the token's score with itself - log of that weight. Prompts,
which were read with many queries at once, run forward once more.

Axes are those of `shared_prefix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from grpo.policy.shared_prefix import Packed, Rows

# A weight below this is too imprecise: near float32's limit of 1e-38 numbers lose their digits.
LEAST_SHARE = 1e-30


def pull_attention(
    packed: Packed, turned: Sequence[torch.Tensor], out: torch.Tensor, shares: torch.Tensor, gradient: torch.Tensor,
    scaling: float,
) -> list[torch.Tensor]:  # fmt: skip
    """Gradients with respect to `turned` (queries, keys and values), given `gradient`, the one with respect to the
    output `out`.

    All are (tokens, heads, size). `shares` (tokens, heads) are the weights that completion tokens gave to themselves.
    """
    import torch

    found = [torch.empty_like(each) for each in turned]
    cut = [each.split(packed.sizes) for each in (*turned, out, shares, gradient, *found)]
    for place, span in enumerate(packed.spans):
        prompt, own = ([each[2 * place + side] for each in cut] for side in (0, 1))
        _pull_causal(prompt[:3], prompt[5], scaling, prompt[6:])
        sizes = [part.total for part in span.parts]
        for part, *arrays in zip(span.parts, *(each.split(sizes) for each in own), strict=True):
            of_keys, of_values = _pull_rows(part, arrays, prompt[1:3], scaling)
            prompt[7].add_(of_keys)
            prompt[8].add_(of_values)
    return found


def _pull_causal(
    turned: Sequence[torch.Tensor], gradient: torch.Tensor, scaling: float, found: Sequence[torch.Tensor]
) -> None:
    """Gradients of one causal sequence, written to `found`."""
    import torch

    aten = torch.ops.aten
    heads, shared = turned[1].shape[1], turned[0].shape[1] // turned[1].shape[1]
    wide = [turned[0], *(each.repeat_interleave(shared, 1) for each in turned[1:])]
    states = [each.transpose(0, 1)[None] for each in wide]
    out, sums = aten._scaled_dot_product_flash_attention_for_cpu(*states, 0.0, True, scale=scaling)
    pulled = aten._scaled_dot_product_flash_attention_for_cpu_backward(
        gradient.transpose(0, 1)[None], *states, out, sums, 0.0, True, scale=scaling
    )
    for room, each in zip(found, pulled, strict=True):
        by_token = each[0].transpose(0, 1)
        room.copy_(by_token if room is found[0] else by_token.unflatten(1, (heads, shared)).sum(2))


def _pull_rows(
    part: Rows, arrays: Sequence[torch.Tensor], prompt: Sequence[torch.Tensor], scaling: float
) -> list[torch.Tensor]:
    """Gradients of some completions, written to the last three `arrays`; returns those of their prompt's keys and
    values.
    """
    import torch

    aten = torch.ops.aten
    queries, keys, values, out, shares, gradient, *found = arrays
    rows, longest, heads = part.rows, part.longest, keys.shape[1]
    shared = queries.shape[1] // heads

    def fold(states: torch.Tensor) -> torch.Tensor:
        # The heads that share a key are folded into the query's length, as in the forward.
        return part.by_row(states).reshape(rows, heads, shared * longest, -1)

    query, of_out = fold(queries), fold(gradient)
    key, value = (
        torch.cat((of_prompt.transpose(0, 1).expand(rows, -1, -1, -1), part.by_row(own)), 2)
        for of_prompt, own in zip(prompt, (keys, values), strict=True)
    )
    mask = part.mask(None, shared, query)
    if shares.min() > LEAST_SHARE:
        scores = torch.linalg.vecdot(queries.unflatten(1, (heads, shared)), keys[:, :, None]).mul_(scaling)
        sums = fold(scores.flatten(1).sub_(shares.log())[..., None])[..., 0]
        forward = fold(out), sums
    else:
        forward = aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=mask, scale=scaling
        )
    of_query, *others = aten._scaled_dot_product_flash_attention_for_cpu_backward(
        of_out, query, key, value, *forward, 0.0, False, attn_mask=mask, scale=scaling
    )
    of_query = of_query.reshape(rows, heads * shared, longest, -1)
    for room, each in zip(found, (of_query, *(each[:, :, part.width :] for each in others)), strict=True):
        by_token = each.transpose(1, 2).flatten(0, 1)
        room.copy_(by_token if part.places is None else by_token.index_select(0, part.places))
    return [each[:, :, : part.width].sum(0).transpose(0, 1) for each in others]
