"""Greedy answers of a policy in this process: written, or answers that are there confirmed as its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rewards.types import Completion, Example

if TYPE_CHECKING:
    from grpo.policy.loading import Policy

Advance = Callable[[int], None]
_CACHE_SHARE = 0.25
"""Most memory for keys and values, as a share of the weights: the proof of a small model must not weigh more than it."""
_LEAST_CACHE = 64 << 20


def answer_greedily(
    policy: Policy, examples: Sequence[Example], *, limit: int, batch: int, advance: Advance = lambda _: None
) -> list[Completion]:
    """Greedy answers, at most `batch` at once and no more than a share of the weights' memory has room for."""
    from grpo.generation.answers import Settings, answer_batch, plan_batches

    settings = Settings(0.0, 1.0, 0, 1.0, limit, 1, 0)
    prompts = [policy.prompts.prompt_ids(example.prompt) for example in examples]
    fitting = min(batch, fit_batch(policy.model, max(map(len, prompts), default=0) + limit))
    answers: dict[int, Completion] = {}
    for places in plan_batches([len(ids) for ids in prompts], batch_size=fitting, samples=1):
        rows = answer_batch(policy, [examples[i] for i in places], [prompts[i] for i in places], settings)
        answers |= {place: row[0].completion for place, row in zip(places, rows, strict=True)}
        advance(len(places))
    return [answers[place] for place in range(len(examples))]


def fit_batch(model: Any, tokens: int) -> int:
    """How many rows of `tokens` tokens have keys and values of at most a share of the weights' bytes; at least one."""
    from grpo.plan.memory_estimate import shape_from

    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    shape = shape_from(model.config.to_dict())
    if shape is None:
        return 1
    element = model.get_input_embeddings().weight.element_size()
    row = shape.cache_bytes_per_token(element) * max(tokens, 1)
    return max(1, int(max(_CACHE_SHARE * weights, _LEAST_CACHE)) // row)


def answer_or_confirm(
    policy: Policy,
    examples: Sequence[Example],
    known: Sequence[Completion],
    *,
    limit: int,
    batch: int,
    advance: Advance = lambda _: None,
) -> list[Completion]:
    """The policy's greedy answers, where `known` are what they are expected to be.

    An answer is taken where the policy, reading prompt and answer at once, prefers every token of it and then an end: that
    is the answer it writes, found in one forward instead of one a token. All others are written.
    """
    found: dict[int, Completion] = {}
    for place, (example, completion) in enumerate(zip(examples, known, strict=True)):
        if _prefers(policy, policy.prompts.prompt_ids(example.prompt), completion, limit):
            found[place] = completion
            advance(1)
    others = [place for place in range(len(examples)) if place not in found]
    if others:
        rows = [examples[place] for place in others]
        written = answer_greedily(policy, rows, limit=limit, batch=batch, advance=advance)
        found |= dict(zip(others, written, strict=True))
    return [found[place] for place in range(len(examples))]


def _prefers(policy: Policy, prompt: Sequence[int], completion: Completion, limit: int) -> bool:
    """Whether each token of the answer is the first choice after those before it. No where its text has other tokens."""
    import torch

    answer = list(policy.tokenizer.encode(completion.text, add_special_tokens=False))
    whole = len(answer) == limit if completion.truncated else len(answer) < limit
    ends = set(policy.eos_ids)
    if not whole or ends & {*answer} or policy.prompts.text(answer) != completion.text:
        return False
    model = policy.model
    device = model.get_input_embeddings().weight.device
    kept = (
        {"logits_to_keep": len(answer) + 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    )
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *answer]], device=device)
        logits = model(input_ids=ids, use_cache=False, **kept).logits[0, -len(answer) - 1 :]
    choices = logits.argmax(-1).tolist()
    return choices[:-1] == answer and (completion.truncated or choices[-1] in ends)
