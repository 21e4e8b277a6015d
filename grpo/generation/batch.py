"""Completions written token by token: prompts are read once, finished rows leave the batch.

Axes end a name: `_P` prompts, `_N` completions (and one row that nobody reads), `_T` tokens of a completion, `_V`
vocabulary, `_B` rows of the present forward, chunks times slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from grpo.generation.cuda_graphs import StepGraph
from grpo.generation.decoder import find_decoder
from grpo.generation.kv_cache import KVCache, Piece, arrange
from grpo.generation.rows import WrittenRows
from grpo.generation.sampling import Sampling
from grpo.generation.shared_prefixes import are_worth_it, find_stems

# Tokens of prompts that are read at once: enough for a full product, on a CPU few enough for its caches.
PACK_TOKENS, PACK_TOKENS_CPU = 32768, 2048


class Batch:
    """Completions that are written together, `chunks` of `slots` that share a prompt (see `arrange`).

    `rows_P` are the numbers of the completions of each prompt; `uniform` has a row for each number. `recording` is told what
    is computed, where the model is written without its modules; `is_recorded` says whether it was. `fused` asks for few kernels
    on a CUDA device (see `fused`).
    """

    is_recorded = False

    def __init__(
        self, model: Any, prompt_ids_P, rows_P, sampling: Sampling, uniform, entropies: bool = False, recording=None,
        fused: bool = False,
    ):  # fmt: skip
        import torch

        self.fused = fused
        self.model, self.sampling, self.uniform, self.entropies = model, sampling, uniform, entropies
        self.device = device = model.get_input_embeddings().weight.device
        stems = [(0, [number]) for number in range(len(prompt_ids_P))]
        if not has_window(model.config):
            found = find_stems(prompt_ids_P)
            stems = found if are_worth_it(found, sum(map(len, prompt_ids_P))) else stems
        # Prompts with the same stem stand side by side.
        order = [number for _, members in stems for number in members]
        self.recording = recording
        self.prompts = [list(prompt_ids_P[number]) for number in order]
        self.rows = [row for number in order for row in rows_P[number]]
        self.counts_P = [len(rows_P[number]) for number in order]
        self.firsts = [rows_P[number][0] for number in order]
        self.lengths = torch.tensor([len(ids) for ids in self.prompts], device=device)
        self.pieces = cut_prompts(self.prompts, [(shared, len(members)) for shared, members in stems])
        self.tails = [piece for piece in self.pieces if piece.prompt is not None]
        self.width = max(piece.length for piece in self.tails)

    def run(
        self, steps: int, eos, stop_repetition: int | None = None
    ) -> Iterator[tuple[int, list[int], list[float], list[float]]]:
        """Write at most `steps` tokens a row; yield `(row, token ids, log-probs, entropies)`.

        A row that repeats itself `stop_repetition` times ends there (see `Repetitions`).
        """
        import torch

        model, device, count = self.model, self.device, len(self.rows)
        static = wants_static_shapes(model)
        decoder = find_decoder(model, int(self.lengths.max()) + steps, self.fused and static)
        if decoder is None:
            self.recording = None
        recording = self.recording
        self.is_recorded = recording is not None
        fused = decoder is not None and decoder.fused
        memory = KVCache(self.width, self.tails, device, static, fused)
        memory.note_shares = None if recording is None else recording.note_shares
        fixed = {"use_cache": False, "attention_mask": memory.no_mask, "router": memory}
        logits_PV = self.read_prompts(memory, fixed)
        firsts = [sum(self.counts_P[:p]) for p in range(len(self.counts_P))]
        groups = [list(range(first, first + n)) for first, n in zip(firsts, self.counts_P, strict=True)]
        chunk_prompts, picked = arrange(groups, self.width + steps, self.width)
        at_B = torch.tensor([count if row is None else row for chunk in picked for row in chunk], device=device)
        memory.start(chunk_prompts, len(picked[0]))
        prompt_B = torch.tensor(chunk_prompts, device=device).repeat_interleave(len(picked[0]))
        seen_BV = self.seen_tokens(logits_PV.shape[-1], prompt_B)
        rows = WrittenRows(
            self.rows, steps, at_B, self.lengths[prompt_B, None], seen_BV, self.sampling, self.uniform, eos,
            entropies=self.entropies, stop_repetition=stop_repetition, recording=recording, static=static,
        )  # fmt: skip

        def write_token() -> None:
            if decoder is not None:
                logits_BV = decoder.step(rows.token_B[:, None], rows.position_B, memory.attend_next, recording)
            else:
                ids, positions = rows.token_B[:, None], rows.position_B
                logits_BV = model(input_ids=ids, position_ids=positions, logits_to_keep=1, **fixed).logits[:, -1]
            rows.position_B += 1
            rows.choose(logits_BV)

        step_graph = StepGraph(write_token, memory, type(model).__name__)
        check_every = 1 if device.type == "cpu" else 8  # looking at `done` makes an accelerator wait
        rows.choose(logits_PV[prompt_B])
        for step in range(steps - 1):
            if step % check_every == 0:
                done = rows.done_B.tolist()
                if all(done):
                    break
                move = memory.compacted(done, self.width + steps)
                if move is not None:
                    rows.keep(*move)
            memory.advance()
            if recording is not None:
                recording.begin_step(step)
            step_graph()
        if recording is not None and recording.head is not None:
            recording.head.end()
        yield from rows.written()

    def read_prompts(self, memory: KVCache, fixed: dict):
        """The logits after each prompt, (P, vocabulary): stems first, then what is left of each prompt."""
        import torch

        limit = PACK_TOKENS_CPU if self.device.type == "cpu" else PACK_TOKENS
        stems = [piece for piece in self.pieces if piece.prompt is None]
        for pack in packs([piece.length for piece in stems], limit) if stems else ():
            self.read(stems[pack.start : pack.stop], memory, fixed)
        logits = [
            self.read(self.tails[pack.start : pack.stop], memory, fixed)
            for pack in packs([piece.length for piece in self.tails], limit)
        ]
        if len(memory.layers) != self.model.config.num_hidden_layers:
            raise RuntimeError(
                f"{type(self.model).__name__}: {len(memory.layers)} of {self.model.config.num_hidden_layers} attention "
                "layers could be reached, so its completions would not see their prompts; use the model's own generate"
            )
        return torch.cat(logits)

    def read(self, pieces: Sequence[Piece], memory: KVCache, fixed: dict):
        """The logits after these pieces, which stand in one row without padding; their states go to `memory`."""
        import torch

        ids = [token for piece in pieces for token in piece.ids]
        positions = [piece.start + place for piece in pieces for place in range(piece.length)]
        ends = torch.tensor([piece.length for piece in pieces], device=self.device).cumsum(0) - 1
        # The head is asked for at these ends alone: over all tokens of the prompts its logits would be the largest array.
        memory.reading = pieces
        memory.reached.clear()
        ids, positions = (torch.tensor([values], device=self.device) for values in (ids, positions))
        noted = nullcontext() if self.recording is None else self.recording.reading(self.model, pieces, self.firsts)
        with noted:
            return self.model(input_ids=ids, position_ids=positions, logits_to_keep=ends, **fixed).logits[0]

    def seen_tokens(self, vocabulary: int, prompt_B):
        """Which tokens stand in the prompt of each row, (B, vocabulary); None without a penalty."""
        import torch

        if self.sampling.repetition_penalty == 1.0:
            return None
        seen = torch.zeros(len(self.prompts), vocabulary, dtype=torch.bool)
        for prompt, ids in enumerate(self.prompts):
            seen[prompt, ids] = True
        return seen.to(self.device)[prompt_B]


def wants_static_shapes(model: Any) -> bool:
    """Whether decoding runs as CUDA graphs, for which nothing but numbers may change from step to step."""
    return model.get_input_embeddings().weight.device.type == "cuda" and not has_window(model.config)


def has_window(config: Any) -> bool:
    """Whether any layer sees the last tokens only; how much of a stem is left then differs from row to row."""
    kinds = getattr(config, "layer_types", None)
    return "sliding_attention" in kinds if kinds else bool(getattr(config, "sliding_window", None))


def cut_prompts(prompts: list[list[int]], stems: list[tuple[int, int]]) -> list[Piece]:
    """Each stem, (tokens, prompts that begin with it), before the tails of its prompts, which stand in that order."""
    pieces, first, number = [], 0, 0
    for shared, members in stems:
        stem = None
        if shared:
            stem, number = number, number + 1
            pieces.append(Piece(prompts[first][:shared], 0, stem, None))
        for prompt in range(first, first + members):
            pieces.append(Piece(prompts[prompt][shared:], shared, stem, prompt))
        first += members
    return pieces


def packs(lengths: list[int], limit: int) -> Iterator[range]:
    """Neighbours that are read in one forward: at most `limit` tokens, or one piece that is longer."""
    start = total = 0
    for end, length in enumerate(lengths):
        if end > start and total + length > limit:
            yield range(start, end)
            start, total = end, 0
        total += length
    yield range(start, len(lengths))
