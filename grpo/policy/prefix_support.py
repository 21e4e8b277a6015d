"""Whether the completions of a model can share one pass over their prompt: by its config, then by asking it once."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from grpo.policy.attention import ATTENTION, routed_attention
from grpo.policy.prefix_rules import find_config_reason
from grpo.policy.shared_prefix import evaluating, grouped_logps, unwrap
from grpo.policy.token_logprobs import token_logps

if TYPE_CHECKING:
    import torch

PROBED: WeakKeyDictionary[Any, str | None] = WeakKeyDictionary()  # what `probe` found, a model
PROBE_WINDOW = 4  # tokens; the probe's prompts and completions are longer


def supports(model: Any) -> str | None:
    """Why this model cannot share prompts, in one line; None when it can."""
    model = getattr(model, "module", model)
    if hasattr(model, "_orig_mod"):
        return "the model is compiled, and each new length of a row would compile it again"
    for adapter in getattr(model, "peft_config", {}).values():
        if adapter.is_prompt_learning:
            return f"the adapter ({adapter.peft_type.value}) puts virtual tokens before every prompt"
        if getattr(adapter, "alora_invocation_tokens", None):
            return "the adapter (aLoRA) acts from some token of a row on, and here a row holds many texts"
    model = unwrap(model)
    config = getattr(model, "config", None)
    name = type(model).__name__
    if config is None or not getattr(model, "_supports_attention_backend", False) or not model._supports_sdpa:
        return f"{name} does not let its attention function be exchanged"
    if config.get_text_config() is not config or getattr(config, "is_encoder_decoder", False):
        return f"{name} is not a plain decoder of text"
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return f"{name} cannot score chosen positions only (no logits_to_keep)"
    reason = find_config_reason(lambda key: getattr(config, key, None), name)
    if reason is not None:
        return reason
    checkpointing = getattr(model, "is_gradient_checkpointing", False)
    if checkpointing and config._attn_implementation not in ("sdpa", ATTENTION):
        return f"gradient checkpointing is on and attention is {config._attn_implementation}; load the model with sdpa"
    if model not in PROBED:
        PROBED[model] = probe(model)
    return PROBED[model]


def probe(model: Any) -> str | None:
    """Why sharing gives other numbers than reading each text alone, found by doing both; None when it does not.

    A model may mix tokens outside the attention that it lets be exchanged, or keep a window in the mask that it makes
    alone, and no flag of transformers would tell. Every token has to agree, with windows shorter than the texts.
    """
    import torch

    weights = list(model.parameters())
    if any(weight.is_meta or not weight.numel() or hasattr(weight, "full_tensor") for weight in weights):
        return None  # this process holds a part of the weights only; the model was seen when it was whole, or never
    device = model.get_input_embeddings().weight.device
    ids = torch.arange(36, device=device) * 7919 % model.config.vocab_size
    prompt, completions = ids[:6].expand(5, -1), ids[6:].view(5, 6)
    everything = torch.ones_like(completions)
    with torch.no_grad(), evaluating(model), shortened_windows(model, PROBE_WINDOW):
        texts = torch.cat((prompt, completions), 1)
        with routed_attention(model):  # without a router: SDPA, whatever the model was loaded with
            alone = [read_alone(model, text[None], completions.shape[1])[0] for text in texts]
            wanted, together = torch.stack(alone), read_alone(model, texts, completions.shape[1])
        try:
            found, _ = grouped_logps(model, prompt, everything, completions, everything)
        except Exception as fault:
            reason = next(iter(str(fault).splitlines()), type(fault).__name__)
            return f"{type(model).__name__} cannot share prompts: {reason}"
    # Half precision rounds, and an expert may then be another one for a token: how far texts read together are from
    # texts read alone, with nothing shared, says by how much.
    whole = all(weight.dtype == torch.float32 for weight in weights)
    least, most = (2e-3, 0.05) if whole else (0.1, 0.5)
    allowed = min(max(least, 4 * (together - wanted).abs().max().item()), most)
    difference = (found - wanted).abs().max().item()
    if difference <= allowed:
        return None
    return f"{type(model).__name__} gives other log-probabilities when prompts are shared (by {difference:.2g})"


def read_alone(model: Any, texts: torch.Tensor, count: int) -> torch.Tensor:
    """The model's own log-probabilities of the last `count` tokens of each text, (B, count)."""
    logits = model(input_ids=texts, use_cache=False).logits[:, -count - 1 : -1]
    return token_logps(logits.flatten(0, 1), texts[:, -count:].flatten())[0].view(-1, count)


@contextmanager
def shortened_windows(model: Any, window: int) -> Iterator[None]:
    """Every attention window of the model at most this long, in its config, which masks follow, and in its layers."""
    before = []
    for holder in (model.config, *model.modules()):
        kept = vars(holder).get("sliding_window")
        if isinstance(kept, int) and not isinstance(kept, bool) and kept > window:
            before.append((holder, kept))
            holder.sliding_window = window
    try:
        yield
    finally:
        for holder, kept in before:
            holder.sliding_window = kept
