"""The step benchmark of the pretrained model of profile small: `python benchmarks/step.py --model small`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def compare_small(options: argparse.Namespace) -> None:
    """The step of the pretrained model beside plain TRL's, and how far their log-probabilities are apart."""
    from benchmarks.step import STEP_HEADER, compare_steps, measure_matmul, show_step
    from benchmarks.step_trainers import make_small_policy

    policy = make_small_policy()
    counted = policy.model.num_parameters()
    difference = compare_logprobs(policy, prompt=300, completion=options.completion, group=4)
    del policy
    print(f"{counted / 1e6:.1f} M parameters, {options.threads} thread(s)")
    print(f"log-probs, nats: {', '.join(f'{name} {value:.1e}' for name, value in difference.items())}\n")
    print(STEP_HEADER, flush=True)
    setting = {
        "model": "small", "prompts": 1, "prompt": 300, "group": 16, "completion": options.completion, "ends": 0.0
    }  # fmt: skip
    row = compare_steps(setting, options, measure_matmul())
    show_step(row)
    if options.json:
        found = {"threads": options.threads, "parameters": counted, "logprob_difference": difference, "steps": [row]}
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


def compare_logprobs(policy, prompt: int, completion: int, group: int) -> dict[str, float]:
    """Differences in nats between our shared pass and the model's own, over completions that it wrote.

    Beside the largest and the mean in float32 stand what is left of it with float64 weights, and how far each pass is
    from that in float32: the rounding of thirty layers is in both.
    """
    import torch

    from benchmarks.step_trainers import make_examples
    from grpo.generation.generate import generate
    from grpo.policy.shared_prefix import grouped_logps

    ids = policy.prompts.prompt_ids(make_examples(prompt, policy.tokenizer)[0].prompt)
    written = generate(
        policy.model, [ids], samples=group, max_new_tokens=completion, eos_ids=policy.eos_ids,
        pad_id=policy.tokenizer.pad_token_id, generator=torch.Generator().manual_seed(1),
    ).completion_ids  # fmt: skip
    first, rest = torch.tensor([ids]).expand(group, -1), torch.tensor(written)
    policy.model.eval()

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            ours, _ = grouped_logps(policy.model, first, torch.ones_like(first), rest, torch.ones_like(rest))
            logits = policy.model(torch.cat((first, rest), 1), logits_to_keep=rest.shape[1] + 1).logits[:, :-1]
            return ours, logits.log_softmax(-1).gather(2, rest[..., None])[..., 0]

    ours, plain = run()
    policy.model.double()
    exact_ours, exact = run()
    return {
        "largest": (ours - plain).abs().max().item(),
        "mean": (ours - plain).abs().mean().item(),
        "largest_float64": (exact_ours - exact).abs().max().item(),
        "ours_rounding": (ours - exact).abs().max().item(),
        "plain_rounding": (plain - exact).abs().max().item(),
    }
