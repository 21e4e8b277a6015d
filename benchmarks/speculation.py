"""Guessing ahead on a trained policy: forwards and seconds of generation beside token by token, completions compared.

    python benchmarks/speculation.py runs/NAME --prompts 4 --group 16 --ahead 0 2 4

Reads the best policy of a run and its training rows. Each setting writes every batch twice, with other random numbers the
second time: then the first completions are known, as those of an earlier step are. CPU seconds are the process's own, so
that other work on the machine hardly counts.

    python benchmarks/speculation.py --cost smollm2 embedded5m

says what a forward of several tokens a row costs beside one of one token, attention left out: guessing pays where more
tokens are right a forward than that.
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
    parser.add_argument("run", type=Path, nargs="?", help="the folder of a finished run")
    parser.add_argument("--cost", nargs="+", default=[], metavar="MODEL", help="models of benchmarks/step.py")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--ahead", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    for name in options.cost:
        show_cost(name)
    if options.run is None:
        if not options.cost:
            parser.error("give the folder of a run, or --cost MODEL")
        return
    from grpo.config.run_config import RunConfig
    from grpo.data.run_rows import load_inputs
    from grpo.policy.loading import read_saved

    config = RunConfig.model_validate(json.loads((options.run / "config.json").read_text())["config"])
    policy = read_saved(options.run / "best", config.model, "cpu")
    rows = load_inputs(config).train[: options.prompts * options.batches]
    prompts = [policy.prompts.prompt_ids(row.prompt) for row in rows]
    batches = [prompts[start : start + options.prompts] for start in range(0, len(prompts), options.prompts)]
    wanted = None
    for ahead in options.ahead:
        row, texts = measure(policy, batches, options.group, config.grpo.max_completion_length, ahead)
        wanted = wanted or texts
        print(json.dumps({"ahead": ahead, **row, "equal": texts == wanted}), flush=True)


def show_cost(name: str) -> None:
    """A line of JSON for each number of rows: milliseconds of one token a row, and how many times as much wider ones take."""
    import torch

    from benchmarks.step_models import make_policy
    from grpo.generation.decoder import find_decoder
    from grpo.policy.shared_prefix import unwrap

    model = unwrap(make_policy({"model": name, "ends": 0.0, "completion": 100}).model).eval()
    with torch.inference_mode():
        decoder = find_decoder(model, 512)
        assert decoder is not None
        for rows in (1, 2, 4, 8, 16, 32):
            times = {}
            for width in (1, 2, 3, 5):
                tokens = torch.ones(rows, width, dtype=torch.long)
                best = float("inf")
                for _ in range(4):
                    start = time.process_time()
                    decoder.step(tokens, tokens, lambda layer, query, key, value, scaling: query)
                    best = min(best, time.process_time() - start)
                times[width] = best
            wider = {f"times_{width}": round(times[width] / times[1], 2) for width in (2, 3, 5)}
            print(json.dumps({"model": name, "rows": rows, "ms": round(times[1] * 1e3, 1), **wider}), flush=True)


def measure(policy, batches, group: int, steps: int, ahead: int) -> tuple[dict, list]:
    """Forwards and CPU seconds of both rounds, and all completions."""
    import torch

    from grpo.generation.decoder import Decoder
    from grpo.generation.generate import generate

    count = 0
    inner = Decoder.step

    def step(self, *args):
        nonlocal count
        count += 1
        return inner(self, *args)

    Decoder.step = step
    found, texts = {}, []
    earlier: dict[tuple[int, ...], list[list[int]]] = {}
    try:
        for name in ("fresh", "seen"):
            count, start = 0, time.process_time()
            for number, prompts in enumerate(batches, 0 if name == "fresh" else 1000):
                written = generate(
                    policy.model, prompts, samples=group, max_new_tokens=steps, eos_ids=policy.eos_ids,
                    pad_id=policy.tokenizer.pad_token_id, generator=torch.Generator().manual_seed(number), entropies=True,
                    ahead=ahead, earlier=earlier if name == "seen" else None,
                ).completion_ids  # fmt: skip
                texts.append(written)
                for place, ids in enumerate(prompts):
                    earlier[tuple(ids)] = written[place * group : (place + 1) * group]
            found |= {f"{name}_forwards": count, f"{name}_seconds": round(time.process_time() - start, 2)}
    finally:
        Decoder.step = inner
    return found, texts


if __name__ == "__main__":
    main()
