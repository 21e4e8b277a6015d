"""Sampling of completions: one prefill per prompt, a static key-value buffer, and a batch that shrinks as rows finish."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpo.shared_prefix import causal_mask, routed_attention, unwrap

if TYPE_CHECKING:
    import torch

# Tokens of prompts that are read at once: enough for a full product, on a CPU few enough for its caches.
PACK_TOKENS, PACK_TOKENS_CPU = 32768, 2048


@dataclass(frozen=True, slots=True)
class Generated:
    """`samples` completions a prompt, in the order of the prompts.

    `completion_ids` end with the end-of-sequence token when it was reached, else `truncated` is True. `logprobs` are
    those of the distribution that was sampled from (after penalty, temperature, top-k and top-p); None when greedy.
    """

    completion_ids: list[list[int]]
    truncated: list[bool]
    logprobs: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn from the logits; the order is that of `transformers`' `generate`."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        problems = []
        if not self.temperature >= 0:
            problems.append(f"temperature: {self.temperature} is below 0; give 0 for greedy decoding or more")
        if not 0 < self.top_p <= 1:
            problems.append(f"top_p: {self.top_p} is outside (0, 1]; give 1 to keep every token")
        if self.top_k < 0:
            problems.append(f"top_k: {self.top_k} is below 0; give 0 to keep every token")
        if not self.repetition_penalty > 0:
            problems.append(f"repetition_penalty: {self.repetition_penalty} is not above 0; give 1 for none")
        if problems:
            from rewards.errors import UserError

            raise UserError(problems)


def generate(
    model: Any,
    prompt_ids_P: Sequence[Sequence[int]],
    *,
    samples: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    repetition_penalty: float = 1.0,
    eos_ids: int | Collection[int],
    pad_id: int,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
) -> Generated:
    """Write `samples` completions for each prompt with a causal language model of transformers.

    The distribution is that of the model's own `generate` with the same settings, except that a repetition penalty
    never counts padding. Temperature 0 is greedy and needs no `generator`. The same generator state gives the same
    completions whatever `batch_size` (completions that run together; None: all), up to rounding in the model.
    `pad_id` is taken as `transformers` takes it and changes nothing: no row is padded.
    """
    import torch

    sampling = Sampling(temperature, top_p, top_k, repetition_penalty)
    if samples < 1 or max_new_tokens < 1:
        raise ValueError(f"samples ({samples}) and max_new_tokens ({max_new_tokens}) must be at least 1")
    if not all(prompt_ids_P):
        raise ValueError("a prompt without tokens cannot be continued")
    if temperature > 0 and generator is None:
        raise ValueError("sampling needs a generator; give torch.Generator().manual_seed(seed), or temperature 0")
    model = unwrap(model)
    device = model.get_input_embeddings().weight.device
    eos = torch.tensor([eos_ids] if isinstance(eos_ids, int) else sorted(eos_ids), device=device)
    count = len(prompt_ids_P) * samples
    uniform = None
    if temperature > 0:
        # One number for each token that could be written, drawn at once: how rows are batched cannot change them.
        uniform = torch.rand(count, max_new_tokens, generator=generator, dtype=torch.float64, device=generator.device)
        uniform = uniform.to(device)
    ids: list[list[int]] = [[] for _ in range(count)]
    logprobs: list[list[float]] = [[] for _ in range(count)]
    with torch.inference_mode(), evaluating(model), routed_attention(model):
        for prompts, rows in batches([len(ids) for ids in prompt_ids_P], samples, batch_size):
            batch = Batch(model, [prompt_ids_P[i] for i in prompts], rows, sampling, uniform)
            for row, tokens, scores in batch.run(max_new_tokens, eos):
                ids[row], logprobs[row] = tokens, scores
    ends = set(eos.tolist())
    truncated = [tokens[-1] not in ends for tokens in ids]
    return Generated(ids, truncated, logprobs if temperature > 0 else None)


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


def batches(lengths_P: list[int], samples: int, batch_size: int | None) -> list[tuple[list[int], list[list[int]]]]:
    """Pairs of prompts that run together and, for each, the completions to write, longest prompts first.

    Prompts of like length meet, so that little is padded. Completion `s` of prompt `p` has the number
    `p * samples + s`. A prompt with more samples than `batch_size` is prefilled once for each part.
    """
    order = sorted(range(len(lengths_P)), key=lambda i: (-lengths_P[i], i))
    limit = batch_size or max(1, len(order) * samples)
    parts = []
    for prompt in order:
        numbers = list(range(prompt * samples, (prompt + 1) * samples))
        parts += [(prompt, numbers[start : start + limit]) for start in range(0, samples, limit)]
    found: list[tuple[list[int], list[list[int]]]] = []
    room = 0
    for prompt, numbers in parts:
        if len(numbers) > room:
            found.append(([], []))
            room = limit
        found[-1][0].append(prompt)
        found[-1][1].append(numbers)
        room -= len(numbers)
    return found


class Batch:
    """Completions that are written together, `chunks` of `slots` that share a prompt (see `arrange`)."""

    def __init__(self, model, prompt_ids_P, rows_P, sampling: Sampling, uniform):
        import torch

        self.model, self.sampling, self.uniform = model, sampling, uniform
        self.device = device = model.get_input_embeddings().weight.device
        self.rows = [row for rows in rows_P for row in rows]
        self.counts_P = [len(rows) for rows in rows_P]
        self.prompts = [list(ids) for ids in prompt_ids_P]
        lengths = [len(ids) for ids in self.prompts]
        self.width, self.lengths = max(lengths), torch.tensor(lengths, device=device)

    def run(self, steps: int, eos):
        """Write at most `steps` tokens a row; yield `(row, token ids, log-probs)`."""
        import torch

        model, device, count = self.model, self.device, len(self.rows)
        memory = Memory(self.width, self.lengths)
        fixed = {"use_cache": False, "attention_mask": memory.no_mask, "router": memory}
        limit = PACK_TOKENS_CPU if device.type == "cpu" else PACK_TOKENS
        logits_P = torch.cat([self.read(pack, memory, fixed) for pack in packs(self.prompts, limit)])
        if len(memory.layers) != model.config.num_hidden_layers:
            raise RuntimeError(
                f"{type(model).__name__}: {len(memory.layers)} of {model.config.num_hidden_layers} attention layers "
                "could be reached, so its completions would not see their prompts; use the model's own generate"
            )
        # One row more than there are completions: what fills a chunk up is written there and never read.
        tokens_all = torch.zeros(count + 1, steps, dtype=torch.long, device=device)
        scores_all = torch.zeros(count + 1, steps, dtype=torch.float32, device=device)
        written = torch.full((count + 1,), steps, dtype=torch.long, device=device)
        rows = torch.tensor([*self.rows, self.rows[0]], device=device)
        firsts = [sum(self.counts_P[:p]) for p in range(len(self.counts_P))]
        groups = [list(range(first, first + n)) for first, n in zip(firsts, self.counts_P, strict=True)]
        chunk_prompts, picked = arrange(groups, self.width + steps, self.width)
        at = torch.tensor([count if row is None else row for chunk in picked for row in chunk], device=device)
        source = torch.tensor(chunk_prompts, device=device)
        memory.start(source, len(picked[0]))
        source = source.repeat_interleave(len(picked[0]))
        logits, positions, done = logits_P[source], self.lengths[source, None], at == count
        seen = self.seen_tokens(logits_P.shape[-1], source)
        check_every = 1 if device.type == "cpu" else 8  # looking at `done` makes an accelerator wait
        for step in range(steps):
            uniform = None if self.uniform is None else self.uniform[rows[at], step]
            tokens, scores = draw(logits.float(), self.sampling, seen, uniform)
            tokens_all[at, step] = tokens
            if scores is not None:
                scores_all[at, step] = scores
            ends = torch.isin(tokens, eos) & ~done
            written[at] = torch.where(ends, step + 1, written[at])
            done |= ends
            if step + 1 == steps:
                break
            if seen is not None:
                seen.scatter_(1, tokens[:, None], True)
            if step % check_every == 0:
                flags = done.tolist()
                if all(flags):
                    break
                move = memory.compacted(flags, self.width + steps)
                if move is not None:
                    pick, filler = move
                    at, tokens, positions, done = at[pick], tokens[pick], positions[pick], filler
                    at[filler] = count
                    seen = None if seen is None else seen[pick]
            memory.advance()
            logits = model(input_ids=tokens[:, None], position_ids=positions, logits_to_keep=1, **fixed).logits[:, -1]
            positions = positions + 1
        lists = (written.tolist(), tokens_all.tolist(), scores_all.tolist())
        for row, length, tokens, scores in zip(self.rows, *(values[:count] for values in lists), strict=True):
            yield row, tokens[:length], scores[:length]

    def read(self, pack: range, memory: Memory, fixed: dict):
        """The logits after these prompts, which stand in one row without padding; their states go to `memory`."""
        import torch

        ids = [token for p in pack for token in self.prompts[p]]
        positions = [place for p in pack for place in range(len(self.prompts[p]))]
        memory.reading = [(p, len(self.prompts[p])) for p in pack]
        last = self.lengths[pack.start : pack.stop].cumsum(0) - 1
        ids, positions = (torch.tensor([values], device=self.device) for values in (ids, positions))
        return self.model(input_ids=ids, position_ids=positions, logits_to_keep=last, **fixed).logits[0]

    def seen_tokens(self, vocabulary: int, source):
        """Which tokens stand in the prompt of each slot, (slots, vocabulary); None without a penalty."""
        import torch

        if self.sampling.repetition_penalty == 1.0:
            return None
        seen = torch.zeros(len(self.prompts), vocabulary, dtype=torch.bool)
        for prompt, ids in enumerate(self.prompts):
            seen[prompt, ids] = True
        return seen.to(self.device)[source]


def packs(prompts: list[list[int]], limit: int) -> Iterator[range]:
    """Neighbours that are read in one forward: at most `limit` tokens, or one prompt that is longer."""
    start = total = 0
    for end, ids in enumerate(prompts):
        if end > start and total + len(ids) > limit:
            yield range(start, end)
            start, total = end, 0
        total += len(ids)
    yield range(start, len(prompts))


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


def draw(logits, sampling: Sampling, seen=None, uniform=None):
    """The next token of each row of float32 `logits` and its log-probability; greedy, and None, without `uniform`.

    `seen` marks the tokens that the repetition penalty counts; `uniform` holds one number in [0, 1) a row.
    """
    import torch

    if sampling.repetition_penalty != 1.0:
        penalty = sampling.repetition_penalty
        logits = torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
    if uniform is None:
        return logits.argmax(-1), None
    if sampling.temperature != 1.0:
        logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, order = logits.sort(descending=False, dim=-1)
        drop = ordered.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        drop[:, -1] = False
        logits = logits.masked_fill(torch.zeros_like(drop).scatter_(1, order, drop), -torch.inf)
    scores = logits.log_softmax(-1)
    cumulative = scores.exp().cumsum(-1, dtype=torch.float64)
    # A float64 below 1 times the total is below the total: a token of probability 0 at the end is never chosen.
    tokens = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)
    return tokens[:, 0], scores.gather(1, tokens)[:, 0]


class Memory:
    """The keys and values of a batch: each prompt's once, and those of its completions, chunk by chunk.

    Prompts are kept padded on the left, so that the place of a token is the same in every row. Keys are stored with
    the places last, as the product with the queries reads them. Arrays grow in steps, and shrink when rows leave.
    """

    def __init__(self, width: int, lengths):
        import torch

        self.width, self.chunks, self.slots, self.written, self.room = width, len(lengths), 0, 0, 0
        self.layers: dict[int, list] = {}
        self.reading: list[tuple[int, int]] = []  # number and length of the prompts in the row that is being read
        # transformers builds no mask of its own when it is handed one with four axes.
        self.no_mask = torch.zeros(1, 1, 1, 1, device=lengths.device)
        padding = torch.arange(width, device=lengths.device) < (width - lengths)[:, None]
        self.padding = padding if bool(padding.any()) else None

    def attend(self, layer: int, query, key, value, scaling, dropout, window):
        """Attention of the newest tokens to all that stands before them; see `routed_attention`."""
        import torch

        if not self.slots:
            return self.attend_prompts(layer, query, key, value, scaling, window)
        prompt_keys, prompt_values, keys, values = self.layers[layer]
        chunks, slots, heads, size = self.chunks, self.slots, key.shape[1], key.shape[3]
        shared, width, length = query.shape[1] // heads, self.width, self.written
        keys[..., length - 1] = key.view(chunks, slots, heads, size).transpose(1, 2)
        values[..., length - 1, :] = value.view(chunks, slots, heads, -1).transpose(1, 2)
        first = max(0, width + length - window) if window else 0
        first, own = min(first, width), max(0, first - width)
        # Heads that share a key, and slots that share a prompt, are rows of one product: no key is read twice.
        query = query.view(chunks, slots, heads, shared, size).transpose(1, 2) * scaling
        query = query.reshape(chunks * heads * slots, shared, size)
        to_prompt = torch.bmm(query.view(chunks * heads, -1, size), prompt_keys[..., first:])
        to_prompt = to_prompt.view(chunks, heads, slots * shared, width - first)
        if self.padding is not None:
            to_prompt += self.bias[..., first:]
        to_own = torch.bmm(query, keys.flatten(0, 2)[..., own:length])
        scores = torch.cat((to_prompt.view(*to_own.shape[:2], -1), to_own), -1)
        weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
        to_prompt = weights[..., : width - first].reshape(chunks * heads, slots * shared, -1)
        out = torch.bmm(to_prompt, prompt_values[:, first:]).view(*query.shape[:2], -1)
        out.baddbmm_(weights[..., width - first :], values.flatten(0, 2)[:, own:length])
        out = out.view(chunks, heads, slots, shared, -1).transpose(1, 2)
        return out.reshape(chunks * slots, heads * shared, 1, -1)

    def attend_prompts(self, layer: int, query, key, value, scaling, window):
        """Attention within each prompt of a packed row; what decoding needs of it is stored."""
        import torch

        if layer not in self.layers:
            prompts, heads, width = self.chunks, key.shape[1], self.width
            room = (
                key.new_zeros(prompts, heads, key.shape[3], width),
                value.new_zeros(prompts, heads, width, value.shape[3]),
            )
            self.layers[layer] = list(room)
        keys, values = self.layers[layer]
        shared, start, outs = query.shape[1] // key.shape[1], 0, []
        for prompt, length in self.reading:
            q, k, v = (states[:, :, start : start + length] for states in (query, key, value))
            keys[prompt, :, :, self.width - length :] = k[0].transpose(1, 2)
            values[prompt, :, self.width - length :] = v[0]
            band = causal_mask(length, window, q.device) if window and window < length else None
            k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
            outs.append(
                torch.nn.functional.scaled_dot_product_attention(
                    q, k, v, attn_mask=band, is_causal=band is None, scale=scaling
                )
            )
            start += length
        return torch.cat(outs, 2)

    def start(self, source, slots: int) -> None:
        """End the prompts: chunk `i` continues prompt `source[i]` with `slots` completions."""
        import torch

        self.chunks, self.slots = len(source), slots
        for layer, (keys, values) in self.layers.items():
            self.layers[layer] = [
                keys[source].flatten(0, 1),
                values[source].flatten(0, 1),
                keys.new_empty(self.chunks, keys.shape[1], slots, keys.shape[2], 0),
                values.new_empty(self.chunks, values.shape[1], slots, 0, values.shape[3]),
            ]
        if self.padding is not None:
            self.padding = self.padding[source]
            dtype = self.layers[0][0].dtype
            self.bias = torch.zeros(self.padding.shape, dtype=dtype, device=source.device)
            self.bias = self.bias.masked_fill_(self.padding, -torch.inf)[:, None, None]

    def advance(self) -> None:
        """Make room for one token more."""
        self.written += 1
        if self.written > self.room:
            self.room = max(32, 2 * self.room)
            self.rebuild(lambda states: states)

    def compacted(self, done: list[bool], row_cost: int):
        """Leave out the slots that are done, where that saves a quarter; `(old slot of each new one, is it filler)`.

        None when the batch stayed as it was.
        """
        import torch

        slots = self.slots
        if sum(done) * 4 < len(done):
            return None
        groups = [[i for i in range(c * slots, (c + 1) * slots) if not done[i]] for c in range(self.chunks)]
        sources, chunks = arrange(groups, row_cost, self.width)
        if 4 * len(chunks) * len(chunks[0]) > 3 * len(done):
            return None
        device = self.no_mask.device
        source = torch.tensor(sources, device=device)
        pick = torch.tensor([[chunk[0] if i is None else i for i in chunk] for chunk in chunks], device=device)
        filler = torch.tensor([i is None for chunk in chunks for i in chunk], device=device)
        self.chunks, self.slots = pick.shape
        old_chunk, old_slot = pick // slots, pick % slots
        for states in self.layers.values():
            for part in (0, 1):
                by_chunk = states[part].view(-1, states[2].shape[1], *states[part].shape[1:])
                states[part] = by_chunk[source].flatten(0, 1)
        if self.padding is not None:
            self.bias = self.bias[source]
        self.rebuild(lambda states: states[old_chunk, :, old_slot].transpose(1, 2))
        return pick.flatten(), filler

    def rebuild(self, chosen) -> None:
        """Copy what was written, as `chosen` picks it, into arrays with `room` places."""
        for states in self.layers.values():
            keys, values = chosen(states[2][..., : self.written]), chosen(states[3][..., : self.written, :])
            states[2] = keys.new_empty(*keys.shape[:-1], self.room)
            states[2][..., : keys.shape[-1]] = keys
            states[3] = values.new_empty(*values.shape[:-2], self.room, values.shape[-1])
            states[3][..., : values.shape[-2], :] = values
