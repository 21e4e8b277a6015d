"""The keys and values of a batch that is being written: of stems, of what is left of each prompt, of completions.

Axes end a name: `_H` heads of keys, `_C` chunks, `_S` slots, `_R` rows of a product (slots times the query heads that
share a key), `_D` size of a head, `_W` places of a tail, `_T` places of a completion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grpo.policy.shared_prefix import attend_causally

if TYPE_CHECKING:
    import torch


# Places of static arrays at first: to read empty ones costs less than to record a step once more.
STATIC_ROOM = 512


@dataclass(frozen=True, slots=True)
class Piece:
    """A stem (`prompt` is None), or what is left of a prompt after its stem (`stem` is None where it has none)."""

    ids: list[int]
    start: int  # position of its first token
    stem: int | None
    prompt: int | None

    @property
    def length(self) -> int:
        return len(self.ids)


@dataclass
class Layer:
    """States of one layer. Keys have the places last, as the product with the queries reads them.

    Stems: (heads, size, tokens) and (heads, tokens, size) each. Tails and completions: (heads, chunks, size, width)
    and (heads, chunks, slots, size, room), values with the last two axes exchanged.
    """

    stems: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    tail_keys: Any = None
    tail_values: Any = None
    keys: Any = None
    values: Any = None


class KVCache:
    """What each of `chunks` times `slots` completions has seen, and the attention to it (see `routed_attention`).

    A stem is kept once, the rest of a prompt once a chunk, padded on the left to `width`, so that the place of a token
    is the same in every row. Arrays grow in steps, and shrink when rows leave; `version` counts how often they changed.
    With `static` the newest tokens attend to all `room` places behind a mask: between two versions a step of decoding
    then has the same shapes and the same arrays, which a CUDA graph needs. No layer may have a window.
    """

    reads_ahead = False  # whether places that are not written yet are read, behind a mask
    # Is told of each layer the attention that newest tokens pay to themselves, where not `static`.
    note_shares: Callable[[int, Any], None] | None = None

    def __init__(
        self, width: int, tails: Sequence[Piece], device: torch.device, static: bool = False, fused: bool = False
    ):
        import torch

        self.width, self.slots, self.written, self.room = width, 0, 0, 0
        self.static, self.fused, self.version = static, fused, 0
        self.place = torch.zeros(1, dtype=torch.long, device=device)  # of the newest token, where `static`
        self.unwritten: Any = None  # (room,), -inf at the places that are not written yet
        self.stem_of_prompt = [piece.stem for piece in tails]
        self.stems_of_chunks: list[int | None] = []
        self.layers: dict[int, Layer] = {}
        self.reading: Sequence[Piece] = ()
        self.reached: set[int] = set()  # layers of the present forward
        self.masks: dict[tuple, torch.Tensor] = {}
        # transformers builds no mask of its own when it is handed one with four axes.
        self.no_mask = torch.zeros(1, 1, 1, 1, device=device)
        lengths = torch.tensor([piece.length for piece in tails], device=device)
        padding = torch.arange(width, device=device) < (width - lengths)[:, None]
        self.padding = padding if bool(padding.any()) else None
        self.bias = None
        # The first place of each prompt's tail, and of each chunk's as soon as there are any.
        self.tail_starts = width - lengths

    @property
    def chunks(self) -> int:
        return len(self.stems_of_chunks)

    def attend(self, layer: int, query, key, value, scaling, dropout, window):
        """Attention of the newest tokens to all that stands before them."""
        import torch

        if not self.slots:
            return self.attend_prompts(self.layers.setdefault(layer, Layer()), query, key, value, scaling, window)
        if self.fused:
            from grpo.generation.attention_kernel import attend_fused

            return attend_fused(self, layer, query, key, value, scaling)
        states, chunks, slots, heads, size = self.layers[layer], self.chunks, self.slots, key.shape[1], key.shape[3]
        shared, width, length = query.shape[1] // heads, self.width, self.written
        key_HCSD = key.view(chunks, slots, heads, size).permute(2, 0, 1, 3)
        value_HCSD = value.view(chunks, slots, heads, -1).permute(2, 0, 1, 3)
        if self.static:
            length = self.room
            states.keys.index_copy_(4, self.place, key_HCSD[..., None])
            states.values.index_copy_(3, self.place, value_HCSD[..., None, :])
        else:
            states.keys[..., length - 1] = key_HCSD
            states.values[..., length - 1, :] = value_HCSD
        first = max(0, width + length - window) if window else 0
        first, own = min(first, width), max(0, first - width)
        # Heads that share a key, and slots that share a prompt, are rows of one product: no key is read twice.
        query = (query * scaling).view(chunks, slots, heads, shared, size).permute(2, 0, 1, 3, 4)
        query_HCRD = query.reshape(heads, chunks, slots * shared, size).contiguous()
        # One softmax over separate products: joining their keys first would copy the whole cache for every token.
        to_tail = torch.bmm(query_HCRD.flatten(0, 1), states.tail_keys.flatten(0, 1)[..., first:])
        to_tail_HCRW = to_tail.view(heads, chunks, slots * shared, width - first)
        if self.bias is not None:
            to_tail_HCRW += self.bias[..., first:]
        to_own = torch.bmm(query_HCRD.view(-1, shared, size), states.keys.flatten(0, 2)[..., own:length])
        if self.static:
            to_own += self.unwritten
        parts: tuple[Any, ...] = (to_tail_HCRW, to_own.view(heads, chunks, slots * shared, -1))
        if states.stems:
            parts = (self.score_stems(states, query_HCRD), *parts)
        weights = torch.cat(parts, -1).softmax(-1, dtype=torch.float32).to(value.dtype)
        if self.note_shares is not None:
            self.note_shares(layer, weights[..., -1].view(heads, chunks, slots, shared).permute(1, 2, 0, 3))
        *to_stem, to_tail_HCRW, to_own_HCRT = weights.split([part.shape[-1] for part in parts], -1)
        out = torch.bmm(
            to_tail_HCRW.reshape(heads * chunks, slots * shared, -1), states.tail_values.flatten(0, 1)[:, first:]
        )
        out_HCRD = out.view(heads, chunks, slots * shared, -1)
        for start, end, number in self.stem_runs() if to_stem else ():
            values = states.stems[number][1]
            chosen = to_stem[0][:, start:end, :, : values.shape[1]].reshape(heads, -1, values.shape[1])
            out_HCRD[:, start:end] += torch.bmm(chosen, values).view(heads, end - start, slots * shared, -1)
        # What a slot has written is its own: there the rows of a product are only the heads that share its key.
        out = out_HCRD.view(heads * chunks * slots, shared, -1)
        out.baddbmm_(to_own_HCRT.reshape(*out.shape[:2], -1), states.values.flatten(0, 2)[:, own:length])
        out = out.view(heads, chunks, slots, shared, -1).permute(1, 2, 0, 3, 4)
        return out.reshape(chunks * slots, heads * shared, 1, -1)

    def attend_next(self, layer: int, query, key, value, scaling):
        """`attend` as a decoder without modules asks for it."""
        return self.attend(layer, query, key, value, scaling, 0.0, None)

    def score_stems(self, states: Layer, query_HCRD):
        """Scores of the queries with their stems, (heads, chunks, rows, longest stem).

        -inf behind a shorter stem and where a chunk has none: the softmax gives such a place no weight.
        """
        import torch

        heads, _, rows, size = query_HCRD.shape
        longest = max(keys.shape[2] for keys, _ in states.stems.values())
        scores = query_HCRD.new_full((*query_HCRD.shape[:3], longest), -torch.inf)
        for start, end, number in self.stem_runs():
            keys = states.stems[number][0]
            # All chunks of a stem in one product: it is read once a step, however many completions continue it.
            found = torch.bmm(query_HCRD[:, start:end].reshape(heads, -1, size), keys)
            scores[:, start:end, :, : keys.shape[2]] = found.view(heads, end - start, rows, -1)
        return scores

    def stem_runs(self) -> list[tuple[int, int, int]]:
        """First chunk, last chunk + 1 and number of each stem that is still in use; its chunks are neighbours."""
        runs: list[tuple[int, int, int]] = []
        for chunk, number in enumerate(self.stems_of_chunks):
            if number is None:
                continue
            if runs and runs[-1][2] == number and runs[-1][1] == chunk:
                runs[-1] = (runs[-1][0], chunk + 1, number)
            else:
                runs.append((chunk, chunk + 1, number))
        return runs

    def runs(self) -> list[tuple[int, int, int | None]]:
        """The same with the chunks that have no stem between them."""
        runs: list[tuple[int, int, int | None]] = []
        for start, end, number in [*self.stem_runs(), (self.chunks, self.chunks, None)]:
            before = runs[-1][1] if runs else 0
            if before < start:
                runs.append((before, start, None))
            if start < end:
                runs.append((start, end, number))
        return runs

    def attend_prompts(self, states: Layer, query, key, value, scaling, window):
        """Attention within each piece of a packed row, and to its stem; what decoding needs of it is stored."""
        import torch

        if states.tail_keys is None:
            heads, prompts = key.shape[1], len(self.stem_of_prompt)
            states.tail_keys = key.new_zeros(heads, prompts, key.shape[3], self.width)
            states.tail_values = value.new_zeros(heads, prompts, self.width, value.shape[3])
        start, outs = 0, []
        for piece in self.reading:
            q, k, v = (each[0, :, start : start + piece.length] for each in (query, key, value))
            start += piece.length
            outs.append(self.attend_piece(states, piece, q, k, v, scaling, window))
            if piece.prompt is None:
                assert piece.stem is not None
                states.stems[piece.stem] = k.transpose(1, 2).contiguous(), v.contiguous()
            else:
                states.tail_keys[:, piece.prompt, :, self.width - piece.length :] = k.transpose(1, 2)
                states.tail_values[:, piece.prompt, self.width - piece.length :] = v
        return torch.cat(outs, 1)[None]

    def attend_piece(self, states: Layer, piece: Piece, query, key, value, scaling, window):
        import torch

        heads, shared, length = key.shape[0], query.shape[0] // key.shape[0], piece.length
        sdpa = torch.nn.functional.scaled_dot_product_attention
        if piece.prompt is None or piece.stem is None:
            key, value = key.repeat_interleave(shared, 0), value.repeat_interleave(shared, 0)
            return attend_causally(query, key, value, window, self.masks, scale=scaling)
        if window:
            raise RuntimeError("a layer with a window cannot read stems; has_window did not know of it")
        stem_keys, stem_values = states.stems[piece.stem]
        key, value = torch.cat((stem_keys.transpose(1, 2), key), 1), torch.cat((stem_values, value), 1)
        # SDPA's own causal mask lets the first query see the first key alone: here it sees the whole stem as well.
        if (piece.start, length) not in self.masks:
            keys = torch.arange(piece.start + length, device=query.device)
            seen = keys <= piece.start + torch.arange(length, device=query.device)[:, None]
            self.masks[piece.start, length] = seen.repeat(shared, 1)
        # The heads that share a key are folded into the query's length: no key is copied for its second head.
        out = sdpa(
            query.reshape(1, heads, shared * length, -1), key[None], value[None],
            attn_mask=self.masks[piece.start, length], scale=scaling,
        )  # fmt: skip
        return out.reshape(heads * shared, length, -1)

    def start(self, prompts: list[int], slots: int) -> None:
        """End the prompts: chunk `i` continues prompt `prompts[i]` with `slots` completions."""
        import torch

        self.slots, self.stems_of_chunks = slots, [self.stem_of_prompt[prompt] for prompt in prompts]
        source = torch.tensor(prompts, device=self.no_mask.device)
        self.masks.clear()
        if prompts != list(range(len(self.stem_of_prompt))):
            self.choose_tails(source)
        for states in self.layers.values():
            heads, chunks, size, _ = states.tail_keys.shape
            states.keys = states.tail_keys.new_empty(heads, chunks, slots, size, 0)
            states.values = states.tail_values.new_empty(heads, chunks, slots, 0, states.tail_values.shape[3])
        if self.padding is not None:
            padding, dtype = self.padding[source], self.layers[0].tail_keys.dtype
            bias = torch.zeros(padding.shape, dtype=dtype, device=source.device)
            self.bias = bias.masked_fill_(padding, -torch.inf)[:, None]

    def advance(self) -> None:
        """Make room for one token more."""
        self.reached.clear()
        self.written += 1
        if self.written > self.room:
            # Doubled, a token is copied once or twice in all; a place more each time would copy every token each time.
            self.room = max(STATIC_ROOM if self.static else 32, 2 * self.room)
            self.rebuild(lambda states: states)
        elif self.static:
            self.unwritten[self.written - 1] = 0
        if self.static:
            self.place.fill_(self.written - 1)

    def compacted(self, done: list[bool], row_cost: int):
        """Leave out the slots that are done, where that saves a quarter; `(old slot of each new one, is it filler)`.

        None when the batch stayed as it was.
        """
        import torch

        slots = self.slots
        # A version of static arrays costs two steps to record, and fewer rows are hardly faster: half must be gone.
        left = 2 if self.static else 3
        if sum(done) * 4 < (4 - left) * len(done):
            return None
        # Rows never leave their prompt: what is left of each chunk is cut anew, so that its tail is still read once.
        groups = [[i for i in range(c * slots, (c + 1) * slots) if not done[i]] for c in range(self.chunks)]
        sources, chunks = arrange(groups, row_cost, self.width)
        if 4 * len(chunks) * len(chunks[0]) > left * len(done):
            return None
        device = self.no_mask.device
        source = torch.tensor(sources, device=device)
        pick = torch.tensor([[chunk[0] if i is None else i for i in chunk] for chunk in chunks], device=device)
        filler = torch.tensor([i is None for chunk in chunks for i in chunk], device=device)
        self.slots, self.stems_of_chunks = pick.shape[1], [self.stems_of_chunks[chunk] for chunk in sources]
        self.choose_tails(source)
        if self.bias is not None:
            self.bias = self.bias[source]
        self.rebuild(lambda states: states.flatten(1, 2).index_select(1, pick.flatten()).unflatten(1, pick.shape))
        return pick.flatten(), filler

    def choose_tails(self, source) -> None:
        """Keep the tails of these chunks, in this order."""
        self.tail_starts = self.tail_starts[source]
        for states in self.layers.values():
            states.tail_keys = states.tail_keys.index_select(1, source)
            states.tail_values = states.tail_values.index_select(1, source)

    def rebuild(self, chosen) -> None:
        """Copy what was written, as `chosen` picks it, into arrays with `room` places."""
        self.version += 1
        for states in self.layers.values():
            keys, values = chosen(states.keys[..., : self.written]), chosen(states.values[..., : self.written, :])
            # What is behind the mask takes part in the products with a weight of 0: it must be finite.
            make = keys.new_zeros if self.static or self.reads_ahead else keys.new_empty
            states.keys = make(*keys.shape[:-1], self.room)
            states.keys[..., : keys.shape[-1]] = keys
            states.values = make(*values.shape[:-2], self.room, values.shape[-1])
            states.values[..., : values.shape[-2], :] = values
        if self.static:
            self.unwritten = states.keys.new_full((self.room,), float("-inf"))
            self.unwritten[: self.written] = 0


def arrange(groups: list[list[int]], row_cost: int, prompt_cost: int) -> tuple[list[int], list[list[int | None]]]:
    """Cut groups of rows that share a prompt into chunks of one size: the group of each chunk, and its rows.

    The last chunk of a group is filled up with None. A chunk pays once for its prompt and for each of its slots, so
    the size follows from the two costs; of equal ones the largest is taken.
    """

    def cost(size: int) -> int:
        return sum(-(-len(rows) // size) for rows in groups) * (size * row_cost + prompt_cost)

    size = min(range(max(map(len, groups)), 0, -1), key=cost)
    sources, chunks = [], []
    for group, rows in enumerate(groups):
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            sources.append(group)
            chunks.append(part + [None] * (size - len(part)))
    return sources, chunks
