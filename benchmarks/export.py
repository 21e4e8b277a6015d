"""Measures an export: seconds and peak memory without a proof, then equal answers, means and intervals with one.

Usage: python benchmarks/export.py runs/NAME [--rows 64] [--to FOLDER]. Prints one JSON object. Memory is the process's
peak beside what importing the libraries takes, as a multiple of the model's weights as they are loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = (
    "import torch, transformers, peft, gguf; from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--to", type=Path)
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
        proof_seconds, _ = measure(
            "-m", "grpo.export", run, "--to", str(proved), "--proof-rows", str(options.rows), "--quiet"
        )
        record = json.loads((proved / "export.json").read_text(encoding="utf-8"))
        found = {
            "seconds": round(seconds, 1),
            "peak_bytes": peak,
            "peak_beside_imports_in_weights": round((peak - imports) / weights, 2),
            "seconds_with_proof": round(proof_seconds, 1),
            "merge": record["checks"].get("merge"),
            "proofs": [
                {key: proof[key] for key in ("file", "rows", "reward", "own", "equal_answers", "passed")}
                for proof in record["proofs"]
            ],
        }
    print(json.dumps(found, indent=2))
    return 0


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
