"""`grpo.run` with vLLM colocated, which notes at each generation what vLLM and the policy each write greedily.

A line of JSON for each step goes to the file named by WATCHED: both completions of each prompt, whether prefix caching is
on in the engine, and how many tokens of the step's prompts came out of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from grpo.engines.vllm import VllmEngine
from grpo.run import main

attach = VllmEngine.attach


def attach_watched(engine: VllmEngine, trainer) -> None:
    attach(engine, trainer)
    generation = trainer.vllm_generation
    generate, llm = generation.generate, generation.llm
    plain, answers = llm.generate, []

    def keep(*arguments, **options):
        answers[:] = plain(*arguments, **options)
        return answers

    def generate_watched(prompts, *arguments, **options):
        result = generate(prompts, *arguments, **options)
        cached = [answer.num_cached_tokens for answer in answers]
        note(trainer, llm, prompts, cached)
        return result

    llm.generate, generation.generate = keep, generate_watched


def note(trainer, llm, prompts: list[list[int]], cached: list[int]) -> None:
    from vllm import SamplingParams

    from grpo.generation.generate import generate

    policy, length = trainer._policy, trainer.max_completion_length
    different = [list(ids) for ids in dict.fromkeys(map(tuple, prompts))]
    greedy = SamplingParams(temperature=0, max_tokens=length)
    theirs = llm.generate([{"prompt_token_ids": ids} for ids in different], sampling_params=greedy, use_tqdm=False)
    ours = generate(
        policy.model, different, samples=1, max_new_tokens=length, temperature=0.0,
        eos_ids=policy.eos_ids, pad_id=policy.tokenizer.pad_token_id,
    )  # fmt: skip
    line = {
        "step": trainer.state.global_step,
        "theirs": [list(answer.outputs[0].token_ids) for answer in theirs],
        "ours": ours.completion_ids,
        "prefix_caching": llm.llm_engine.vllm_config.cache_config.enable_prefix_caching,
        "prompt_tokens": [len(ids) for ids in prompts],
        "cached_tokens": cached,
    }
    with Path(os.environ["WATCHED"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


VllmEngine.attach = attach_watched

if __name__ == "__main__":
    sys.exit(main())
