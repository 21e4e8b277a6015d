"""Log-probabilities of the completions of a group from one pass over the prompt they share, with gradients.

All prompts and completions of a batch are packed into one row without padding and pass through the model in one
forward. Only attention knows the groups: a completion sees its prompt and itself. Nothing is cached, so gradient
checkpointing, adapters, quantised layers and data-parallel wrappers work as they always do.

Axes end a name: `_B` rows of TRL's batch, `_T` tokens of a completion, `_N` tokens of the packed row, `_G` completions of
a group, `_K` places of a prompt and one of its completions, `_H` heads, `_D` size of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from grpo.policy.attention import routed_attention
from grpo.policy.head_logprobs import has_plain_head, head_logps, is_worth_it, without_head
from grpo.policy.lean_activations import is_worth_it as is_lean
from grpo.policy.lean_activations import lean_activations
from grpo.policy.merged_blocks import merged_blocks
from grpo.policy.packed_products import is_worth_packing
from grpo.policy.token_logprobs import token_logps

if TYPE_CHECKING:
    import torch

    from grpo.policy.recording import Recording

BAND_QUERIES = 1024  # queries of a window that share one mask
# Completions of so many rows at least attend together, and shorter ones than this share of the longest on their own.
LEAST_ROWS, ALIKE = 4, 0.75


def grouped_logps(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_mask: torch.Tensor,
    completion_ids: torch.Tensor,
    completion_mask: torch.Tensor,
    *,
    temperature: float = 1.0,
    compute_entropy: bool = False,
    differentiable_entropy: bool = False,
    micro_groups: int | None = None,
    keeps_logits: bool | None = None,
    recording: Recording | None = None,
    numbers: Sequence[int] = (),
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Log-probability and entropy (nats) of each completion token, (B, T) in float32; 0 where masked.

    Prompts are padded on the left, completions on the right; rows with equal prompts form a group wherever they
    stand. A row whose completion is masked throughout costs nothing. `micro_groups` is the number of groups in one
    forward (None: all): fewer bound the memory of a pass without gradients. `keeps_logits` says whether the logits are
    held until the backward (None: as long as they are few, see `head_logprobs`). Entropies have a gradient where they are
    `differentiable_entropy`. Ask `prefix_support.supports` first. Where all of it is in a `recording`, under `numbers` for the
    rows, nothing is computed twice; the values are then those that decoding rounded to.
    """
    import torch

    prompts, completions = real_tokens(prompt_ids, prompt_mask, "left"), real_lengths(completion_mask)
    if not any(completions):
        # A step waits for every process's gradients, and its optimiser for zeros: one token goes through the model.
        completions[0], prompts[0], recording = 1, prompts[0][-1:], None
    groups = [[i for i in rows if completions[i]] for rows in find_groups(prompts)]
    groups = [rows for rows in groups if rows]
    # Small models keep the order of their rows, and with it every bit; an accelerator has nothing from more launches.
    by_length = is_worth_packing(unwrap(model))
    if by_length:
        groups = [sorted(rows, key=lambda row: -completions[row]) for rows in groups]
    size = micro_groups or len(groups)
    places, logps, entropies = [], [], []
    for start in range(0, len(groups), size):
        packed = Packed(groups[start : start + size], prompts, completion_ids, completions, by_length)
        if recording is not None:
            packed.find_recorded(recording, numbers)
        values = packed.score(model, temperature, compute_entropy, differentiable_entropy, keeps_logits)
        places.append(packed.places)
        logps.append(values[0])
        entropies.append(values[1])
    mask_BT = completion_mask.bool()
    empty_BT = torch.zeros(mask_BT.shape, dtype=torch.float32, device=mask_BT.device)
    index = tuple(torch.cat(places, 1))
    # Times the mask: the one token of a batch without any belongs to nobody.
    logps_BT = empty_BT.index_put(index, torch.cat(logps)) * mask_BT
    return logps_BT, empty_BT.index_put(index, torch.cat(entropies)) * mask_BT if compute_entropy else None


def unwrap(model: Any) -> Any:
    """The transformers model inside data-parallel and PEFT wrappers; adapters stay active, being inside its layers."""
    while hasattr(model, "module"):
        model = model.module
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def evaluating(model: Any):
    """Evaluation mode, given back module by module: a frozen part may have been in another mode than the rest."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


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
    score, and `places` (2, tokens) their rows and columns in the batch. Longest rows come first where they are `by_length`.
    """

    def __init__(
        self,
        groups: list[list[int]],
        prompts,
        completion_ids: torch.Tensor,
        lengths: list[int],
        by_length: bool = False,
    ):
        import torch

        device = completion_ids.device
        ids: list[int] = []
        positions: list[int] = []
        sources: list[int] = []
        places: list[tuple[int, int]] = []
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
                # Every completion begins where its prompt ends, as if the others of its group were not there.
                positions += range(width, width + lengths[row] - 1)
                # A token is predicted by the one before it: the first of each completion by its prompt's last.
                sources += [start + width - 1, *range(first, len(ids))]
                places += [(row, column) for column in range(lengths[row])]
            self.spans.append(Span(start, width, [lengths[row] - 1 for row in rows], device, by_length))
        self.input_ids = torch.tensor([ids], device=device)
        self.position_ids = torch.tensor([positions], device=device)
        self.sources = torch.tensor(sources, device=device)
        self.places = torch.tensor(places, device=device).T
        self.targets = completion_ids[tuple(self.places)]
        # Of what each span reads causally, and of the completions behind it.
        self.sizes = [size for span in self.spans for size in (span.end - span.start, span.total)]
        self.reached: set[int] | None = None
        self.masks: dict = {}
        self.groups, self.lengths = groups, lengths
        self.recording: Recording | None = None
        self.recorded: list[int] = []  # where in it the tokens of the row lie, and the tokens to score
        self.recorded_targets: list[int] = []

    def find_recorded(self, recording: Recording, numbers: Sequence[int]) -> None:
        """Take from `recording` what it has, if it has every token; the rows of the batch are `numbers` there."""
        tokens: list[int] = []
        targets: list[int] = []
        for rows in self.groups:
            tokens += recording.prompt_places(numbers[rows[0]])
            for row in rows:
                tokens += recording.completion_places(numbers[row], self.lengths[row] - 1)
                targets += recording.drawn_places(numbers[row], self.lengths[row])
        self.recording, self.recorded, self.recorded_targets = recording, tokens, targets

    def score(self, model: Any, temperature: float, compute_entropy: bool, differentiable: bool, keeps: bool | None):
        """Log-probabilities of `targets` and their entropies, None where not asked for, (tokens,) each."""
        inner = unwrap(model)
        if keeps is None:
            keeps = not is_worth_it(len(self.targets), inner.config.vocab_size) or not has_plain_head(inner)
        drawn = self.recording.head if self.recording is not None else None
        if drawn is not None:
            with without_head(inner):
                states = self.forward(model)
            return drawn.score(states, self.recorded_targets)
        if keeps:
            return token_logps(self.forward(model), self.targets, temperature, compute_entropy, differentiable)
        with without_head(inner) as head:
            states = self.forward(model)
        return head_logps(head, states, self.targets, temperature, compute_entropy, differentiable)

    def forward(self, model: Any) -> torch.Tensor:
        """The logits that predict `targets`, (tokens, vocabulary)."""
        import torch

        inner = unwrap(model)
        replays = getattr(inner, "is_gradient_checkpointing", False) and torch.is_grad_enabled()
        # transformers builds no mask of its own when it is handed one with four axes.
        no_mask = torch.zeros(1, 1, 1, 1, device=self.input_ids.device)
        self.reached = set()
        if self.recording is not None:
            blocks = self.recording.replaying(inner, self.recorded)
        else:
            blocks = leaner_blocks(inner, self.input_ids.numel())
        with routed_attention(inner, keep=replays), blocks:
            logits = model(
                input_ids=self.input_ids,
                position_ids=self.position_ids,
                attention_mask=no_mask,
                logits_to_keep=self.sources,
                use_cache=False,
                router=self,
            ).logits[0]
        reached, self.reached = self.reached, None
        if len(reached) != inner.config.num_hidden_layers:
            raise RuntimeError(
                f"{type(inner).__name__}: {len(reached)} of {inner.config.num_hidden_layers} attention layers could be "
                "reached, so the completions of a group would see each other"
            )
        return logits

    def attend(self, layer: int, query, key, value, scaling, dropout, window):
        """Attention within each group; see `routed_attention`."""
        import torch

        # Cut up once: each slice of its own would have a whole array of zeros for its gradient.
        cut = [states[0].transpose(0, 1).split(self.sizes) for states in (query, key, value)]
        parts_NHD = [
            part
            for span, *parts in zip(self.spans, *(zip(each[::2], each[1::2], strict=True) for each in cut), strict=True)
            for part in span.attend(*parts, scaling, dropout, window, self.masks)
        ]
        return torch.cat(parts_NHD).transpose(0, 1)[None]


@contextmanager
def leaner_blocks(model: Any, tokens: int) -> Iterator[None]:
    """Inside, a large pass keeps less for its backward, and adapters stand in their weights where that is exact."""
    import torch

    with merged_blocks(model, tokens) as are_merged:
        lean = not are_merged and torch.is_grad_enabled() and is_lean(model, tokens)
        with lean_activations(model) if lean else nullcontext():
            yield


class Span:
    """Where one group stands in the packed row: `width` prompt tokens from `start`, then its completions."""

    def __init__(self, start: int, width: int, lengths: list[int], device, by_length: bool = False):
        self.start, self.width, self.lengths = start, width, lengths
        # A completion that is alone continues its prompt: one causal run.
        self.end = start + width + (lengths[0] if len(lengths) == 1 else 0)
        lengths = [length for length in lengths if length] if len(lengths) > 1 else []
        self.total = sum(lengths)
        cut = cut_by_length(lengths) if by_length else [lengths]
        self.parts = [Rows(width, each, device) for each in cut if each]

    def attend(self, queries, keys, values, scaling, dropout, window, masks):
        """Outputs for the prompt and for the completions, (tokens, heads, size) each, of their states in pairs."""
        shared = queries[0].shape[1] // keys[0].shape[1]
        out = attend_causally(
            queries[0].transpose(0, 1),
            keys[0].transpose(0, 1).repeat_interleave(shared, 0),
            values[0].transpose(0, 1).repeat_interleave(shared, 0),
            window,
            masks,
            dropout_p=dropout,
            scale=scaling,
        )
        yield out.transpose(0, 1)
        if len(self.parts) == 1:
            yield self.parts[0].attend(queries[1], keys, values, scaling, dropout, window)
        elif self.parts:
            sizes = [part.total for part in self.parts]
            cut = zip(*(each[1].split(sizes) for each in (queries, keys, values)), strict=True)
            for part, (own_queries, own_keys, own_values) in zip(self.parts, cut, strict=True):
                prefixed = (keys[0], own_keys), (values[0], own_values)
                yield part.attend(own_queries, *prefixed, scaling, dropout, window)


def cut_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """These lengths, longest first, where one is much shorter than the first of its part: little is padded then."""
    parts: list[list[int]] = [[]]
    for length in lengths:
        if len(parts[-1]) >= LEAST_ROWS and length < ALIKE * parts[-1][0]:
            parts.append([])
        parts[-1].append(length)
    return parts


class Rows:
    """Completions of one prompt that attend together, padded to the longest; `width` tokens stand before each."""

    def __init__(self, width: int, lengths: list[int], device):
        import torch

        self.width, self.rows, self.longest, self.total = width, len(lengths), max(lengths), sum(lengths)
        self.places = None  # of their tokens among rows of equal length
        if self.total < self.rows * self.longest:
            real = torch.arange(self.longest, device=device) < torch.tensor(lengths, device=device)[:, None]
            self.places = real.flatten().nonzero()[:, 0]
        self.masks: dict = {}

    def attend(self, queries, keys, values, scaling, dropout, window):
        """Outputs (tokens, heads, size) of the completions' queries; keys and values are the prompt's and their own."""
        import torch

        rows, longest, (prompt_keys, own_keys), (prompt_values, own_values) = self.rows, self.longest, keys, values
        heads, shared = own_keys.shape[1], queries.shape[1] // own_keys.shape[1]
        # SDPA wants one array of keys a completion: the prompt's are copied here, its forward is what is shared.
        keys_GHKD = torch.cat((prompt_keys.transpose(0, 1).expand(rows, -1, -1, -1), self.by_row(own_keys)), 2)
        values_GHKD = torch.cat((prompt_values.transpose(0, 1).expand(rows, -1, -1, -1), self.by_row(own_values)), 2)
        # The heads that share a key are folded into the query's length: no key is copied for its second head.
        queries_GHQD = self.by_row(queries).reshape(rows, heads, shared * longest, -1)
        mask = self.mask(window, shared, queries_GHQD)
        out = torch.nn.functional.scaled_dot_product_attention(
            queries_GHQD, keys_GHKD, values_GHKD, attn_mask=mask, dropout_p=dropout, scale=scaling
        )
        # CUDA's kernels lay their output out as they like: `view` would refuse it.
        out_NHD = out.reshape(rows, heads * shared, longest, -1).transpose(1, 2).flatten(0, 1)
        return out_NHD if self.places is None else out_NHD.index_select(0, self.places)

    def by_row(self, states_NHD):
        """The completions' packed states as (rows, heads, longest, size); 0 after a shorter completion."""
        states = states_NHD
        if self.places is not None:
            empty = states.new_zeros(self.rows * self.longest, *states.shape[1:])
            states = empty.index_copy(0, self.places, states)
        return states.view(self.rows, self.longest, *states.shape[1:]).transpose(1, 2)

    def mask(self, window, shared, like):
        """What a completion's token sees of prompt and completion, (shared * longest, width + longest)."""
        if (window, shared, like.dtype) not in self.masks:
            mask = band_mask(self.longest, self.width + self.longest, window, like, repeats=shared)
            self.masks[window, shared, like.dtype] = mask
        return self.masks[window, shared, like.dtype]


def attend_causally(query, key, value, window: int | None, masks: dict, **options):
    """Attention of each place to itself and the `window - 1` before it, or all of them; states (heads, tokens, size).

    Queries of a window go in blocks, so that no mask has the length of a prompt twice. `masks` keeps what layers share.
    """
    import torch

    sdpa, length = torch.nn.functional.scaled_dot_product_attention, query.shape[1]
    if not window or window >= length:
        return sdpa(query[None], key[None], value[None], is_causal=True, **options)[0]
    outs = []
    for start in range(0, length, BAND_QUERIES):
        end, first = min(start + BAND_QUERIES, length), max(0, start - window + 1)
        shape = end - start, end - first, window, query.dtype
        if shape not in masks:
            masks[shape] = band_mask(*shape[:3], query)
        block = query[None, :, start:end], key[None, :, first:end], value[None, :, first:end]
        outs.append(sdpa(*block, attn_mask=masks[shape], **options)[0])
    return torch.cat(outs, 1)


def band_mask(queries: int, keys: int, window: int | None, like: torch.Tensor, repeats: int = 1) -> torch.Tensor:
    """0 where each of the last `queries` of `keys` places sees, else -inf, `repeats` times below each other.

    In the queries' own type and with rows that begin where kernels want them, SDPA takes it as it is: of another one it
    makes a copy in every layer, and keeps that for the backward.
    """
    import torch

    distance = keys - queries + torch.arange(queries, device=like.device)[:, None]
    distance = distance - torch.arange(keys, device=like.device)
    hidden = (distance < 0) | (distance >= (window or keys))
    mask = torch.zeros(repeats, queries, -(-keys // 16) * 16, dtype=like.dtype, device=like.device)
    mask[..., :keys].masked_fill_(hidden, -torch.inf)
    return mask.flatten(0, 1)[:, :keys]
