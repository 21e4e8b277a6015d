"""A model's attention, exchanged for as long as a block runs: only attention knows which texts stand in one row."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import Any

ATTENTION = "recompensa"


@contextmanager
def routed_attention(model: Any, keep: bool = False):
    """Send every attention of `model` through the `router` object that its forward is called with.

    The router's `attend(layer, query, key, value, scaling, dropout, window)` receives rotated states of shape (rows,
    heads, tokens, size), keys and values with fewer heads, and returns the same for the queries; its `reached` holds
    the layers of the present forward, None once they may run again. `keep` leaves the model routed: a checkpointed
    layer runs again in the backward, after this block. Without a router such a model's attention is SDPA.
    """
    register_attention()
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        if not keep:
            config._attn_implementation = before


@cache
def register_attention() -> None:
    """Make `ATTENTION` known to transformers, once, and keep SDPA from choosing cuDNN's kernel in this process.

    cuDNN plans anew for every length it has not met, 1.5 ms of the processor a call on an H100; the texts of a step are all of new
    lengths, and such plans were half of the loss's time on small models. Flash and memory-efficient attention need none.
    """
    import torch
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    torch.backends.cuda.enable_cudnn_sdp(False)
    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def attend(module, query, key, value, attention_mask, scaling=None, dropout=0.0, router=None, **options):
    """The attention that transformers calls, (rows, tokens, heads, size): the router's, or SDPA's without one."""
    if router is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
    name = type(module).__name__
    for option in ("s_aux", "softcap", "position_bias"):
        if options.get(option) is not None:
            raise RuntimeError(f"{name} passes {option} to its attention, which cannot be routed")
    if options.get("is_causal") is False or not getattr(module, "is_causal", True):
        raise RuntimeError(f"{name} also sees what comes later")
    if attention_mask is not None and attention_mask.numel() > 1:
        raise RuntimeError(f"{name} makes a mask of its own")
    if router.reached is not None:
        if module.layer_idx in router.reached:
            raise RuntimeError(f"{name} attends more than once a layer")
        router.reached.add(module.layer_idx)
    out = router.attend(module.layer_idx, query, key, value, scaling, dropout, options.get("sliding_window"))
    return out.transpose(1, 2).contiguous(), None
