"""The loss of one group, forward and backward: processor seconds of a pass, and of each kind of operation in one layer.

    python benchmarks/loss_time.py --threads 1                     SmolLM2 with LoRA, prompt 300, G 16, completions of 100
    python benchmarks/loss_time.py --threads 2 --times 3           `main`: what the pass would take on a quiet machine
    python benchmarks/loss_time.py --step --threads 1              whole steps: generation and the loss over what it wrote
    python benchmarks/loss_time.py --step --model embedded5m --prompts 2 --ends 0.75 --threads 1     as benchmarks/step.py has it
    python benchmarks/loss_time.py --supervised counted --group 4 --threads 1    a pass of the supervised stage; `plain` computes every token
    python benchmarks/loss_time.py --parts --threads 1             a layer's operations one by one, beside a layer's share

Seconds are of the processor, so a busy machine shows in them less than in a clock. `main` is the calling thread's own: it does
half of what is done by two, and all of what is not, but sleeps while it waits (set OMP_WAIT_POLICY=passive for that).
`--root` times another checkout of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    options = parse()
    sys.path.insert(0, str(Path(options.root).resolve()))
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    if options.parts:
        say_parts(options)
    elif options.supervised:
        say_supervised(options)
    elif options.step:
        say_steps(options)
    else:
        say_passes(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="of benchmarks/step_models.py (default: smollm2)")
    parser.add_argument("--prompt", type=int, default=300)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--completion", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=1, help="of a whole step (default: 1)")
    parser.add_argument(
        "--ends", type=float, default=0.0, help="share of a step's completions that end before the limit"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--times", type=int, default=2, help="passes (default: 2)")
    parser.add_argument("--step", action="store_true", help="whole steps, whose loss may take what generation computed")
    parser.add_argument(
        "--supervised",
        choices=["plain", "counted"],
        help="passes over demonstrations, `--group` in each: processor seconds, and memory",
    )
    parser.add_argument("--parts", action="store_true", help="the operations of one of SmolLM2's layers, one by one")
    parser.add_argument("--root", default=str(Path(__file__).resolve().parents[1]), help="the checkout that is timed")
    return parser.parse_args()


def say_passes(options: argparse.Namespace) -> None:
    import torch

    from benchmarks.step_models import make_policy
    from benchmarks.step_trainers import make_examples, quieten
    from grpo.policy.shared_prefix import grouped_logps

    quieten()
    policy = make_policy({"model": options.model, "ends": 0.0, "completion": options.completion})
    prompt = policy.prompts.prompt_ids(make_examples(options.prompt, policy.tokenizer)[0].prompt)
    prompts = torch.tensor([prompt]).expand(options.group, -1)
    most = min(policy.model.config.vocab_size, 40000)
    ids = torch.randint(10, most, (options.group, options.completion), generator=torch.Generator().manual_seed(0))
    batch = prompts, torch.ones_like(prompts), ids, torch.ones_like(ids)
    weights = torch.linspace(-1, 1, options.group)[:, None]
    policy.model.train()
    for turn in range(options.times):
        policy.model.zero_grad()
        start, thread, before = time.process_time(), time.thread_time(), resource.getrusage(resource.RUSAGE_SELF)
        logps, _ = grouped_logps(policy.model, *batch, compute_entropy=True)
        middle = time.process_time()
        (logps * weights).sum().backward()
        after = resource.getrusage(resource.RUSAGE_SELF)
        line = {"turn": turn, "forward": middle - start, "backward": time.process_time() - middle}
        line |= {"main": time.thread_time() - thread, "system": after.ru_stime - before.ru_stime}
        say(line | {"page_faults": after.ru_minflt - before.ru_minflt})


def say_supervised(options: argparse.Namespace) -> None:
    """Passes over demonstrations of a prompt and a completion, of which the completion counts; MiB beyond what stood there before."""
    import torch

    from benchmarks.step_models import make_policy
    from benchmarks.step_trainers import quieten
    from sft_warmup.passes.counted_tokens import find_way, only_counted
    from sft_warmup.passes.token_rows import Blocks

    quieten()
    model = make_policy({"model": options.model, "ends": 0.0, "completion": options.completion}).model.train()
    shape = options.group, options.prompt + options.completion
    most = min(model.config.vocab_size, 40000)
    ids = torch.randint(10, most, shape, generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, : options.prompt] = -100
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, "use_cache": False}
    way, blocks = find_way(model, inputs) if options.supervised == "counted" else None, Blocks()
    for turn in range(options.times):
        model.zero_grad()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        with only_counted(model, inputs, way, blocks) as given:
            loss = model(**given).loss
        middle = time.process_time()
        loss.backward()
        line = {"turn": turn, "way": str(way), "forward": middle - start, "backward": time.process_time() - middle}
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        say(line | {"mib": grown / 1024, "loss": loss.item()})


def say_steps(options: argparse.Namespace) -> None:
    """Processor seconds of generation with scoring and of the loss, the first step included."""
    import tempfile

    from benchmarks.step_trainers import build_trainer, quieten

    quieten()
    setting = {"model": options.model, "ends": options.ends, "prompts": options.prompts}
    setting |= {"prompt": options.prompt, "group": options.group, "completion": options.completion}
    with tempfile.TemporaryDirectory() as directory:
        trainer = build_trainer("ours", setting, directory, options.times)
        marks = [(time.process_time(), time.thread_time())]

        def mark(*_: Any) -> None:
            marks.append((time.process_time(), time.thread_time()))
            if len(marks) % 2:
                (began, _), (wrote, wrote_main), (ended, ended_main) = marks[-3:]
                line = {"turn": len(marks) // 2 - 1, "generation": wrote - began, "loss": ended - wrote}
                say(line | {"loss_main": ended_main - wrote_main, "step": ended - began})

        trainer.before_loss, trainer.after_loss = mark, mark
        trainer.train()


def say(line: dict[str, Any]) -> None:
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}), flush=True)


def say_parts(options: argparse.Namespace) -> None:
    """Milliseconds of each operation of one layer, forward and backward, the best of four each."""
    sums: dict[str, float] = defaultdict(float)
    for kind, name, run, flops in layer_operations(options):
        run()
        best = 1e9
        for _ in range(4):
            start = time.process_time()
            run()
            best = min(best, time.process_time() - start)
        sums[kind] += best
        say({"kind": kind, "operation": name, "ms": best * 1e3} | ({"gflops": flops / best / 1e9} if flops else {}))
    for kind, seconds in sums.items():
        say({"kind": kind, "ms_of_a_layer": seconds * 1e3, "share": seconds / sum(sums.values())})


def layer_operations(options: argparse.Namespace) -> list[tuple[str, str, Callable[[], Any], float]]:
    """Kind, name, call and floating-point operations; SmolLM2's shapes, adapters of rank 16 on every layer."""
    import torch

    from grpo.policy.merged_blocks import pull_back, turn
    from grpo.policy.merged_weights import Joined, Norm
    from grpo.policy.shared_prefix import Span

    rows, own = options.group, options.completion - 1
    tokens = options.prompt + rows * own
    found: list[tuple[str, str, Callable[[], Any], float]] = []
    for name, outputs, inputs in (("queries, keys, values", (576, 192, 192), 576), ("out", (576,), 576),
                                  ("gate and up", (1536, 1536), 576), ("down", (576,), 1536)):  # fmt: skip
        part = Joined(
            [torch.randn(size, inputs) for size in outputs],
            None,
            [(torch.randn(16, inputs), torch.randn(size, 16), 2.0) for size in outputs],
            {},
        )
        states, gradient, whole = torch.randn(tokens, inputs), torch.randn(tokens, sum(outputs)), part.merge().clone()
        flops = 2.0 * tokens * inputs * sum(outputs)
        plain = Joined([whole], None, [None], {})
        found += [
            ("products", f"{name}, forward", lambda s=states, w=whole: s @ w.t(), flops),
            ("products", f"{name}, backward", lambda g=gradient, p=plain: pull_back(g, p), flops),
            ("adapters", f"{name}, merged twice", lambda p=part: (p.merge(), p.merge()), 0.0),
            ("adapters", f"{name}, their gradients", lambda p=part, s=states, g=gradient: p.pull(s, g), 0.0),
        ]
    span = Span(0, options.prompt, [own] * rows, torch.device("cpu"))
    queries, keys, values = (torch.randn(tokens, heads, 64, requires_grad=True) for heads in (9, 3, 3))

    def attend(places: slice) -> None:
        parts = [each.split([options.prompt, rows * own]) for each in (queries, keys, values)]
        outs = list(span.attend(*parts, 0.125, 0.0, None, {}))[places]
        torch.cat(outs).backward(torch.ones(sum(map(len, outs)), 9, 64))

    found.append(("attention", "of the prompt and the completions", lambda: attend(slice(None)), 0.0))
    wide, narrow = torch.randn(tokens, 3072), torch.randn(tokens, 1536)
    gate, up = wide.chunk(2, 1)
    norm, states, gradient = Norm(torch.ones(576), 1e-5, []), torch.randn(tokens, 576), torch.randn(tokens, 576)
    silu = torch.nn.functional.silu
    table = torch.randn(tokens, 1, 64)
    heads = torch.randn(tokens, 12, 64)
    return [
        *found,
        ("norms and gates", "gates, forward", lambda: silu(gate).mul_(up), 0.0),
        ("norms and gates", "gates, backward", lambda: (silu(gate), narrow * up, torch.mul(narrow, narrow, out=gate),
         narrow.mul_(1.0), torch.ops.aten.silu_backward(narrow, up)), 0.0),
        ("norms and gates", "norms, forward and made again", lambda: [norm(states) for _ in range(4)], 0.0),
        ("norms and gates", "norms, backward", lambda: [norm.pull(states, gradient) for _ in range(2)], 0.0),
        ("norms and gates", "rotation", lambda: (turn(heads, table, table), turn(heads, table, table)), 0.0),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
