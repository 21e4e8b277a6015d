"""Random models of several families, and what transformers writes with them."""

from functools import cache

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from grpo.generation.generate import generate
from tests.grpo.random_models import build_random, list_families

VOCABULARY, EOS, PAD = 31, 2, 0
MODELS = list_families(6, vocab_size=VOCABULARY, pad_token_id=PAD, eos_token_id=EOS)


def build(name):
    return build_random(MODELS[name], 3.0).eval()


cached = cache(build)


def make_prompts(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def run(model, prompts, **options):
    return generate(model, prompts, eos_ids=EOS, pad_id=PAD, **options)


def greedy_of_transformers(model, prompt, steps, ends=EOS, **options):
    ids = torch.tensor([prompt])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False, eos_token_id=ends, **options
    )
    return out[0, len(prompt) :].tolist()


def processed(model, prompt, completion, sampling):
    """Log-probs of each completion token: a plain forward, then the processors of transformers."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0].float()
    found = []
    for place, token in enumerate(completion):
        before = torch.tensor([prompt + completion[:place]])
        scores = processors(sampling)(before, logits[None, len(prompt) + place - 1])
        found.append(scores.log_softmax(-1)[0, token].item())
    return found


def processors(sampling):
    chain = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    chain.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        chain.append(TopPLogitsWarper(sampling.top_p))
    return chain


def make_prompts_with_stems(stems, tails, seed=0):
    """Prompts of which each begins with one of the stems (given by their lengths; 0 is none), in a mixed order."""
    generator = torch.Generator().manual_seed(seed)
    starts = make_prompts([n or 1 for n in stems], seed=seed + 1)
    prompts = []
    for number, tail in enumerate(tails):
        start = starts[number % len(stems)] if stems[number % len(stems)] else []
        prompts.append(start + torch.randint(3, VOCABULARY, (tail,), generator=generator).tolist())
    return prompts
