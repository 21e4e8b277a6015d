"""How far the gradients of a loss whose forward was recorded are from those of reading again, on SmolLM2 with LoRA.

    python benchmarks/recorded_gradients.py --prompt 60 --group 4 --completion 24

Both are held against float64 weights where `--exact` asks for it (three times the time, twice the memory).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=60)
    parser.add_argument("--group", type=int, default=4)
    parser.add_argument("--completion", type=int, default=24)
    parser.add_argument("--exact", action="store_true", help="with float64 beside them")
    options = parser.parse_args()
    import torch

    from benchmarks.step_models import make_policy
    from benchmarks.step_trainers import make_examples, quieten
    from grpo.generation.generate import generate
    from grpo.policy import head_logprobs, lean_activations
    from grpo.policy.recording import begin_recording
    from grpo.policy.shared_prefix import unwrap

    quieten()
    lean_activations.LEAST_BYTES = head_logprobs.LEAST_LOGITS = 0  # small passes are recorded as well
    policy = make_policy({"model": "smollm2", "ends": 0.0, "completion": options.completion})
    prompt = policy.prompts.prompt_ids(make_examples(options.prompt, policy.tokenizer)[0].prompt)
    policy.model.train()
    recording = begin_recording(unwrap(policy.model), [prompt], options.group, options.completion, 1.0, True, None)
    assert recording is not None
    written = generate(
        policy.model, [prompt], samples=options.group, max_new_tokens=options.completion, eos_ids=[], pad_id=0,
        generator=torch.Generator().manual_seed(0), entropies=True, recording=recording,
    )  # fmt: skip
    prompts = torch.tensor([prompt]).expand(options.group, -1)
    ids = torch.tensor(written.completion_ids)
    batch = prompts, torch.ones_like(prompts), ids, torch.ones_like(ids)
    recorded = pull(policy.model, batch, recording=recording, numbers=range(options.group))
    again = pull(policy.model, batch)
    say("recorded", recorded, "read again", again)
    if options.exact:
        exact = pull(policy.model.double(), batch)
        say("recorded", recorded, "float64", exact)
        say("read again", again, "float64", exact)


def pull(model: Any, batch: tuple, **options: Any) -> tuple[Any, Any]:
    """Log-probabilities and the gradients of all trained weights end to end, in float64."""
    import torch

    from grpo.policy.shared_prefix import grouped_logps

    model.zero_grad()
    logps, _ = grouped_logps(model, *batch, compute_entropy=True, **options)
    (logps * torch.linspace(-1, 1, len(logps))[:, None]).sum().backward()
    gradients = [each.grad.double().flatten() for each in model.parameters() if each.grad is not None]
    return logps.detach().double(), torch.cat(gradients)


def say(one: str, found: tuple, other: str, wanted: tuple) -> None:
    difference = (found[1] - wanted[1]).norm() / wanted[1].norm()
    most = (found[0] - wanted[0]).abs().max()
    line = {"of": one, "and": other, "gradients": difference.item(), "logprobs_most": most.item()}
    print(
        json.dumps({key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in line.items()})
    )


if __name__ == "__main__":
    main()
