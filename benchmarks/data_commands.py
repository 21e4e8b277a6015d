"""Measures the commands over data files: rows a second on one core and peak memory, each in a process of its own.

    python benchmarks/data_commands.py                     a million TMF921 rows, about 1.9 GB in a temporary folder
    python benchmarks/data_commands.py --rows 100000 --json

Rows a second are by processor time, so that other work on the machine does not count; elapsed time stands beside it.
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

import orjson

from grpo.data.section import Tmf921Section
from grpo.data.tmf921.build import build_tmf921

WANTED = {"validate": 50_000, "stats": 50_000, "stats --by --structures": 50_000}
"""Rows a second of processor time that a command must reach."""
MEMORY_MIB = 512
"""Peak memory that no command of a million rows may pass (`dedup --near` holds its rows and is not judged)."""


def write_rows(folder: Path, rows: int) -> Path:
    """A file of so many different rows: those of the generator, each with an id and a figure of its own."""
    made = build_tmf921(folder / "set", Tmf921Section(train_rows=5000, held_out_rows=20))["train_base"]
    originals = [orjson.loads(line) for line in made.read_bytes().splitlines()]
    path = folder / "rows.jsonl"
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(rows):
            row = originals[number % len(originals)]
            turns = row["messages"]
            asked = {**turns[-2], "content": f"{turns[-2]['content']} Request {number}."}
            file.write(
                orjson.dumps({**row, "id": f"{number:012x}", "messages": [*turns[:-2], asked, turns[-1]]}) + b"\n"
            )
    return path


def list_commands(path: Path, folder: Path, rows: int) -> dict[str, list[str]]:
    source, out = str(path), str(folder / "out.jsonl")
    return {
        "validate": ["validate", source],
        "stats": ["stats", source],
        "stats --by --structures": ["stats", source, "--by", "target_layer", "--by", "sector", "--structures"],
        "filter": ["filter", source, "--out", out, "--max-characters", "20000", "--where", "target_layer=o1_nrm"],
        "dedup": ["dedup", source, "--out", out],
        "split": ["split", source, "--out", str(folder / "splits"), "--shares", "train=0.9,test=0.1"],
        "merge": ["merge", source, "--out", out],
        "mix": ["mix", "--part", f"{source}=1", "--rows", str(rows // 2), "--out", out],
        "wrap": ["wrap", source, "--rows", "10000", "--out", out],
        "upsample": ["upsample", source, "--out", out, "--column", "lifecycle_operation", "--except", "create",
                     "--share", "0.16"],
    }  # fmt: skip


def measure(words: list[str], rows: int) -> dict[str, Any]:
    """One command in a process of its own with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "grpo.data", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - begun
    seconds = usage.ru_utime + usage.ru_stime
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "processor_seconds": round(seconds, 2),
        "elapsed_seconds": round(elapsed, 2),
        "rows_a_second": round(rows / seconds),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--near-rows", type=int, default=20_000, help="rows of dedup --near, which compares them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = write_rows(folder, options.rows)
        for name, words in list_commands(path, folder, options.rows).items():
            found[name] = measure(words, options.rows)
        fewer = folder / "fewer.jsonl"
        with path.open("rb") as file:
            fewer.write_bytes(b"".join(file.readline() for _ in range(options.near_rows)))
        words = ["dedup", str(fewer), "--out", str(folder / "once.jsonl"), "--near", "0.95"]
        found[f"dedup --near 0.95, {options.near_rows:,} rows"] = measure(words, options.near_rows)
    missed = [name for name, least in WANTED.items() if found[name]["rows_a_second"] < least]
    missed += [name for name, each in found.items() if "--near" not in name and each["peak_mib"] > MEMORY_MIB]
    if options.json:
        print(json.dumps({"rows": options.rows, "commands": found, "missed": missed}, indent=2))
    else:
        print(
            f"{options.rows:,} rows\n\n| command | rows a second | processor | elapsed | peak memory |\n|---|---|---|---|---|"
        )
        for name, each in found.items():
            print(
                f"| `{name}` | {each['rows_a_second']:,} | {each['processor_seconds']:.1f} s | "
                f"{each['elapsed_seconds']:.1f} s | {each['peak_mib']:.0f} MiB |"
            )
        print(f"\nmissed: {', '.join(missed) or 'none'}")
    return 1 if missed or any(each["exit"] not in (0,) for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
