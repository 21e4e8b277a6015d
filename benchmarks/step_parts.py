"""Time and peak memory of the parts of a GRPO step, ours beside plain transformers and TRL, on random weights.

    python benchmarks/step_parts.py --threads 1 --json parts.json

Each pair runs in turns in one process, so that a busy machine slows both; times are medians, memory is what the loss
adds to the resident memory of a fresh process (Linux). Random weights hardly ever write an end: the gain of
rows that leave the batch is not in these numbers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.step_measures import reset_peak, resident

VOCABULARY, EOS, PAD = 1024, 2, 0
SIZES = {"small": (4, 128), "medium": (6, 256)}  # layers, hidden units: about 1 and 5 million parameters
HEADER = f"{'part':12} {'policy':8} {'prompt':>6} {'G':>4} {'plain':>9} {'ours':>9} {'ratio':>6}"


def main() -> None:
    options = parse()
    import torch

    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure_memory(json.loads(options.measure))))
        return
    print(HEADER, flush=True)
    rows = []
    for size in options.sizes:
        for prompt in options.prompt:
            for group in options.group:
                setting = {"size": size, "prompt": prompt, "group": group}
                setting |= {"completion": options.completion, "prompts": options.prompts}
                for part in (measure_generation, measure_loss, compare_memory):
                    rows.append(show(part(setting, options), setting))
        setting = {"size": size, "prompt": max(options.prompt), "group": 1}
        setting |= {"completion": options.completion, "prompts": options.evaluate}
        rows.append(show(measure_evaluation(setting), setting))
    if options.json:
        Path(options.json).write_text(json.dumps({"threads": options.threads, "rows": rows}, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--prompt", nargs="+", type=int, default=[100, 300], help="longest prompt, tokens")
    parser.add_argument("--completion", type=int, default=100, help="longest completion, tokens")
    parser.add_argument("--group", nargs="+", type=int, default=[8, 16], help="completions a prompt")
    parser.add_argument("--prompts", type=int, default=2, help="prompts a step")
    parser.add_argument("--evaluate", type=int, default=64, help="prompts of the evaluation")
    parser.add_argument("--json", help="write the rows here as well")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


def show(row: dict, setting: dict) -> dict:
    row = {**setting, **row, "ratio": row["plain"] / row["ours"]}
    print(
        f"{row['part']:12} {row['size']:8} {row['prompt']:6} {row['group']:4} {row['plain']:7.2f} {row['unit']:1} "
        f"{row['ours']:7.2f} {row['unit']:1} {row['ratio']:6.2f}",
        flush=True,
    )
    return row


def build_model(size: str):
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    layers, hidden = SIZES[size]
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            intermediate_size=3 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=hidden // 4,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
        )
    )


def make_prompts(setting: dict) -> list[list[int]]:
    """Prompts of 80 to 100 % of the longest length; the first has it."""
    import torch

    generator = torch.Generator().manual_seed(1)
    longest = setting["prompt"]
    lengths = torch.randint(longest * 4 // 5, longest + 1, (setting["prompts"],), generator=generator).tolist()
    lengths[0] = longest
    return [torch.randint(3, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def make_batch(setting: dict):
    """Left-padded prompts and right-padded completions of 50 to 100 % of the longest length, with their masks."""
    import torch

    generator = torch.Generator().manual_seed(2)
    prompts = [prompt for prompt in make_prompts(setting) for _ in range(setting["group"])]
    longest = setting["completion"]
    lengths = torch.randint(longest // 2, longest + 1, (len(prompts), 1), generator=generator)
    lengths[0] = longest
    completion_mask = (torch.arange(longest) < lengths).long()
    completion_ids = torch.randint(3, VOCABULARY, completion_mask.shape, generator=generator) * completion_mask
    return *pad_left(prompts), completion_ids, completion_mask


def pad_left(prompts: list[list[int]]):
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(prompt)) + prompt for prompt in prompts])
    return ids, torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])


def plain_loss(model, prompt_ids, prompt_mask, completion_ids, completion_mask):
    """What TRL's trainer does for its loss, the weighting left out."""
    import torch
    from trl.trainer.utils import selective_log_softmax_and_entropy

    tokens = completion_ids.shape[1]
    logits = model(
        input_ids=torch.cat((prompt_ids, completion_ids), 1),
        attention_mask=torch.cat((prompt_mask, completion_mask), 1),
        logits_to_keep=tokens + 1,
        use_cache=False,
    ).logits[:, :-1]
    logps, _ = selective_log_softmax_and_entropy(
        logits, completion_ids, entropy_requires_grad=False, row_mask=completion_mask
    )
    return logps.sum()


def our_loss(model, *batch):
    from grpo.policy.shared_prefix import grouped_logps

    return grouped_logps(model, *batch, compute_entropy=True)[0].sum()


def alternate(plain, ours, repeats: int) -> dict:
    """Median seconds of both, run in turns after one run that is not counted."""
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for turn in range(repeats + 1):
        for name, call in (("plain", plain), ("ours", ours)):
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {"unit": "s"} | {name: statistics.median(values) for name, values in times.items()}


def measure_generation(setting: dict, options) -> dict:
    import torch

    from grpo.generation.generate import generate

    model, prompts = build_model(setting["size"]).eval(), make_prompts(setting)
    ids, mask = pad_left([prompt for prompt in prompts for _ in range(setting["group"])])
    steps = setting["completion"]

    def plain():
        with torch.no_grad():
            model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=steps, do_sample=True,
                temperature=1.0, top_k=0, top_p=1.0, eos_token_id=EOS, pad_token_id=PAD,
            )  # fmt: skip

    def ours():
        generate(
            model, prompts, samples=setting["group"], max_new_tokens=steps, eos_ids=[], pad_id=PAD,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    return {"part": "generation"} | alternate(plain, ours, options.repeats)


def measure_evaluation(setting: dict) -> dict:
    """Greedy completions of many prompts: one prompt at a time, beside ours."""
    import torch

    from grpo.generation.generate import generate

    model, prompts = build_model(setting["size"]).eval(), make_prompts(setting)
    steps = setting["completion"]

    def plain():
        with torch.no_grad():
            for prompt in prompts:
                ids, mask = pad_left([prompt])
                model.generate(
                    input_ids=ids, attention_mask=mask, max_new_tokens=steps, do_sample=False, eos_token_id=EOS,
                    pad_token_id=PAD,
                )  # fmt: skip

    def ours():
        generate(model, prompts, samples=1, max_new_tokens=steps, temperature=0, eos_ids=EOS, pad_id=PAD, batch_size=64)

    return {"part": "evaluation"} | alternate(plain, ours, 1)


def measure_loss(setting: dict, options) -> dict:
    model, batch = build_model(setting["size"]).train(), make_batch(setting)

    def step(loss):
        model.zero_grad()
        loss(model, *batch).backward()

    return {"part": "loss"} | alternate(lambda: step(plain_loss), lambda: step(our_loss), options.repeats)


def compare_memory(setting: dict, options) -> dict:
    """MiB that one loss, forward and backward, adds to a process of its own."""
    row = {"part": "loss memory", "unit": "M"}
    for name in ("plain", "ours"):
        command = [sys.executable, __file__, "--threads", str(options.threads)]
        command += ["--measure", json.dumps(setting | {"loss": name})]
        row[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return row


def measure_memory(setting: dict) -> float:
    model, batch = build_model(setting["size"]).train(), make_batch(setting)
    loss = {"plain": plain_loss, "ours": our_loss}[setting["loss"]]
    # A first loss on very little loads the code and allocates the gradients.
    loss(model, *make_batch({"prompt": 5, "completion": 4, "group": 2, "prompts": 1})).backward()
    # Importing everything took more memory at once than a small loss does: the peak is counted from here.
    before = reset_peak()
    loss(model, *batch).backward()
    return resident("VmHWM") - before


if __name__ == "__main__":
    main()
