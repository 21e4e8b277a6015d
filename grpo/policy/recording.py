"""Keeps what blocks computed while a batch was generated, so that the loss over it, with the same weights, needs no
forward.

A completion token passes through the policy once when it is generated and once more for the loss. As long as no
optimiser step lies between the two, both compute the same, so what the backward needs is kept: for each block the
states that enter it, queries, keys and values, the attention output and the weight that a token gave to itself (see
`recorded_attention`), the states after attention, and gate and up; for the head the log-probability and its gradient
with respect to the last state (see `head_logprobs`).

For float32 models on a CPU whose blocks run merged (see `merged_blocks`). Decoding rounds slightly differently from the
loss's own forward, so this is only for a loss that does not depend on the values of its log-probabilities, such as one
step per batch without a reference: every ratio is then 1, and the gradients tolerate the difference.

Each token has a place in the recording: first the prompts' tokens, then `width` places for each row of the batch. A row
belongs to one completion until others leave the batch; then the rows are moved together and continue behind what was
written there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

from grpo.policy.attention import attend
from grpo.policy.head_logprobs import has_plain_head, is_frozen_matrix, is_worth_it
from grpo.policy.merged_blocks import (
    MergedBlock,
    by_head,
    find_blocks,
    leave,
    project,
    pull_leave,
    pull_projections,
    replaced_layers,
    rotate,
)
from grpo.policy.packed_products import has_onednn, multiply, pack
from grpo.policy.recorded_attention import pull_attention

if TYPE_CHECKING:
    import torch

    from grpo.generation.kv_cache import Piece

# Rows of probabilities that are multiplied by the head at once: oneDNN is at its best from here on.
SHARES_ROWS = 80


class Recording:
    """The arrays of a batch and the places of its tokens: `prompts` prompt tokens, `rows` completions of at most `most`
    tokens.

    There are `samples` completions per prompt, numbered consecutively as in `generate`. Memory is touched only where
    something is written. The places of a step are evenly spaced, so that one strided copy writes them: looking each of
    them up takes three times as long.
    """

    def __init__(self, blocks: Sequence[MergedBlock], prompts: int, rows: int, samples: int, most: int):
        self.blocks, self.first, self.rows, self.width = blocks, prompts, rows, most - 1
        self.samples = samples
        self.size = size = prompts + rows * self.width
        like = blocks[0].before_attention.weight
        self.layers = [[like.new_empty(size, width) for width in widths_of(block)] for block in blocks]
        self.last = like.new_empty(size, len(like))  # the states that leave the last block
        self.scratch: dict[tuple[int, int], torch.Tensor] = {}
        self.head: HeadRecording | None = None
        self.read_tokens = 0
        self.stems: dict[int | None, range] = {}
        self.tails: dict[int, tuple[int | None, range]] = {}  # of each prompt its stem and where the rest of it lies
        # What is noted goes there, block by block, behind them the last states; of completions by their `step`.
        self.rooms: list[list[torch.Tensor]] = []
        self.step: int | None = None
        self.arrived: list[int] = []  # completions that are the rows of the batch from the next step on
        self.rows_of: dict[int, list[tuple[int, int]]] = {}  # of each completion, from which step on it was which row
        self.written: dict[int, list[int]] = {}

    # -- while the batch is written --------------------------------------------------------------------------------

    def reading(self, model: Any, pieces: Sequence[Piece], firsts: Sequence[int]) -> AbstractContextManager[None]:
        """Inside, a forward of `model` over these pieces is recorded; `firsts` are the first completions of all prompts."""
        start = self.read_tokens
        for piece in pieces:
            where = range(self.read_tokens, self.read_tokens + piece.length)
            if piece.prompt is None:
                self.stems[piece.stem] = where
            else:
                self.tails[firsts[piece.prompt] // self.samples] = piece.stem, where
            self.read_tokens = where.stop
        self.rooms = [[each[start : self.read_tokens] for each in arrays] for arrays in (*self.layers, [self.last])]
        return replaced_layers(model, [self.make_forward(number) for number in range(len(self.blocks))])

    def make_forward(self, number: int) -> Callable[..., torch.Tensor]:
        """A forward of block `number` that records what it computes."""
        block = self.blocks[number]

        def forward(hidden_states, attention_mask=None, position_embeddings=None, router=None, **_):
            states = hidden_states[0]
            cos, sin = (each[0][:, None] for each in position_embeddings)
            projected = project(block, states)
            turned = rotate(block, by_head(block, projected), cos, sin)
            queries, keys, values = (each.transpose(0, 1)[None] for each in turned)
            scaling = block.attention.scaling
            out, _ = attend(block.attention, queries, keys, values, attention_mask, scaling=scaling, router=router)
            attended = out.reshape(len(states), -1)
            leaving, middle, gate_up = leave(block, states, attended)
            self.note(number, states, projected, middle, gate_up, attended)
            if number + 1 == len(self.blocks):
                self.note_last(leaving)
            return leaving[None]

        return forward

    def follow(self, numbers: torch.Tensor) -> None:
        """From here on the rows of a step belong to these completions; a number equal to `rows` is one that nobody
        reads.
        """
        self.arrived = numbers.tolist()
        self.rooms = [
            [each[self.first :].view(self.rows, self.width, -1)[: len(numbers)].transpose(0, 1) for each in arrays]
            for arrays in (*self.layers, [self.last])
        ]

    def begin_step(self, step: int) -> None:
        """What is recorded next belongs to token number `step` of the completions."""
        self.step = step
        for row, number in enumerate(self.arrived):
            self.rows_of.setdefault(number, []).append((step, row))
        self.arrived = []

    def note(self, number: int, *arrays: torch.Tensor) -> None:
        """Record, for block `number`, the arrays that `widths_of` lists, except for shares."""
        for room, array in zip(self.rooms[number], arrays, strict=False):
            (room if self.step is None else room[self.step]).copy_(array)

    def note_shares(self, number: int, shares: torch.Tensor) -> None:
        """The attention that each row's newest token pays to itself, (chunks, slots, heads of keys, queries that share one)."""
        self.rooms[number][-1][self.step].view(shares.shape).copy_(shares)

    def note_last(self, states: torch.Tensor) -> None:
        """Record the states that leave the last block."""
        self.note(-1, states)

    # -- in the loss -----------------------------------------------------------------------------------------------

    def prompt_places(self, number: int) -> list[int]:
        """Where the tokens of the prompt of completion `number` lie, in their order."""
        stem, tail = self.tails[number // self.samples]
        return [*(() if stem is None else self.stems[stem]), *tail]

    def completion_places(self, number: int, count: int) -> list[int]:
        """Where the first `count` tokens of completion `number` lie; its last one was never read."""
        found: list[int] = []
        rows = self.rows_of.get(number, [])
        for place, (since, row) in enumerate(rows):
            start, end = self.first + row * self.width, rows[place + 1][0] if place + 1 < len(rows) else count
            found += range(start + since, start + min(end, count))
        return found

    def drawn_places(self, number: int, count: int) -> range:
        """Where `head` has the first `count` tokens of completion `number`."""
        return range(number * (self.width + 1), number * (self.width + 1) + count)

    def has(self, ids: Sequence[Sequence[int]], numbers: Sequence[int]) -> bool:
        """Whether it holds completions that begin with these `ids`, by their numbers."""
        return all(self.written.get(n, [])[: len(row)] == list(row) for n, row in zip(numbers, ids, strict=True))

    def replaying(self, model: Any, places: Sequence[int]) -> AbstractContextManager[None]:
        """Inside, a forward of `model` over the tokens at these places computes nothing; its backward is the loss's."""
        import torch

        run = contiguous(places)
        chosen = run if run is not None else torch.tensor(places)
        blocks = find_blocks(model, self.size)  # its weights as they are now: the same numbers, in training mode
        return replaced_layers(model, [self.make_replay(number, block, chosen) for number, block in enumerate(blocks)])

    def make_replay(self, number: int, block: MergedBlock, places: Any) -> Callable[..., torch.Tensor]:
        """A forward of block `number` that computes nothing and takes its backward from the recording."""

        def forward(hidden_states, position_embeddings=None, router=None, **_):
            if router.reached is not None:
                router.reached.add(number)
            cos, sin = (each[0][:, None] for each in position_embeddings)
            replay = self, number, block, places, cos, sin, router
            return _replayed().apply(hidden_states[0], replay, *block.trained_before, *block.trained_behind)[None]

        return forward

    def take(self, number: int, places: Any) -> list[torch.Tensor]:
        """The arrays of block `number` at these places; good until the next ones are taken."""
        return [self.chosen(each, places, kind) for kind, each in enumerate(self.layers[number])]

    def chosen(self, array: torch.Tensor, places: Any, kind: int) -> torch.Tensor:
        """The rows of `array` at `places`: a view for a slice, otherwise a copy into a buffer that the next call of
        this `kind` reuses.
        """
        import torch

        if isinstance(places, slice):
            return array[places]
        if (kind, len(places)) not in self.scratch:
            self.scratch[kind, len(places)] = array.new_empty(len(places), array.shape[1])
        return torch.index_select(array, 0, places, out=self.scratch[kind, len(places)])


class HeadRecording:
    """Of every token that was drawn its log-probability, the entropy, and the pull on the state that it was drawn from.

    `weight` (vocabulary, size) is the frozen head's. The pull, (weight[token] - probabilities @ weight) / temperature, is made
    for several steps at once. Places are number * `most` + step.
    """

    def __init__(self, weight: torch.Tensor, rows: int, most: int, temperature: float):
        self.weight, self.most, self.temperature = weight.detach(), most, temperature
        size = (rows + 1) * most
        self.pulls = weight.new_empty(size, weight.shape[1])
        self.logps, self.entropies = weight.new_zeros(2, size).unbind()
        self.shares: Any = None
        self.waiting: list[tuple[torch.Tensor, torch.Tensor]] = []  # places and tokens of what `shares` holds
        self.filled = 0
        self.packed: Any = None
        self.starts: Any = None

    def follow(self, numbers: torch.Tensor) -> None:
        """From here on the rows of a step belong to these completions."""
        self.starts = numbers * self.most

    def room(self) -> torch.Tensor:
        """Where the probabilities of this step's rows are to be written, (rows, vocabulary)."""
        rows = len(self.starts)
        if self.shares is None:
            # In a normal mode: what is made in inference mode cannot be read by a backward.
            self.shares = self.weight.new_empty(max(SHARES_ROWS, rows), len(self.weight))
        if self.filled + rows > len(self.shares):
            self.flush()
        return self.shares[self.filled : self.filled + rows]

    def note(self, step: int, tokens: torch.Tensor, logps: torch.Tensor, entropies: torch.Tensor | None) -> None:
        """What was drawn with the probabilities that were written to `room`."""
        places = self.starts + step
        self.logps.index_copy_(0, places, logps)
        if entropies is not None:
            self.entropies.index_copy_(0, places, entropies)
        self.waiting.append((places, tokens))
        self.filled += len(tokens)

    def flush(self) -> None:
        """Turn the probabilities that have gathered into pulls."""
        import torch

        if not self.waiting:
            return
        places, tokens = (torch.cat(each) for each in zip(*self.waiting, strict=True))
        shares = self.shares[: self.filled]
        if has_onednn():
            if self.packed is None:
                self.packed = pack(self.weight.t().contiguous(), len(self.shares))
            pull = multiply(shares, self.packed)
        else:
            pull = shares @ self.weight
        pull = self.weight[tokens].sub_(pull)
        self.pulls.index_copy_(0, places, pull if self.temperature == 1.0 else pull.div_(self.temperature))
        self.waiting, self.filled = [], 0

    def end(self) -> None:
        """Nothing more is drawn: what served for drawing goes."""
        self.flush()
        self.shares = self.packed = None

    def score(self, states: torch.Tensor, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities, with their gradient by `states` (tokens, size), and entropies."""
        import torch

        index = torch.tensor(places)
        return _noted_logps().apply(states, self.pulls[index], self.logps[index]), self.entropies[index]


def begin_recording(
    model: Any, prompt_ids: Sequence[Sequence[int]], samples: int, most: int, temperature: float, measures: bool,
    most_bytes: int | None,
) -> Recording | None:  # fmt: skip
    """An empty recording for these completions; None where blocks do not run merged, or it would take too much.

    The model is in training mode. `measures`: drawing leaves the distribution as it is and measures its entropy.
    """
    rows, prompts = len(prompt_ids) * samples, sum(map(len, prompt_ids))
    blocks = [] if most < 2 else find_blocks(model, prompts + rows * (most - 1))
    if not blocks:
        return None
    head = model.get_output_embeddings()
    size = prompts + rows * (most - 1)
    needed = 4 * size * sum(sum(widths_of(block)) for block in blocks)
    if most_bytes is not None and needed > most_bytes:
        return None
    recording = Recording(blocks, prompts, rows, samples, most)
    frozen = not any(weight.requires_grad for weight in head.parameters())
    large = measures and frozen and is_worth_it(rows * most, model.config.vocab_size)
    if large and has_plain_head(model) and is_frozen_matrix(head, recording.last):
        recording.head = HeadRecording(head.weight, rows, most, temperature)
    return recording


def widths_of(block: MergedBlock) -> tuple[int, ...]:
    """Of what is kept of a block: the states that enter it, queries with keys and values, the states after attention, gate with
    up, what attention found, and of each head the share of itself that a token of a completion attended to."""
    size = len(block.before_attention.weight)
    projected, gate_up = (
        sum(len(weight) for weight in part.weights) for part in (block.queries_keys_values, block.gate_up)
    )
    queries = len(block.queries_keys_values.weights[0])
    return size, projected, size, gate_up, queries, queries // block.attention.head_dim


def contiguous(places: Sequence[int]) -> slice | None:
    """The places as one slice, where they follow each other."""
    first = places[0]
    return slice(first, first + len(places)) if list(places) == list(range(first, first + len(places))) else None


@cache
def _replayed():
    import torch

    class Replayed(torch.autograd.Function):
        """A block whose forward is recorded: nothing is computed before its backward."""

        @staticmethod
        def forward(ctx, states, replay, *trained):
            recording, number, _, places, *_ = ctx.replay = replay
            if number + 1 < len(recording.blocks):
                return states.new_zeros(1, 1).expand(states.shape)  # nobody reads it
            return recording.chosen(recording.last, places, -1).clone()

        @staticmethod
        def backward(ctx, gradient):
            recording, number, block, places, cos, sin, router = ctx.replay
            states, projected, middle, gate_up, attended, shares = recording.take(number, places)
            raw = by_head(block, projected)
            found, of_attended, pulled = pull_leave(block, attended, middle, gate_up, gradient)
            out, of_out = (each.unflatten(1, (-1, block.attention.head_dim)) for each in (attended, of_attended))
            turned, scaling = rotate(block, raw, cos, sin), block.attention.scaling
            gradients = pull_attention(router, turned, out, shares, of_out, scaling)
            wanted = ctx.needs_input_grad[0]
            before, of_projections = pull_projections(block, states, cos, sin, raw[:2], gradients, wanted)
            return found.add_(before) if before is not None else None, None, *of_projections, *pulled

    return Replayed


@cache
def _noted_logps():
    import torch

    class NotedLogps(torch.autograd.Function):
        """Log-probabilities of which the gradient by the states is known."""

        @staticmethod
        def forward(ctx, states, pulls, logps):
            ctx.save_for_backward(pulls)
            return logps.clone()

        @staticmethod
        def backward(ctx, gradient):
            (pulls,) = ctx.saved_tensors
            return pulls * gradient[:, None], None, None

    return NotedLogps
