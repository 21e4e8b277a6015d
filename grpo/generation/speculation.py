"""Completions written several tokens at a time: guesses are read together, and kept where they are what is drawn anyway.

A row's next token follows from its text and from its random number, which is drawn beforehand. So a guess is right
exactly when it is the token that would have been drawn, and the completions are those of writing token by token, up to
the rounding of a model that reads several tokens at once. Guesses come from the prompt, from the other completions of
the group and from earlier completions of the same prompt: what followed where the last tokens stood before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from grpo.generation.kv_cache import KVCache, arrange
from grpo.generation.sampling import draw

if TYPE_CHECKING:
    from grpo.generation.batch import Batch
    from grpo.generation.decoder import Decoder

LOOKS_BACK = (3, 2)  # tokens that have to be the same for what followed them to be a guess, the surest first


class Guesses:
    """What followed each few tokens in the texts of one prompt; the texts go on growing while they are written."""

    def __init__(self, texts: Iterable[Sequence[int]]):
        self.places: dict[tuple[int, ...], tuple[Sequence[int], int]] = {}
        for text in texts:
            for end in range(1, len(text)):
                self.note(text, end)

    def note(self, text: Sequence[int], end: int) -> None:
        """Remember where the tokens before place `end` of a text stand."""
        for back in LOOKS_BACK:
            if end >= back:
                self.places[tuple(text[end - back : end])] = text, end

    def guess(self, prompt: Sequence[int], text: Sequence[int], most: int) -> list[int]:
        """At most `most` tokens that may follow `text` after `prompt`; none where its end was never seen."""
        for back in LOOKS_BACK:
            tail = text[-back:] if len(text) >= back else [*prompt[len(text) - back :], *text]
            found = self.places.get(tuple(tail))
            if found is not None and (following := list(found[0][found[1] : found[1] + most])):
                return following
        return []


class EarlierCompletions:
    """The newest completions of each prompt, to guess the next ones from; the oldest prompts are forgotten first."""

    def __init__(self, prompts: int = 4096):
        self.prompts = prompts
        self.texts: dict[tuple[int, ...], list[list[int]]] = {}

    def keep(self, prompt_ids: Sequence[Sequence[int]], completion_ids: Sequence[list[int]]) -> None:
        """Put these completions in the place of what their prompts had before."""
        found: dict[tuple[int, ...], list[list[int]]] = {}
        for prompt, text in zip(prompt_ids, completion_ids, strict=True):
            found.setdefault(tuple(prompt), []).append(text)
        for prompt, texts in found.items():
            self.texts.pop(prompt, None)
            self.texts[prompt] = texts
        while len(self.texts) > self.prompts:
            del self.texts[next(iter(self.texts))]


class RaggedCache(KVCache):
    """Keys and values of rows that are of different lengths; the newest tokens of a row are several."""

    reads_ahead = True  # a longer row's places are read with a shorter row's

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.at: Any = None  # (rows, width): places of the newest tokens
        self.hidden: Any = None  # (rows, 1, width, places): -inf at what a token may not see

    def make_room(self, lengths: Sequence[int], width: int) -> None:
        """Make room for `width` tokens after the `lengths` of each row."""
        import torch

        device, needed = self.no_mask.device, max(lengths) + width
        if needed > self.room:
            self.written, self.room = self.room, max(32, 2 * self.room, needed)
            self.rebuild(lambda states: states)
        self.written = needed
        first = torch.tensor(lengths, device=device)[:, None]
        self.at = first + torch.arange(width, device=device)
        unseen = torch.arange(needed, device=device) > self.at[..., None]
        like = self.layers[0].tail_keys
        self.hidden = like.new_zeros(unseen.shape).masked_fill_(unseen, -torch.inf)[:, None]

    def attend_next(self, layer: int, query, key, value, scaling):
        """Attention of several newest tokens a row, (rows, heads, width, size), to what stands before each of them."""
        import torch

        states, chunks, slots, heads, size = self.layers[layer], self.chunks, self.slots, key.shape[1], key.shape[3]
        rows, width, shared = chunks * slots, key.shape[2], query.shape[1] // key.shape[1]
        keys, values = states.keys.view(heads, rows, size, -1), states.values.view(heads, rows, self.room, -1)
        keys.scatter_(3, self.at[None, :, None].expand(heads, rows, size, width), key.permute(1, 0, 3, 2))
        places = self.at[None, ..., None].expand(heads, rows, width, values.shape[3])
        values.scatter_(2, places, value.permute(1, 0, 2, 3))
        keys, values = keys.flatten(0, 1)[..., : self.written], values.flatten(0, 1)[:, : self.written]
        query = (query * scaling).reshape(chunks, slots, heads, shared, width, size).permute(2, 0, 1, 3, 4, 5)
        # As in KVCache, but the rows of a product are slots times heads that share a key times newest tokens.
        query_HCRD = query.reshape(heads, chunks, slots * shared * width, size)
        shape = query_HCRD.shape[:3]
        to_tail_HCRW = torch.bmm(query_HCRD.flatten(0, 1), states.tail_keys.flatten(0, 1)).reshape(*shape, -1)
        if self.bias is not None:
            to_tail_HCRW += self.bias
        to_own = torch.bmm(query_HCRD.reshape(heads * rows, shared * width, size), keys)
        to_own = to_own.reshape(heads, rows, shared, width, -1) + self.hidden
        parts: tuple[Any, ...] = (to_tail_HCRW, to_own.reshape(*shape, -1))
        if states.stems:
            parts = (self.score_stems(states, query_HCRD), *parts)
        weights = torch.cat(parts, -1).softmax(-1, dtype=torch.float32).to(value.dtype)
        *to_stem, to_tail_HCRW, to_own_HCRT = weights.split([part.shape[-1] for part in parts], -1)
        out_HCRD = torch.bmm(to_tail_HCRW.flatten(0, 1), states.tail_values.flatten(0, 1)).reshape(*shape, -1)
        for start, end, number in self.stem_runs() if to_stem else ():
            read = states.stems[number][1]
            chosen = to_stem[0][:, start:end, :, : read.shape[1]].reshape(heads, -1, read.shape[1])
            out_HCRD[:, start:end] += torch.bmm(chosen, read).view(heads, end - start, *out_HCRD.shape[2:])
        out = out_HCRD.reshape(heads * rows, shared * width, -1)
        out = torch.baddbmm(out, to_own_HCRT.reshape(*out.shape[:2], -1), values)
        out = out.reshape(heads, rows, shared, width, -1).permute(1, 0, 2, 3, 4)
        return out.reshape(rows, heads * shared, width, -1)


def write_ahead(
    batch: Batch, decoder: Decoder, steps: int, ends: set[int], ahead: int, earlier: Sequence[Sequence[Sequence[int]]]
) -> Iterator[tuple[int, list[int], list[float], list[float]]]:
    """What `Batch.run` yields, with at most `ahead` guesses a forward; `earlier` are older completions of each prompt."""
    import torch

    device, count = batch.device, len(batch.rows)
    memory = RaggedCache(batch.width, batch.tails, device)
    logits_PV = batch.read_prompts(memory, {"use_cache": False, "attention_mask": memory.no_mask, "router": memory})
    prompt_of = [prompt for prompt, number in enumerate(batch.counts_P) for _ in range(number)]
    groups: list[list[int]] = [[] for _ in batch.prompts]
    for row, prompt in enumerate(prompt_of):
        groups[prompt].append(row)
    guesses = [Guesses([ids, *older]) for ids, older in zip(batch.prompts, earlier, strict=True)]
    written: list[tuple[list[int], list[float], list[float]]] = [([], [], []) for _ in range(count)]

    def take(row: int, token: int, score: float, spread: float) -> None:
        tokens, scores, spreads = written[row]
        tokens.append(token)
        scores.append(score)
        spreads.append(spread)
        guesses[prompt_of[row]].note(tokens, len(tokens) - 1)

    def draw_next(logits, rows: Sequence[int], width: int):
        """Tokens, log-probabilities and entropies of each place, (rows, width) lists."""
        uniform = None
        if batch.uniform is not None:
            places = [[min(len(written[row][0]) + j, steps - 1) for j in range(width)] for row in rows]
            owners = torch.tensor([batch.rows[row] for row in rows])
            uniform = batch.uniform[owners[:, None], torch.tensor(places)].flatten()
        found = draw(logits.float(), batch.sampling, None, uniform, batch.entropies)
        zeros = torch.zeros(len(rows), width)
        return [(zeros if each is None else each).view(len(rows), width).tolist() for each in found]

    every = list(range(count))
    for row, values in zip(
        every, zip(*draw_next(logits_PV[torch.tensor(prompt_of)], every, 1), strict=True), strict=True
    ):
        take(row, *(each[0] for each in values))
    chunk_prompts, picked = arrange(groups, batch.width + steps, batch.width)
    memory.start(chunk_prompts, len(picked[0]))
    at: list[int | None] = [row for chunk in picked for row in chunk]

    def is_done(row: int | None) -> bool:
        return row is None or len(written[row][0]) >= steps or written[row][0][-1] in ends

    while True:
        done = [is_done(row) for row in at]
        if all(done):
            break
        move = memory.compacted(done, batch.width + steps) if memory.written else None
        if move is not None:
            picks, fillers = (each.tolist() for each in move)
            at = [None if filler else at[pick] for pick, filler in zip(picks, fillers, strict=True)]
            done = [is_done(row) for row in at]
        rows = [every[0] if row is None else row for row in at]
        guessed = [
            [] if over else guesses[prompt_of[row]].guess(
                batch.prompts[prompt_of[row]], written[row][0], min(ahead, steps - len(written[row][0]) - 1)
            )
            for row, over in zip(rows, done, strict=True)
        ]  # fmt: skip
        width = 1 + max(map(len, guessed))
        lengths = [len(written[row][0]) - 1 for row in rows]
        memory.make_room(lengths, width)
        tokens = [
            [written[row][0][-1], *each, *[0] * (width - 1 - len(each))]
            for row, each in zip(rows, guessed, strict=True)
        ]
        first = [len(batch.prompts[prompt_of[row]]) + length for row, length in zip(rows, lengths, strict=True)]
        positions = torch.tensor(first, device=device)[:, None] + torch.arange(width, device=device)
        positions = positions.clamp(max=decoder.longest - 1)
        logits = decoder.step(torch.tensor(tokens, device=device), positions, memory.attend_next)
        drawn = draw_next(logits, rows, width)
        for slot, row in enumerate(rows):
            if done[slot]:
                continue
            for place, values in enumerate(zip(*(each[slot] for each in drawn), strict=True)):
                take(row, *values)
                wrong = place >= len(guessed[slot]) or values[0] != guessed[slot][place]
                if wrong or values[0] in ends:
                    break
    for row, (tokens_row, scores, spreads) in zip(batch.rows, written, strict=True):
        yield row, tokens_row, scores, spreads
