"""Measures an export: seconds and peak memory without a proof and with one, equal answers, means and intervals.

Usage: python benchmarks/export.py runs/NAME [--rows 64] [--to FOLDER] [--no-explain]. Prints one JSON object. Memory is the
process's peak beside what importing the libraries takes, as a multiple of the model's weights as they are loaded; with the
proof it also holds llama.cpp's copy of each GGUF file.

Where answers of the f16 file differ from the run's own, each difference is explained: how far apart the logits of the two
tokens were in float32 at the first one that differs, and whether transformers with the same rounded weights takes the
run's token or llama.cpp's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = (
    "import torch, transformers, peft, gguf; from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--no-explain", action="store_true", help="leave the differences unexplained")
    options = parser.parse_args()
    run = str(Path(options.run).resolve())
    with tempfile.TemporaryDirectory() as folder:
        _, imports = measure("-c", IMPORTS)
        bare = Path(folder, "bare")
        seconds, peak = measure(
            "-m", "grpo.export", run, "--to", str(bare), "--format", "safetensors,gguf-f16,gguf-q8_0", "--proof-rows", "0", "--quiet"
        )  # fmt: skip
        weights = (bare / "model.safetensors").stat().st_size
        proved = options.to or Path(folder, "proved")
        proof_seconds, proof_peak = measure(
            "-m", "grpo.export", run, "--to", str(proved), "--proof-rows", str(options.rows), "--quiet"
        )
        record = json.loads((proved / "export.json").read_text(encoding="utf-8"))
        found = {
            "seconds": round(seconds, 1),
            "peak_bytes": peak,
            "peak_beside_imports_in_weights": round((peak - imports) / weights, 2),
            "seconds_with_proof": round(proof_seconds, 1),
            "peak_with_proof_beside_imports_in_weights": round((proof_peak - imports) / weights, 2),
            "merge": record["checks"].get("merge"),
            "proofs": [
                {key: proof[key] for key in ("file", "rows", "reward", "own", "equal_answers", "passed")}
                for proof in record["proofs"]
            ],
        }
        if not options.no_explain:
            found["f16"] = explain(run, proved, options.rows)
    print(json.dumps(found, indent=2))
    return 0


def explain(run: str, exported: Path, rows: int) -> dict[str, Any]:
    """Why greedy answers of the f16 file differ from those of the float32 weights; only rows that differ are asked again."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from grpo.export.choice import choose
    from grpo.export.held_rows import Request, answer_limit, hold_rows
    from grpo.export.llama_cpp import LlamaCpp
    from grpo.generation.generate import generate
    from grpo.policy.loading import Policy

    torch.set_num_threads(os.cpu_count() or 1)
    record = json.loads((exported / "export.json").read_text(encoding="utf-8"))
    (proof,) = [each for each in record["proofs"] if each["file"].endswith("-f16.gguf")]
    request = Request(choose(run), exported, rows=rows)
    held = hold_rows(request, [])
    policy = Policy(
        AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32).eval(),
        AutoTokenizer.from_pretrained(exported),
    )
    examples = [row for row in held.examples if row.id in proof["different_rows"]]
    found: dict[str, Any] = {"rows": proof["rows"], "equal_answers": proof["equal_answers"], "differences": []}
    if not examples:
        return found
    prompts, limit = [policy.prompts.prompt_ids(row.prompt) for row in examples], answer_limit(request)

    def answer() -> list[list[int]]:
        settings = {"samples": 1, "max_new_tokens": limit, "temperature": 0.0}
        made = generate(policy.model, prompts, **settings, eos_ids=policy.eos_ids, pad_id=policy.tokenizer.pad_token_id)
        return [cut(ids, policy.eos_ids) for ids in made.completion_ids]

    own = answer()
    (file,) = exported.glob("*-f16.gguf")
    with LlamaCpp(file, context=max(map(len, prompts)) + limit + 8, exact=True) as runtime:
        theirs = [cut(each.tokens, policy.eos_ids) for each in runtime.answer(prompts, limit)]
    margins = [measure_margin(policy.model, *each) for each in zip(prompts, own, theirs, strict=True)]
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.data = weight.data.half().float()
    rounded = answer()
    found["differences"] = [
        {
            "row": row.id,
            **margin,
            "rounded_weights_in_transformers_answer_as": "llama.cpp" if again == other else "float32" if again == ours else "neither",
        }
        for row, margin, again, ours, other in zip(examples, margins, rounded, own, theirs, strict=True)
    ]  # fmt: skip
    return found


def cut(ids: list[int], ends: list[int]) -> list[int]:
    """An answer without its end."""
    return next((list(ids[:at]) for at, token in enumerate(ids) if token in ends), list(ids))


def measure_margin(model: Any, prompt: list[int], own: list[int], other: list[int]) -> dict[str, Any]:
    """Where two answers part, and by how much the float32 logits prefer the token of the first there."""
    import torch

    at = next((n for n, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *own[:at]]])).logits[0, -1].float()
    best = logits.topk(2)
    taken = float(logits[other[at]]) if at < len(other) else None
    return {
        "token": at,
        "best_two_apart": round(float(best.values[0] - best.values[1]), 5),
        "best_above_the_one_taken": None if taken is None else round(float(best.values[0]) - taken, 5),
        "largest_logit": round(float(logits.abs().max()), 2),
    }


def measure(*words: str) -> tuple[float, int]:
    """Seconds of a Python process and its peak resident bytes."""
    start = time.perf_counter()
    code = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - start, int(done.stdout.split()[-1]) * scale


if __name__ == "__main__":
    sys.exit(main())
