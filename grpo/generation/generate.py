"""Sampling of completions: prompts are read once, keys and values kept in static arrays, finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grpo.generation.batch import Batch, has_window
from grpo.generation.decoder import find_decoder
from grpo.generation.sampling import Sampling, exact_device
from grpo.generation.shared_prefixes import find_stems
from grpo.generation.speculation import write_ahead
from grpo.policy.attention import routed_attention
from grpo.policy.shared_prefix import evaluating, unwrap

if TYPE_CHECKING:
    import torch

    from grpo.policy.recording import Recording


@dataclass(frozen=True, slots=True)
class Generated:
    """`samples` completions a prompt, in the order of the prompts.

    `completion_ids` end with the end-of-sequence token when it was reached, else `truncated` is True. `logprobs` are
    those of the distribution that was sampled from (after penalty, temperature, top-k, top-p and min-p); None when greedy.
    `entropies` (nats), where asked for, are those of the whole distribution at the temperature, before any filter.
    """

    completion_ids: list[list[int]]
    truncated: list[bool]
    logprobs: list[list[float]] | None
    entropies: list[list[float]] | None = None


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
    min_p: float = 0.0,
    eos_ids: int | Collection[int],
    pad_id: int,
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
    entropies: bool = False,
    ahead: int = 0,
    earlier: Mapping[tuple[int, ...], Sequence[Sequence[int]]] | None = None,
    recording: Recording | None = None,
    fused: bool = False,
) -> Generated:
    """Write `samples` completions for each prompt with a causal language model of transformers.

    The distribution is that of the model's own `generate` with the same settings, except that a repetition penalty
    never counts padding. Temperature 0 is greedy and needs no `generator`. The same generator state gives the same
    completions whatever `batch_size` (completions that run together; None: all), up to rounding in the model.
    `pad_id` is taken as `transformers` takes it and changes nothing: no row is padded. `entropies` asks for the
    entropy at each token as well; greedy decoding has none. At most `ahead` tokens are guessed and read at once, where
    the model and the sampling allow (see `speculation`); `earlier` has older completions of a prompt to guess from.
    `recording` keeps what the loss needs again, in one batch without guesses. `fused` asks for few kernels where the device
    is one for which Triton compiles.
    """
    import torch

    sampling = Sampling(temperature, top_p, top_k, repetition_penalty, min_p)
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
    if temperature > 0 and generator is not None:
        # One number for each token that could be written, drawn at once: how rows are batched cannot change them.
        uniform = torch.rand(count, max_new_tokens, generator=generator, dtype=torch.float64, device=generator.device)
        uniform = uniform.to(exact_device(device))
    ids: list[list[int]] = [[] for _ in range(count)]
    logprobs: list[list[float]] = [[] for _ in range(count)]
    spreads: list[list[float]] = [[] for _ in range(count)]
    with torch.inference_mode(), evaluating(model), routed_attention(model):
        stems = [] if batch_size is None or has_window(model.config) else find_stems(prompt_ids_P)
        for prompts, rows in batches([len(ids) for ids in prompt_ids_P], samples, batch_size, stems):
            batch = Batch(
                model, [prompt_ids_P[i] for i in prompts], rows, sampling, uniform, entropies, recording, fused
            )
            for row, tokens, scores, spread in write(batch, max_new_tokens, eos, ahead, earlier or {}):
                ids[row], logprobs[row], spreads[row] = tokens, scores, spread
            if recording is not None and batch.is_recorded:
                recording.written = dict(enumerate(ids))
    ends = set(eos.tolist())
    truncated = [tokens[-1] not in ends for tokens in ids]
    sampled = temperature > 0
    return Generated(ids, truncated, logprobs if sampled else None, spreads if sampled and entropies else None)


def write(
    batch: Batch, steps: int, eos: torch.Tensor, ahead: int, earlier: Mapping[tuple[int, ...], Sequence[Sequence[int]]]
) -> Iterator[tuple[int, list[int], list[float], list[float]]]:
    """The batch's completions, with guesses where it can take them: no penalty on what was written, a known family."""
    if ahead and steps > 1 and batch.sampling.repetition_penalty == 1.0:
        decoder = find_decoder(batch.model, int(batch.lengths.max()) + steps)
        if decoder is not None:
            older = [earlier.get(tuple(ids), ()) for ids in batch.prompts]
            return write_ahead(batch, decoder, steps, set(eos.tolist()), ahead, older)
    return batch.run(steps, eos)


def batches(
    lengths_P: list[int], samples: int, batch_size: int | None, stems: Sequence[tuple[int, list[int]]] = ()
) -> list[tuple[list[int], list[list[int]]]]:
    """Pairs of prompts that run together and, for each, the completions to write, longest prompts first.

    Prompts of like length meet, so that little is padded; those that begin alike (`stems`, see `find_stems`) stay
    together. Completion `s` of prompt `p` has the number `p * samples + s`. A prompt with more samples than
    `batch_size` is prefilled once for each part.
    """
    longest = list(lengths_P)
    run = list(range(len(lengths_P)))
    for _, members in stems:
        for number in members:
            longest[number], run[number] = max(lengths_P[member] for member in members), members[0]
    order = sorted(range(len(lengths_P)), key=lambda i: (-longest[i], run[i], -lengths_P[i], i))
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
