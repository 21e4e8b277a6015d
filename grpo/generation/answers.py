"""Answers of a policy to rows, batched by length, where each answer's random numbers follow from its row alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from callbacks.config import EvaluationSection
from grpo.generation.repetition import find_stop
from grpo.policy.loading import Policy
from rewards.types import Completion, Example

if TYPE_CHECKING:
    from grpo.policy.prompts import PromptBuilder


@dataclass(frozen=True, slots=True)
class Settings:
    """How answers are sampled; `samples` a row. Part of the result: runs of other settings are not compared."""

    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    max_completion_length: int
    samples: int
    seed: int
    stop_repetition: int | None = None

    def to_json(self) -> dict[str, float | int]:
        """The settings by name; `stop_repetition` only if it is on, so that older evaluations stay comparable."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in found.items() if value is not None}


class WrittenAnswer(NamedTuple):
    """One completion and how many tokens it has."""

    completion: Completion
    tokens: int


def plan_batches(lengths: Sequence[int], *, batch_size: int, samples: int) -> list[list[int]]:
    """The rows that run together, `batch_size` completions or one row, the longest prompts first.

    Prompts of like length meet, so that little is padded, and the time left is never told too short.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    rows = max(1, batch_size // samples)
    return [order[start : start + rows] for start in range(0, len(order), rows)]


def answer_batch(
    policy: Policy,
    examples: Sequence[Example],
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    samples: range | None = None,
) -> list[list[WrittenAnswer]]:
    """The answers numbered `samples` (None: all) to each example, whose prompts are given as token ids.

    The random numbers of an answer follow from the seed, the row's task and id and the number of the sample, so that
    neither the batch nor the rows left out by --limit or --resume change it. Only where `find_fallback` has a reason do
    they follow from the rows of the batch.
    """
    import torch

    from grpo.generation.generate import Batch, Sampling, evaluating
    from grpo.generation.sampling import exact_device
    from grpo.policy.shared_prefix import routed_attention, unwrap

    samples = range(settings.samples) if samples is None else samples
    if find_fallback(policy) is not None:
        return _answer_plainly(policy, examples, prompts, settings, samples)
    model = unwrap(policy.model)
    device = model.get_input_embeddings().weight.device
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k, settings.repetition_penalty)
    uniform = None
    if settings.temperature > 0:
        uniform = torch.stack(
            [
                torch.rand(
                    settings.max_completion_length,
                    dtype=torch.float64,
                    generator=_generator(draw_seed(settings, example, sample)),
                )
                for example in examples
                for sample in samples
            ]
        ).to(exact_device(device))
    numbers = [list(range(place * len(samples), (place + 1) * len(samples))) for place in range(len(examples))]
    eos = torch.tensor(policy.eos_ids, device=device)
    ids: dict[int, list[int]] = {}
    with torch.inference_mode(), evaluating(model), routed_attention(model):
        batch = Batch(model, [list(prompt) for prompt in prompts], numbers, sampling, uniform, fused=policy.fused)
        for row, tokens, *_ in batch.run(settings.max_completion_length, eos, settings.stop_repetition):
            ids[row] = tokens
    ends = set(policy.eos_ids)
    written = (take_answer(policy.prompts, ids[row], ends, settings, at_loops=True) for row in range(len(ids)))
    return group(list(written), len(samples))


def take_answer(
    prompts: PromptBuilder, ids: list[int], ends: Collection[int], settings: Settings, *, at_loops: bool = False
) -> WrittenAnswer:
    """The answer in the tokens that were written; if loops are to be ended and the writer went on, the answer ends at
    its first loop. A writer that ends `at_loops` itself is not looked over again.
    """
    times = settings.stop_repetition
    stop = None
    if times is not None and ids:
        stop = len(ids) if at_loops else find_stop(ids, times)
    repeated = stop is not None and stop < settings.max_completion_length and ids[stop - 1] not in ends
    if stop is not None and repeated:
        ids = ids[:stop]
    completion = prompts.completion(ids, truncated=not ids or ids[-1] not in ends)
    completion.repeated = repeated
    return WrittenAnswer(completion, len(ids))


def find_fallback(policy: Policy) -> str | None:
    """Why the model is not driven by our own generation and writes by its own `generate`; None where it is."""
    from grpo.policy.prefix_support import supports

    return policy.fallback or supports(policy.model)


def group(answers: Sequence[WrittenAnswer], samples: int) -> list[list[WrittenAnswer]]:
    """The answers example by example, of which each has `samples`."""
    return [list(answers[start : start + samples]) for start in range(0, len(answers), samples)]


def _answer_plainly(
    policy: Policy,
    examples: Sequence[Example],
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    samples: range,
) -> list[list[WrittenAnswer]]:
    """The slow way, for policies whose attention we cannot take over; its numbers follow from the batch's first row."""
    from grpo.generation.plain import generate_plainly

    written = generate_plainly(
        policy.model,
        prompts,
        samples=len(samples),
        max_new_tokens=settings.max_completion_length,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        repetition_penalty=settings.repetition_penalty,
        eos_ids=policy.eos_ids,
        pad_id=policy.tokenizer.pad_token_id,
        generator=_generator(draw_seed(settings, examples[0], samples.start)),
    )
    ends = set(policy.eos_ids)
    return group([take_answer(policy.prompts, ids, ends, settings) for ids in written.completion_ids], len(samples))


def draw_seed(settings: Settings, example: Example, sample: int) -> int:
    """The seed of one answer's random numbers."""
    key = (settings.seed, example.task, example.id, sample)
    digest = hashlib.sha256("\x00".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _generator(seed: int):
    import torch

    return torch.Generator().manual_seed(seed)


def prepare_answers(
    policy: Policy,
    examples: Sequence[Example],
    section: EvaluationSection,
    *,
    max_completion_length: int,
    processes: int,
) -> tuple[list[list[int]], Callable[[Sequence[int]], list[Completion]]]:
    """The places of `examples` in batches, for this many processes at once, and what answers places with one completion each.

    Random numbers come from `section.seed` and the row, so that an evaluation neither depends on nor disturbs training, and
    is the same however many processes share it.
    """
    settings = Settings(
        temperature=section.temperature,
        top_p=section.top_p,
        top_k=section.top_k,
        repetition_penalty=section.repetition_penalty,
        max_completion_length=section.max_completion_length or max_completion_length,
        samples=1,
        seed=section.seed,
        stop_repetition=section.stop_repetition,
    )
    prompts = [policy.prompts.prompt_ids(example.prompt) for example in examples]

    def answer(places: Sequence[int]) -> list[Completion]:
        if not places:
            return []
        rows = answer_batch(policy, [examples[i] for i in places], [prompts[i] for i in places], settings)
        return [row[0].completion for row in rows]

    lengths = [len(ids) for ids in prompts]
    return plan_batches(lengths, batch_size=section.batch_size * processes, samples=1), answer
