"""Times the products that decoding makes, by MKL and with weights packed by oneDNN, and holds both against float64."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grpo.policy.packed_products import has_onednn, multiply, pack

SHAPES = {
    "queries, keys and values": (960, 576),
    "out": (576, 576),
    "gate and up": (3072, 576),
    "down": (576, 1536),
    "head": (49152, 576),
}
"""Outputs and inputs of SmolLM2-135M's products."""

CACHE_BYTES = 64 << 20
"""So many bytes of weights take turns, so that none is found in the processor's cache, as in decoding."""


def measure(rows: int, outputs: int, inputs: int, repeats: int) -> dict[str, float]:
    """GFLOP/s of the best of `repeats` rounds by each library, and the largest difference from float64."""
    copies = max(1, min(30, CACHE_BYTES // (4 * outputs * inputs)))
    states = torch.randn(rows, inputs)
    weights = [torch.randn(outputs, inputs) for _ in range(copies)]
    packed = [pack(weight, rows) for weight in weights]
    exact = states.double() @ weights[0].double().T
    found: dict[str, float] = {}
    products: dict[str, tuple[Callable[..., torch.Tensor], list[torch.Tensor]]] = {
        "mkl": (torch.nn.functional.linear, weights), "packed": (multiply, packed),
    }  # fmt: skip
    for name, (product, each) in products.items():
        found[f"{name}_error"] = float((product(states, each[0]).double() - exact).abs().max())
        best = float("inf")
        for _ in range(repeats):
            began = time.perf_counter()
            for weight in each:
                product(states, weight)
            best = min(best, (time.perf_counter() - began) / copies)
        found[name] = 2e-9 * rows * outputs * inputs / best
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="1,4,16,80", help="rows of a product (1,4,16,80)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    options = parser.parse_args(arguments)
    if not has_onednn():
        print("this build of torch has no packed products")
        return 1
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results: list[dict[str, Any]] = []
    for rows in map(int, options.rows.split(",")):
        for name, (outputs, inputs) in SHAPES.items():
            results.append({"rows": rows, "product": name, **measure(rows, outputs, inputs, options.repeats)})
    if options.json:
        print(json.dumps({"threads": options.threads, "results": results}))
        return 0
    print(f"{options.threads} threads; GFLOP/s by MKL / packed by oneDNN; largest difference from float64")
    for row in results:
        print(
            f"{row['rows']:>4} rows  {row['product']:<26} {row['mkl']:>6.0f} / {row['packed']:<6.0f}"
            f" {row['mkl_error']:.1e} / {row['packed_error']:.1e}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
