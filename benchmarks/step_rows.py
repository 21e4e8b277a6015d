"""One row of the step benchmark after another, any model on any device, each a line of JSON: `benchmarks/step.py --rows`.

A row is `prompt/group` or `prompt/group/completion` in tokens, completions, tokens. On a CUDA device a trainer takes one
step that is not counted and then `--steps`, everything waited for at the borders of the parts; memory is torch's own
count. On a processor steps run in turns and memory is taken in a process of its own (see benchmarks/step.py).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.step_measures import measure_matmul, run_alone, run_step
from benchmarks.step_models import count_matrices, describe_weights, make_embedded, make_policy, make_random
from benchmarks.step_trainers import build_trainer

PARTS = ("step", "generation", "scoring", "loss")
# Dense bfloat16 products of the data sheets, TFLOP/s, by what the device calls itself.
DATASHEET = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L4": 121.0, "L40S": 362.0, "B200": 2250.0}
NEEDS = {"liger": "liger_kernel", "unsloth": "unsloth"}


def run_rows(options: argparse.Namespace) -> list[dict]:
    """Measure and print every row for every trainer; what cannot run is a line with a reason."""
    found, rates = [], {}
    device = describe_device(options)
    say({"device": device, "model": options.model, "weights": describe_weights(options.model), "dtype": options.dtype})
    if options.logprobs:
        found.append(say({"logprobs": compare_logprobs(options)}))
    for text in options.rows.split(","):
        setting = read_row(text, options)
        for trainer in options.trainers.split(","):
            row = {"row": text, "trainer": trainer, "model": options.model, "prompts": options.prompts}
            try:
                row |= measure(trainer, setting, options, device, rates)
            except Missing as reason:
                row["missing"] = str(reason)
            except Exception as fault:
                if "out of memory" not in str(fault).lower():
                    raise
                row["missing"] = "out of memory"
            found.append(say(row))
            release()
        found += compare(found, text)
    return found


class Missing(Exception):
    """A trainer that this machine does not have."""


def read_row(text: str, options: argparse.Namespace) -> dict:
    numbers = [int(part) for part in text.split("/")]
    if len(numbers) not in (2, 3):
        raise SystemExit(f"--rows: {text!r} is not prompt/group or prompt/group/completion")
    return {
        "model": options.model, "device": options.device, "dtype": options.dtype, "prompts": options.prompts,
        "prompt": numbers[0], "group": numbers[1], "completion": (*numbers, options.completion)[2], "ends": options.ends,
        "micro": options.micro,
    }  # fmt: skip


def say(row: dict) -> dict:
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
    print(json.dumps(rounded), flush=True)
    return row


def release() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measure(trainer: str, setting: dict, options: argparse.Namespace, device: dict, rates: dict) -> dict:
    """Medians of the seconds of each part, tokens a second, the share of the peak, memory in MiB."""
    if trainer in NEEDS and find_spec(NEEDS[trainer]) is None:
        raise Missing(f"{NEEDS[trainer]} is not installed")
    if trainer == "unsloth" and "unsloth" not in sys.modules:
        return measure_elsewhere(setting, options)  # it patches everything that is imported after it
    if options.device == "cpu":
        runs, memory = measure_on_processor(trainer, setting, options), {}
        if sys.platform == "linux" and not options.no_memory:
            memory = run_alone("memory", setting | {"trainer": trainer}, options.threads)
    else:
        runs, memory = measure_on_cuda(trainer, setting, options.steps)
    row: dict[str, Any] = {part: statistics.median(run[part] for run in runs) for part in PARTS}
    tokens = statistics.mean(run["completions"] for run in runs)
    row |= {"completion_tokens": round(tokens), "tokens_per_second": tokens / row["step"], **memory}
    flops = statistics.mean(count_flops(setting, run, rates) for run in runs)
    row |= {"tflops": flops / row["step"] / 1e12, "of_matmul_peak": flops / row["step"] / device["matmul"] / 1e12}
    if device.get("datasheet"):
        row["mfu"] = flops / row["step"] / device["datasheet"] / 1e12
    return row


def measure_on_processor(name: str, setting: dict, options: argparse.Namespace) -> list[dict]:
    runs = []
    for turn in range(options.steps + 1):
        parts, counts = run_step(name, setting)
        if turn:
            runs.append(parts | counts)
    return runs


def measure_on_cuda(name: str, setting: dict, steps: int) -> tuple[list[dict], dict]:
    """Each of the steps after the first, and the most memory that generation, the loss and the whole took, in MiB."""
    import torch

    runs: list[dict] = []
    peaks = {"generation_mib": 0.0, "loss_mib": 0.0}
    with tempfile.TemporaryDirectory() as directory:
        trainer = build_trainer(name, setting, directory, steps + 1)
        torch.cuda.synchronize()
        idle = torch.cuda.memory_allocated()
        clock: dict[str, float] = {}

        def mark(part: str) -> None:
            torch.cuda.synchronize()
            peaks[part] = max(peaks[part], (torch.cuda.max_memory_allocated() - idle) / 2**20)
            torch.cuda.reset_peak_memory_stats()

        def before_loss(inputs):
            if "completions" not in runs[-1]:
                mark("generation_mib")
            prompts = inputs["prompt_mask"].sum(1)[:: setting["group"]]
            runs[-1]["prompts"] = max(runs[-1].get("prompts", 0), int(prompts.sum()))
            runs[-1]["completions"] = runs[-1].get("completions", 0) + int(inputs["completion_mask"].sum())
            torch.cuda.synchronize()
            clock["loss"] = time.perf_counter()

        def after_loss():
            mark("loss_mib")
            runs[-1]["loss"] += time.perf_counter() - clock["loss"]

        def on_step(begins: bool) -> None:
            torch.cuda.synchronize()
            now = time.perf_counter()
            if begins:
                trainer.seconds.clear()
                torch.cuda.reset_peak_memory_stats()
                runs.append({"loss": 0.0})
                clock["step"] = now
            else:
                runs[-1]["step"] = now - clock["step"]
                runs[-1] |= {part: trainer.seconds[part] for part in ("generation", "scoring")}

        trainer.before_loss, trainer.after_loss = before_loss, after_loss
        trainer.add_callback(make_clock(on_step))
        trainer.train()
        return runs[1:], {**peaks, "weights_mib": idle / 2**20}


def make_clock(on_step) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            on_step(True)

        def on_step_end(self, *args, **kwargs):
            on_step(False)

    return Clock()


def measure_elsewhere(setting: dict, options: argparse.Namespace) -> dict:
    """The same row in a process that imports unsloth first."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("step.py")),
        "--trainers",
        "unsloth",
        "--model",
        options.model,
    ]
    command += ["--rows", f"{setting['prompt']}/{setting['group']}/{setting['completion']}", "--device", options.device]
    command += ["--dtype", options.dtype, "--steps", str(options.steps), "--threads", str(options.threads)]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"RECOMPENSA_STEP_UNSLOTH": "1"})
    if run.returncode:
        raise Missing(f"unsloth failed: {(run.stderr.strip().splitlines() or ['no output'])[-1][:200]}")
    return json.loads(run.stdout.splitlines()[-1])


def count_flops(setting: dict, run: dict, sizes: dict) -> float:
    """Products of a step as it is defined: each token once forward to be written, forward and backward to learn.

    They are counted for every trainer alike, also where a forward that generation has done is not made again.
    A prompt counts once a group and needs no head; frozen layers need no gradient of their own. Attention's products
    are left out.
    """
    key = setting["model"]
    if key not in sizes:
        shape = setting | {"device": "meta", "dtype": "float32"}
        sizes[key] = count_matrices((make_embedded(shape) if key == "embedded5m" else make_random(key, shape)).model)
    layers, head, frozen = sizes[key]
    learn = 4 if frozen else 6
    return (run["prompts"] + run["completions"]) * (2 + learn) * layers + run["completions"] * (2 + learn) * head


def describe_device(options: argparse.Namespace) -> dict:
    """Its name, the best of a few large products here (TFLOP/s), and what its data sheet says."""
    import torch

    if options.device == "cpu" and options.dtype == "float32":
        best = measure_matmul() / 1e3
    else:
        best = time_products(options)
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"processor, {options.threads} thread(s)"
    known = [peak for word, peak in DATASHEET.items() if word in name.split() or word in name]
    return {"name": name, "matmul": best, "datasheet": known[0] if known and options.dtype == "bfloat16" else None}


def time_products(options: argparse.Namespace, size: int = 8192) -> float:
    """TFLOP/s of the best of a few products of two square matrices."""
    import torch

    size, best = size if options.device == "cuda" else 1536, 0.0
    a = torch.randn(size, size, device=options.device, dtype=getattr(torch, options.dtype))
    for _ in range(8):
        if options.device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        a @ a
        if options.device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e12)
    return best


def compare(found: list[dict], text: str) -> list[dict]:
    """How many times as fast ours is as each other trainer of this row, and the share of its memory."""
    rows = {row["trainer"]: row for row in found if row.get("row") == text and "step" in row}
    if "ours" not in rows:
        return []
    lines = []
    for name in [name for name in rows if name != "ours"]:
        line: dict[str, Any] = {"row": text, "times": name}
        line |= {part: rows[name][part] / rows["ours"][part] for part in ("step", "generation", "loss")}
        line |= {part: rows["ours"][part] / rows[name][part] for part in ("loss_mib",) if rows[name].get(part)}
        lines.append(say(line))
    return lines


def compare_logprobs(options: argparse.Namespace, prompt: int = 300, group: int = 4) -> dict[str, float]:
    """Differences in nats between our shared pass and the model's own, over completions that it wrote.

    Beside the largest and the mean stand what is left of it with float64 weights, and how far each pass is from that:
    the rounding of thirty layers is in both.
    """
    import torch

    from benchmarks.step_trainers import make_examples
    from grpo.generation.generate import generate
    from grpo.policy.shared_prefix import grouped_logps

    policy = make_policy(read_row(f"{prompt}/{group}", options))
    device = policy.model.get_input_embeddings().weight.device
    ids = policy.prompts.prompt_ids(make_examples(prompt, policy.tokenizer)[0].prompt)
    written = generate(
        policy.model, [ids], samples=group, max_new_tokens=options.completion, eos_ids=[],
        pad_id=policy.tokenizer.pad_token_id, generator=torch.Generator(device=device).manual_seed(1),
    ).completion_ids  # fmt: skip
    first, rest = torch.tensor([ids], device=device).expand(group, -1), torch.tensor(written, device=device)
    policy.model.eval()

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            ours, _ = grouped_logps(policy.model, first, torch.ones_like(first), rest, torch.ones_like(rest))
            logits = policy.model(torch.cat((first, rest), 1), logits_to_keep=rest.shape[1] + 1).logits[:, :-1]
            return ours, logits.double().log_softmax(-1).gather(2, rest[..., None])[..., 0]

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
