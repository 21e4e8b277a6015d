"""Answers of a policy to rows, batched by length, where each answer's random numbers follow from its row alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from grpo.policy import Policy
from rewards.types import Completion, Example


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

    def to_json(self) -> dict[str, float | int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Answer(NamedTuple):
    """One completion and how many tokens it has."""

    completion: Completion
    tokens: int


def plan_batches(lengths: Sequence[int], *, batch_size: int, samples: int) -> list[list[int]]:
    """The rows that run together, at most `batch_size` completions, the longest prompts first.

    What does not fit into memory fails at once then, and the time left is never told too short.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    rows = max(1, batch_size // samples)
    return [order[start : start + rows] for start in range(0, len(order), rows)]


def answer_batch(
    policy: Policy, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
) -> list[list[Answer]]:
    """`samples` answers to each example, whose prompts are given as token ids.

    The random numbers of an answer follow from the seed, the row's task and id and the number of the sample, so that
    neither the batch nor the rows left out by --limit or --resume change it. Only where `find_fallback` has a reason do
    they follow from the rows of the batch.
    """
    import torch

    from grpo.generation import Batch, Sampling, evaluating
    from grpo.shared_prefix import routed_attention, unwrap

    if find_fallback(policy) is not None:
        return _answer_by_transformers(policy, examples, prompts, settings)
    model = unwrap(policy.model)
    device = model.get_input_embeddings().weight.device
    sampling = Sampling(settings.temperature, settings.top_p, settings.top_k, settings.repetition_penalty)
    uniform = None
    if settings.temperature > 0:
        uniform = torch.stack(
            [
                torch.rand(settings.max_completion_length, dtype=torch.float64, generator=_generator(key))
                for key in (
                    (settings.seed, example.task, example.id, sample)
                    for example in examples
                    for sample in range(settings.samples)
                )
            ]
        ).to(device)
    numbers = [
        list(range(place * settings.samples, (place + 1) * settings.samples)) for place in range(len(examples))
    ]  # fmt: skip
    eos = torch.tensor(policy.eos_ids, device=device)
    ids: dict[int, list[int]] = {}
    with torch.inference_mode(), evaluating(model), routed_attention(model):
        batch = Batch(model, [list(prompt) for prompt in prompts], numbers, sampling, uniform)
        for row, tokens, *_ in batch.run(settings.max_completion_length, eos):
            ids[row] = tokens
    return _read(policy, ids, settings.samples)


def find_fallback(policy: Policy) -> str | None:
    """Why the model cannot be driven by our own generation and writes by transformers' `generate`; None where it can."""
    from grpo.shared_prefix import supports

    return supports(policy.model)


def _answer_by_transformers(
    policy: Policy, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
) -> list[list[Answer]]:
    """The slow way, for architectures that our own generation does not know."""
    import torch
    from transformers import GenerationConfig

    model, pad = policy.model, policy.tokenizer.pad_token_id
    width = max(len(prompt) for prompt in prompts)
    device = model.get_input_embeddings().weight.device
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    sampled = {
        "do_sample": True, "temperature": settings.temperature, "top_p": settings.top_p, "top_k": settings.top_k
    } if settings.temperature > 0 else {"do_sample": False}  # fmt: skip
    configuration = GenerationConfig(
        max_new_tokens=settings.max_completion_length,
        num_return_sequences=settings.samples,
        repetition_penalty=settings.repetition_penalty,
        eos_token_id=policy.eos_ids,
        pad_token_id=pad,
        **sampled,
    )
    key = (settings.seed, examples[0].task, examples[0].id, len(examples))
    model.eval()
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(_seed(key))
        written = model.generate(ids, attention_mask=mask, generation_config=configuration)[:, width:].tolist()
    ends = set(policy.eos_ids)
    cut = {}
    for row, tokens in enumerate(written):
        end = next((place + 1 for place, token in enumerate(tokens) if token in ends), len(tokens))
        cut[row] = tokens[:end]
    return _read(policy, cut, settings.samples)


def _read(policy: Policy, ids: Mapping[int, Sequence[int]], samples: int) -> list[list[Answer]]:
    """The answers as text, in order; row r is sample r % samples of example r // samples."""
    ends = set(policy.eos_ids)
    answers = [
        Answer(Completion(policy.prompts.text(ids[row]), ids[row][-1] not in ends), len(ids[row]))
        for row in range(len(ids))
    ]
    return [answers[start : start + samples] for start in range(0, len(answers), samples)]


def answer_plainly(
    policy: Policy, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
) -> list[list[Answer]]:
    """`answer_batch` for a policy whose attention we cannot take over; its numbers follow from the first row."""
    from grpo.engines.plain_generation import generate_plainly

    written = generate_plainly(
        policy.model,
        prompts,
        samples=settings.samples,
        max_new_tokens=settings.max_completion_length,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        repetition_penalty=settings.repetition_penalty,
        eos_ids=policy.eos_ids,
        pad_id=policy.tokenizer.pad_token_id,
        generator=_generator((settings.seed, examples[0].task, examples[0].id, 0)),
    )
    answers = [
        Answer(Completion(policy.prompts.text(ids), truncated), len(ids))
        for ids, truncated in zip(written.completion_ids, written.truncated, strict=True)
    ]
    return [answers[start : start + settings.samples] for start in range(0, len(answers), settings.samples)]


def _generator(key: tuple[int, str, str, int]):
    import torch

    return torch.Generator().manual_seed(_seed(key))


def _seed(key: tuple[int, str, str, int]) -> int:
    digest = hashlib.sha256("\x00".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
