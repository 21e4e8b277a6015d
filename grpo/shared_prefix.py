"""Log-probabilities of the completions of a group from one pass over the prompt they share, with gradients.

All prompts and completions of a batch are packed into one row without padding and pass through the model in one
forward. Only attention knows the groups: a completion sees its prompt and itself. Nothing is cached, so gradient
checkpointing, adapters, quantised layers and data-parallel wrappers work as they always do.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ATTENTION = "recompensa"
CHUNK_ELEMENTS = 1 << 22  # logits that are taken to float32 at once, 16 MiB


def grouped_logps(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float = 1.0,
    compute_entropy: bool = False,
    micro_groups: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probability and entropy (nats, without gradient) of each completion token, (B, T) in float32; 0 where masked.

    Prompts are padded on the left, completions on the right; rows with equal prompts form a group wherever they
    stand. A row whose completion is masked throughout costs nothing. `micro_groups` is the number of groups in one
    forward (None: all): fewer bound the memory of a pass without gradients. Ask `supports` first.
    """
    import torch

    prompts, completions = real_tokens(prompt_ids, prompt_mask, "left"), real_lengths(completion_mask)
    if not any(completions):
        # A step waits for every process's gradients, and its optimiser for zeros: one token goes through the model.
        completions[0], prompts[0] = 1, prompts[0][-1:]
    groups = [[i for i in rows if completions[i]] for rows in find_groups(prompts)]
    groups = [rows for rows in groups if rows]
    size = micro_groups or len(groups)
    places, logps, entropies = [], [], []
    for start in range(0, len(groups), size):
        packed = Packed(groups[start : start + size], prompts, completion_ids, completions)
        values = token_logps(packed.forward(model), packed.targets, temperature, compute_entropy)
        places.append(packed.places)
        logps.append(values[0])
        entropies.append(values[1])
    mask = completion_mask.bool()
    empty = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    index = tuple(torch.cat(places, 1))
    spread = empty.index_put(index, torch.cat(logps)) * mask
    return spread, empty.index_put(index, torch.cat(entropies)) * mask if compute_entropy else None


def supports(model: Any) -> str | None:
    """Why this model cannot share prompts, in one line; None when it can."""
    import inspect

    model = getattr(model, "module", model)
    for adapter in getattr(model, "peft_config", {}).values():
        if adapter.is_prompt_learning:
            return f"the adapter ({adapter.peft_type.value}) puts virtual tokens before every prompt"
    model = unwrap(model)
    config = getattr(model, "config", None)
    name = type(model).__name__
    if config is None or not getattr(model, "_supports_attention_backend", False) or not model._supports_sdpa:
        return f"{name} does not let its attention function be exchanged"
    if config.get_text_config() is not config or getattr(config, "is_encoder_decoder", False):
        return f"{name} is not a plain decoder of text"
    if "logits_to_keep" not in inspect.signature(model.forward).parameters:
        return f"{name} cannot score chosen positions only (no logits_to_keep)"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds - {"full_attention", "sliding_attention"}:
        return f"{name} has layers that keep a state other than keys and values: {', '.join(sorted(kinds))}"
    if getattr(config, "attn_logit_softcapping", None):
        return f"{name} caps its attention scores, which SDPA cannot do"
    rope = getattr(config, "rope_parameters", None)
    if not rope:
        return f"{name} has positions that are not rotary"
    types = {str(each.get("rope_type")) for each in (rope, *rope.values()) if isinstance(each, dict)}
    if types & {"dynamic", "longrope"}:
        return f"{name} has rotary positions that change with the length of the row"
    checkpointing = getattr(model, "is_gradient_checkpointing", False)
    if checkpointing and config._attn_implementation not in ("sdpa", ATTENTION):
        return f"gradient checkpointing is on and attention is {config._attn_implementation}; load the model with sdpa"
    return None


def unwrap(model: Any) -> Any:
    """The transformers model inside data-parallel and PEFT wrappers; adapters stay active, being inside its layers."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def real_tokens(ids: torch.Tensor, mask: torch.Tensor, padding: str) -> list[tuple[int, ...]]:
    """The tokens of each row without its padding."""
    flags = mask.bool()
    if bool((flags[:, :-1] & ~flags[:, 1:]).any()):
        raise ValueError(f"prompts must be padded on the {padding} only")
    counts = flags.sum(1).tolist()
    if not all(counts):
        raise ValueError("a prompt without tokens cannot be continued")
    return [tuple(row[len(row) - count :]) for row, count in zip(ids.tolist(), counts, strict=True)]


def real_lengths(mask: torch.Tensor) -> list[int]:
    """How many tokens each completion has."""
    flags = mask.bool()
    if bool((~flags[:, :-1] & flags[:, 1:]).any()):
        raise ValueError("completions must be padded on the right only")
    return flags.sum(1).tolist()


def find_groups(prompts: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The rows of each distinct prompt, in the order in which prompts first appear."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(row)
    return list(groups.values())


class Packed:
    """Groups laid end to end in one row: prompt, its completions, the next prompt, ...

    The last token of a completion predicts nothing that is asked for and is left out. `targets` are the tokens to
    score, and `places` (2, tokens) their rows and columns in the batch.
    """

    def __init__(self, groups: list[list[int]], prompts, completion_ids: torch.Tensor, lengths: list[int]):
        import torch

        device = completion_ids.device
        ids, positions, sources, places = [], [], [], []
        self.spans: list[Span] = []
        rows_ids = completion_ids.tolist()
        for rows in groups:
            prompt = prompts[rows[0]]
            start, width = len(ids), len(prompt)
            ids += prompt
            positions += range(width)
            for row in rows:
                first = len(ids)
                ids += rows_ids[row][: lengths[row] - 1]
                positions += range(width, width + lengths[row] - 1)
                sources += [start + width - 1, *range(first, len(ids))]
                places += [(row, column) for column in range(lengths[row])]
            self.spans.append(Span(start, width, [lengths[row] - 1 for row in rows], device))
        self.input_ids = torch.tensor([ids], device=device)
        self.position_ids = torch.tensor([positions], device=device)
        self.sources = torch.tensor(sources, device=device)
        self.places = torch.tensor(places, device=device).T
        self.targets = completion_ids[tuple(self.places)]
        self.calls = 0

    def forward(self, model: Any) -> torch.Tensor:
        """The logits that predict `targets`, (tokens, vocabulary)."""
        import torch

        inner = unwrap(model)
        replays = getattr(inner, "is_gradient_checkpointing", False) and torch.is_grad_enabled()
        # transformers builds no mask of its own when it is handed one with four axes.
        no_mask = torch.zeros(1, 1, 1, 1, device=self.input_ids.device)
        self.calls = 0
        with routed_attention(inner, keep=replays):
            logits = model(
                input_ids=self.input_ids,
                position_ids=self.position_ids,
                attention_mask=no_mask,
                logits_to_keep=self.sources,
                use_cache=False,
                router=self,
            ).logits[0]
        if self.calls < inner.config.num_hidden_layers:
            raise RuntimeError(
                f"{type(inner).__name__}: {self.calls} of {inner.config.num_hidden_layers} attention layers could be "
                "reached, so the completions of a group would see each other; turn the shared prefix off"
            )
        return logits

    def attend(self, layer: int, query, key, value, scaling, dropout, window):
        """Attention within each group; see `routed_attention`."""
        import torch

        self.calls += 1
        query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
        parts = [part for span in self.spans for part in span.attend(query, key, value, scaling, dropout, window)]
        return torch.cat(parts).transpose(0, 1)[None]


class Span:
    """Where one group stands in the packed row: `width` prompt tokens from `start`, then its completions."""

    def __init__(self, start: int, width: int, lengths: list[int], device):
        import torch

        self.start, self.width, self.lengths = start, width, lengths
        # A completion that is alone continues its prompt: one causal run.
        self.end = start + width + (lengths[0] if len(lengths) == 1 else 0)
        lengths = [length for length in lengths if length] if len(lengths) > 1 else []
        self.rows, self.longest = len(lengths), max(lengths, default=0)
        self.total = sum(lengths)
        self.gather = self.scatter = None
        if self.rows and self.total < self.rows * self.longest:
            counts = torch.tensor(lengths, device=device)
            columns = torch.arange(self.longest, device=device)
            real = columns < counts[:, None]
            starts = counts.cumsum(0) - counts
            # What pads a shorter completion is a token later in the row: causality hides it from every real one.
            self.gather = torch.where(real, starts[:, None] + columns, 0).flatten()
            self.scatter = real.flatten().nonzero()[:, 0]
        self.masks: dict = {}

    def attend(self, query, key, value, scaling, dropout, window):
        """Outputs for the prompt and for the completions, (tokens, heads, size) each."""
        import torch

        shared = query.shape[1] // key.shape[1]
        whole = slice(self.start, self.end)
        length = self.end - self.start
        band = causal_mask(length, window, query.device) if window and window < length else None
        out = torch.nn.functional.scaled_dot_product_attention(
            query[whole].transpose(0, 1)[None],
            key[whole].transpose(0, 1).repeat_interleave(shared, 0)[None],
            value[whole].transpose(0, 1).repeat_interleave(shared, 0)[None],
            attn_mask=band,
            is_causal=band is None,
            dropout_p=dropout,
            scale=scaling,
        )
        yield out[0].transpose(0, 1)
        if self.rows:
            yield self.attend_completions(query, key, value, scaling, dropout, window)

    def attend_completions(self, query, key, value, scaling, dropout, window):
        import torch

        rows, longest, heads, shared = self.rows, self.longest, key.shape[1], query.shape[1] // key.shape[1]
        prompt = slice(self.start, self.start + self.width)
        queries, keys, values = (self.by_row(states) for states in (query, key, value))
        keys = torch.cat((key[prompt].transpose(0, 1).expand(rows, -1, -1, -1), keys), 2)
        values = torch.cat((value[prompt].transpose(0, 1).expand(rows, -1, -1, -1), values), 2)
        # The heads that share a key are folded into the query's length: no key is copied for its second head.
        queries = queries.reshape(rows, heads, shared * longest, -1)
        mask = self.completion_mask(window, query.device).repeat(shared, 1)
        out = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
        out = out.view(rows, heads * shared, longest, -1).transpose(1, 2).flatten(0, 1)
        return out if self.scatter is None else out[self.scatter]

    def by_row(self, states):
        """The completions' part of packed states, (rows, heads, longest, size)."""
        first = self.start + self.width
        states = states[first : first + self.total]
        if self.gather is not None:
            states = states[self.gather]
        return states.view(self.rows, self.longest, *states.shape[1:]).transpose(1, 2)

    def completion_mask(self, window, device):
        """What a completion's token sees of prompt and completion, (longest, width + longest)."""
        import torch

        if window not in self.masks:
            keys = torch.arange(self.width + self.longest, device=device)
            distance = self.width + torch.arange(self.longest, device=device)[:, None] - keys
            self.masks[window] = (distance >= 0) & (distance < (window or len(keys)))
        return self.masks[window]


def causal_mask(length: int, window: int, device) -> torch.Tensor:
    """What each of `length` places sees when it sees itself and the `window - 1` before it, (length, length)."""
    import torch

    places = torch.arange(length, device=device)
    distance = places[:, None] - places
    return (distance >= 0) & (distance < window)


def token_logps(logits: torch.Tensor, ids: torch.Tensor, temperature: float = 1.0, compute_entropy: bool = False):
    """Log-probability of each of `ids` (tokens,) under `logits` (tokens, vocabulary), and the entropies or None.

    Float32 whatever the logits are. The backward writes its gradient over the logits, which nobody may need then.
    """
    logps, entropies = _token_logps().apply(logits, ids, temperature, compute_entropy)
    return logps, entropies if compute_entropy else None


@cache
def _token_logps():
    import torch

    class TokenLogps(torch.autograd.Function):
        """Gather minus log-sum-exp; a plain softmax would keep three arrays of the size of the logits."""

        @staticmethod
        def forward(ctx, logits, ids, temperature, compute_entropy):
            total = torch.empty(len(ids), dtype=torch.float32, device=logits.device)
            logps, entropies = torch.empty_like(total), torch.empty_like(total)
            for part in parts(logits):
                scaled = tempered(logits[part], temperature)
                total[part] = scaled.logsumexp(-1)
                logps[part] = scaled.gather(1, ids[part, None])[:, 0] - total[part]
                if compute_entropy:
                    share = (scaled - total[part, None]).exp_()
                    entropies[part] = total[part] - share.mul_(scaled).sum(-1)
            ctx.save_for_backward(logits, ids, total)
            ctx.temperature, ctx.spent = temperature, False
            ctx.mark_non_differentiable(entropies)
            return logps, entropies

        @staticmethod
        def backward(ctx, gradient, _):
            if ctx.spent:
                raise RuntimeError("the logits of these log-probabilities are spent; run the forward again")
            ctx.spent = True
            logits, ids, total = ctx.saved_tensors
            for part in parts(logits):
                slope = gradient[part, None] / ctx.temperature
                share = (tempered(logits[part], ctx.temperature) - total[part, None]).exp_().mul_(-slope)
                logits[part] = share.scatter_add_(1, ids[part, None], slope)
            return logits, None, None, None

    return TokenLogps


def tempered(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Float32 logits over the temperature; the same array where nothing has to change."""
    return logits.float() if temperature == 1.0 else logits.float() / temperature


def parts(logits: torch.Tensor) -> list[slice]:
    """Slices of rows that are small enough to be taken to float32."""
    step = max(1, CHUNK_ELEMENTS // logits.shape[-1])
    return [slice(start, start + step) for start in range(0, len(logits), step)]


@contextmanager
def routed_attention(model: Any, keep: bool = False):
    """Send every attention of `model` through the `router` object that its forward is called with.

    The router's `attend(layer, query, key, value, scaling, dropout, window)` receives rotated states of shape (rows,
    heads, tokens, size), keys and values with fewer heads, and returns the same for the queries. `keep` leaves the
    model routed: a checkpointed layer runs again in the backward, after this block. Without a router such a
    model's attention is SDPA.
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
    """Make `ATTENTION` known to transformers, once."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, attend)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


def attend(module, query, key, value, attention_mask, scaling=None, dropout=0.0, router=None, **options):
    """The attention that transformers calls, (rows, tokens, heads, size): the router's, or SDPA's without one."""
    if router is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options
        )
    for name in ("s_aux", "softcap", "position_bias"):
        if options.get(name) is not None:
            raise RuntimeError(f"{type(module).__name__} passes {name} to its attention, which cannot be routed")
    out = router.attend(module.layer_idx, query, key, value, scaling, dropout, options.get("sliding_window"))
    return out.transpose(1, 2), None
