"""Sampling with the model's own `generate`: for models and engines whose attention we cannot take over."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from grpo.generation.generate import Generated

if TYPE_CHECKING:
    import torch


def generate_plainly(
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
) -> Generated:
    """What `grpo.generation.generate.generate` does, without log-probabilities, prompts padded on the left and repeated.

    Its random numbers follow from `generator`; those of the process are as they were afterwards.
    """
    import torch
    from transformers import GenerationConfig

    eos = {eos_ids} if isinstance(eos_ids, int) else set(eos_ids)
    device = model.device
    rows = [list(ids) for ids in prompt_ids_P for _ in range(samples)]
    width = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    sampling: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        sampling = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    config = GenerationConfig(
        max_new_tokens=max_new_tokens,
        repetition_penalty=repetition_penalty,
        eos_token_id=sorted(eos),
        pad_token_id=pad_id,
        **sampling,
    )
    training = model.training
    model.eval()
    # `generate` takes no generator: it draws from the process's own.
    with torch.inference_mode(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if generator is not None:
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))
        written = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, width:].tolist()
    model.train(training)
    completions = []
    for row in written:
        end = next((place for place, token in enumerate(row) if token in eos), len(row) - 1)
        completions.append(row[: end + 1])
    return Generated(completions, [row[-1] not in eos for row in completions], None)
