"""Where the time of one of our steps goes, part by part and kind of operation by kind: `benchmarks/step.py --profile`.

Parts are timed by clocks around them (the first of two steps is not counted), with the products that they
make beside them; kinds of operations by torch's profiler in a step of its own, which it slows. What the products alone would
take at the machine's peak bounds how many times as fast as plain TRL a step can be: that bound is printed where the
plain step's seconds are given (`--plain-seconds STEP GENERATION LOSS`). Where a pass keeps its few logits, the head runs in the layers' forward.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.step_models import count_matrices, make_embedded, make_random
from benchmarks.step_rows import read_row, say
from benchmarks.step_trainers import build_trainer

# Kinds of operations by the beginning of their names, the first that fits.
KINDS = {
    "attention": ("aten::_scaled_dot", "aten::bmm", "aten::baddbmm", "aten::_flash", "aten::_fused_sdp"),
    "products": ("aten::mm", "aten::addmm", "mkldnn::", "aten::mkldnn", "aten::matmul", "aten::linear"),
    "exponentials": (
        "aten::exp",
        "aten::_softmax",
        "aten::_log_softmax",
        "aten::logsumexp",
        "aten::silu",
        "aten::special",
    ),
    "sums": (
        "aten::sum",
        "aten::mean",
        "aten::amax",
        "aten::cumsum",
        "aten::linalg_vecdot",
        "aten::pow",
        "aten::rsqrt",
    ),
    "copies": ("aten::copy_", "aten::cat", "aten::index", "aten::roll", "aten::clone", "aten::fill_", "aten::scatter"),
    "optimiser": ("Optimizer", "aten::_foreach", "aten::_fused_adam"),
}


def run_profiles(options: argparse.Namespace, peak: float) -> list[dict]:
    """Print a line of JSON for every part and kind of each row; `peak` is the machine's best product in FLOP/s."""
    found = []
    for text in (options.rows or "300/16").split(","):
        setting = read_row(text, options)
        seconds, counts = time_parts(setting)
        flops = count_parts(setting, counts)
        for part, taken in seconds.items():
            row: dict[str, Any] = {"row": text, "part": part, "seconds": taken, "of_step": taken / seconds["step"]}
            if part in flops:
                row |= {"gflop": flops[part] / 1e9, "of_flops": flops[part] / flops["step"]}
                row |= {"of_peak": flops[part] / taken / peak}
            found.append(say(row))
        found += bound(text, flops, peak, options.plain_seconds)
        for part, kinds in count_kinds(setting).items():
            whole = sum(kinds.values())
            for kind, share in sorted(kinds.items(), key=lambda each: -each[1]):
                found.append(say({"row": text, "part": part, "operations": kind, "of_part": share / whole}))
    return found


def time_parts(setting: dict) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds of each part of a second step, the whole as `step`, and the tokens it read."""
    seconds: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = {}

    def count(inputs):
        counts["prompts"] = int(inputs["prompt_mask"].sum(1)[:: setting["group"]].sum())
        counts["completions"] = int(inputs["completion_mask"].sum())
        recording = trainer.now.recording
        counts["recorded"] = recording is not None
        counts["recorded_head"] = recording is not None and recording.head is not None

    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        trainer = build_trainer("ours", setting, directory, 2)
        trainer.before_loss = count
        for name, owner, method in clocked():
            stack.enter_context(clock(seconds, name, owner, method))
        trainer.add_callback(make_ends(lambda begins: on_step(trainer, seconds, begins)))
        trainer.train()
    for name in ("generation", "scoring", "loss"):
        seconds[name] = trainer.seconds[name]
    seconds["decoding"] = seconds["generation"] - seconds["prompts"]
    seconds["loss: layers, forward"] = seconds["loss: forward"] - seconds["loss: head"]
    seconds["rest"] = seconds["step"] - sum(seconds[name] for name in ("generation", "scoring", "loss", "optimiser"))
    order = ("step", "generation", "prompts", "decoding", "drawing", "scoring", "loss", "loss: layers, forward",
             "loss: head", "loss: backward", "optimiser", "rest")  # fmt: skip
    return {name: seconds[name] for name in order}, counts


def clocked() -> list[tuple[str, Any, str]]:
    """Parts and the functions whose time is theirs."""
    import accelerate
    import torch

    from grpo.generation import batch
    from grpo.policy import shared_prefix

    return [
        ("prompts", batch.Batch, "read_prompts"), ("drawing", batch, "draw"), ("loss: forward", shared_prefix.Packed, "score"),
        ("loss: head", shared_prefix, "head_logps"), ("loss: head", shared_prefix, "token_logps"),
        ("loss: backward", accelerate.Accelerator, "backward"), ("optimiser", torch.optim.AdamW, "step"),
    ]  # fmt: skip


@contextmanager
def clock(seconds: dict[str, float], name: str, owner: Any, method: str) -> Iterator[None]:
    inner = getattr(owner, method)

    def timed(*args, **kwargs):
        start = time.perf_counter()
        try:
            return inner(*args, **kwargs)
        finally:
            seconds[name] += time.perf_counter() - start

    with patch.object(owner, method, timed):
        yield


def on_step(trainer: Any, seconds: dict[str, float], begins: bool) -> None:
    if begins:
        seconds.clear()
        trainer.seconds.clear()
        seconds["step"] = -time.perf_counter()
    else:
        seconds["step"] += time.perf_counter()


def make_ends(on_step: Callable[[bool], None]) -> Any:
    from benchmarks.step_rows import make_clock

    return make_clock(on_step)


def count_parts(setting: dict, counts: dict[str, int]) -> dict[str, float]:
    """Products that each part makes; those of adapters and attention are left out of the count.

    A recorded forward (see `grpo.policy.recording`) makes none, and the pull on the states is then part of decoding.
    """
    shape = setting | {"device": "meta", "dtype": "float32"}
    policy = make_embedded(shape) if setting["model"] == "embedded5m" else make_random(setting["model"], shape)
    layers, head, frozen = count_matrices(policy.model)
    prompts, completions = counts["prompts"], counts["completions"]
    backward = (1 if frozen else 2) * 2
    drawn = counts["recorded_head"]
    flops = {
        "prompts": prompts * 2 * layers,
        "decoding": completions * 2 * (layers + head * (2 if drawn else 1)),
        "loss: layers, forward": 0 if counts["recorded"] else (prompts + completions) * 2 * layers,
        # A frozen head's gradient by the states is made in its forward.
        "loss: head": 0 if drawn else completions * 2 * head * (2 if frozen else 1),
        "loss: backward": (prompts + completions) * backward * layers
        + (0 if frozen else completions * backward * head),
    }
    flops["generation"] = flops["prompts"] + flops["decoding"]
    flops["loss"] = sum(value for name, value in flops.items() if name.startswith("loss:"))
    return flops | {"step": flops["generation"] + flops["loss"]}


def bound(text: str, flops: dict[str, float], peak: float, plain: list[float] | None) -> list[dict]:
    """How many times as fast as plain TRL each part could be at the peak, if nothing but its products took time."""
    row: dict[str, Any] = {"row": text, "peak_gflops": peak / 1e9}
    for place, part in enumerate(("step", "generation", "loss")):
        row[f"{part}_seconds_at_peak"] = flops[part] / peak
        if plain:
            row[f"{part}_times_at_peak"] = plain[place] * peak / flops[part]
    return [say(row)]


def count_kinds(setting: dict) -> dict[str, dict[str, float]]:
    """Microseconds of each kind of operation in generation and in the loss, of a second step, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    found: dict[str, dict[str, float]] = {}

    @contextmanager
    def watching(part: str):
        with profile(activities=[ProfilerActivity.CPU]) as watch:
            yield
        kinds: dict[str, float] = defaultdict(float)
        for event in watch.key_averages():
            kinds[kind_of(event.key)] += event.self_cpu_time_total
        found[part] = dict(kinds)

    with tempfile.TemporaryDirectory() as directory:
        trainer = build_trainer("ours", setting, directory, 1)
        write, step = trainer._write, trainer._compute_loss
        backward = trainer.accelerator.backward

        def watched(part: str, inner: Callable) -> Callable:
            def run(*args, **kwargs):
                with watching(part):
                    return inner(*args, **kwargs)

            return run

        trainer._write = watched("generation", write)
        trainer._compute_loss = watched("loss: forward", step)
        trainer.accelerator.backward = watched("loss: backward", backward)
        trainer.train()
    return found


def kind_of(name: str) -> str:
    for kind, beginnings in KINDS.items():
        if name.startswith(beginnings):
            return kind
    return "the rest"
