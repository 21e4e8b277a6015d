"""Answers of the policy to held-out rows: batched, by length, at the evaluation's own declared settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from callbacks.config import EvaluationSection
from grpo.policy import Policy
from rewards.types import Completion, Example


def make_generate(
    policy: Policy, section: EvaluationSection, *, max_completion_length: int
) -> Callable[[Sequence[Example], Callable[[int], None]], list[Completion]]:
    """A function from examples to one completion each, in order; it calls its second argument with the rows just done.

    Its random numbers come from `section.seed`, so that an evaluation neither depends on nor disturbs training.
    """
    import torch

    from grpo.generation import generate

    def answer(examples: Sequence[Example], advance: Callable[[int], None]) -> list[Completion]:
        prompts = [policy.prompts.prompt_ids(example.prompt) for example in examples]
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        answers: list[Completion | None] = [None] * len(prompts)
        generator = torch.Generator(device=policy.model.device).manual_seed(section.seed)
        training = policy.model.training
        policy.model.eval()
        for start in range(0, len(order), section.batch_size):
            batch = order[start : start + section.batch_size]
            generated = generate(
                policy.model,
                [prompts[index] for index in batch],
                samples=1,
                max_new_tokens=section.max_completion_length or max_completion_length,
                temperature=section.temperature,
                top_p=section.top_p,
                top_k=section.top_k,
                repetition_penalty=section.repetition_penalty,
                eos_ids=policy.eos_ids,
                pad_id=policy.tokenizer.pad_token_id,
                generator=generator,
            )
            for index, ids, truncated in zip(batch, generated.completion_ids, generated.truncated, strict=True):
                answers[index] = Completion(policy.prompts.text(ids), truncated)
            advance(len(batch))
        policy.model.train(training)
        return answers

    return answer
