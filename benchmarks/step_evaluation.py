"""Our evaluation beside one prompt at a time, greedy, texts compared: the last tables of `benchmarks/step.py`."""

from __future__ import annotations

import argparse
import statistics
import time

from benchmarks.step_models import make_policy, read_shop

BATCH = 128  # rows that are evaluated together, as in the embedded profile
EVALUATION_HEADER = (
    "| evaluation, greedy | prompt tokens | one at a time | ours | times | equal texts |\n|---|---|---|---|---|---|"
)


def evaluation_settings(options: argparse.Namespace) -> list[dict]:
    rows = BATCH if options.quick else 2 * BATCH
    base = {"rows": rows, "completion": options.completion, "alone": 8 if options.quick else 32}
    kinds = [{"kind": "shop"}, {"kind": "unrelated", "prompt": 300}]
    return [base | kind for kind in (kinds if options.quick else [*kinds, {"kind": "unrelated", "prompt": 100}])]


def compare_evaluation(setting: dict) -> dict:
    """Seconds a held-out row, greedy: one prompt at a time (over `alone` rows) beside ours over all, texts compared."""
    import torch

    from grpo.generation.generate import generate
    from grpo.policy.prompts import PromptBuilder

    policy = make_policy({"ends": 0.0, "completion": setting["completion"]})
    model, steps = policy.model.eval(), setting["completion"]
    if setting["kind"] == "shop":
        builder = PromptBuilder(policy.tokenizer)
        prompts = [builder.prompt_ids(row.prompt) for row in read_shop()[1]][: setting["rows"]]
    else:
        generator = torch.Generator().manual_seed(1)
        low, high = setting["prompt"] * 4 // 5, setting["prompt"] + 1
        lengths = torch.randint(low, high, (setting["rows"],), generator=generator).tolist()
        prompts = [torch.randint(3, len(policy.tokenizer), (n,), generator=generator).tolist() for n in lengths]
    alone = prompts[:: max(1, len(prompts) // setting["alone"])]

    def plain(prompts):
        written = []
        with torch.no_grad():
            for prompt in prompts:
                ids = torch.tensor([prompt])
                out = model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=steps, do_sample=False,
                    eos_token_id=policy.eos_ids, pad_token_id=policy.tokenizer.pad_token_id,
                )  # fmt: skip
                written.append(out[0, len(prompt) :].tolist())
        return written

    def ours(prompts):
        return generate(
            model, prompts, samples=1, max_new_tokens=steps, temperature=0, eos_ids=policy.eos_ids,
            pad_id=policy.tokenizer.pad_token_id, batch_size=BATCH,
        ).completion_ids  # fmt: skip

    plain(alone[:1]), ours(prompts[:2])
    clocks = {"plain": [], "ours": []}
    for _ in range(2):
        for name, call, chosen in (("plain", plain, alone), ("ours", ours, prompts)):
            start = time.perf_counter()
            texts = call(chosen)
            clocks[name].append((time.perf_counter() - start) / len(chosen))
            if name == "plain":
                wanted = texts
    equal = sum(a == b for a, b in zip(wanted, texts[:: max(1, len(prompts) // setting["alone"])], strict=True))
    return {
        "setting": setting,
        "prompt_tokens": statistics.mean(map(len, prompts)),
        "plain": min(clocks["plain"]),
        "ours": min(clocks["ours"]),
        "equal": equal / len(alone),
    }


def show_evaluation(row: dict) -> None:
    kind = "rows of the shop" if row["setting"]["kind"] == "shop" else "unrelated random prompts"
    print(
        f"| {kind} | {row['prompt_tokens']:.0f} | {row['plain'] * 1e3:.1f} ms | {row['ours'] * 1e3:.1f} ms | "
        f"**{row['plain'] / row['ours']:.1f}** | {row['equal']:.0%} |",
        flush=True,
    )
