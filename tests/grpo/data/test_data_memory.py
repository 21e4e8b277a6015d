"""Data commands over many rows: what is in memory does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Each command over a file of few rows, then over 20,000; the most memory that the process ever had after both.
MEASURE = """
import contextlib, io, json, resource, sys
from grpo.data.__main__ import main

def run(source, out):
    ask = ["--column", "layer", "--except", "a", "--share", "0.3"]
    for words in (
        ["validate", source], ["stats", source, "--by", "layer", "--structures"], ["merge", source, "--out", out],
        ["filter", source, "--out", out, "--max-characters", "20000", "--quality"], ["dedup", source, "--out", out],
        ["split", source, "--out", out + ".d", "--shares", "train=0.9,test=0.1"], ["upsample", source, "--out", out, *ask],
        ["mix", "--part", source + "=1", "--out", out], ["wrap", source, "--rows", "50", "--out", out],
    ):
        with contextlib.redirect_stdout(io.StringIO()):
            assert main(words) == 0, words
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few, many, out = sys.argv[1:]
print(json.dumps([run(few, out), run(many, out)]))
"""


def test_commands_when_there_are_20000_rows_then_memory_is_that_of_few(tmp_path):
    """Rows of 2 KB: held, 20,000 of them would be 40 MiB as bytes alone; ids and places in a file are 16 to 100 bytes each."""
    rows = 20_000
    sizes = {"few": 200, "many": rows}
    for name, count in sizes.items():
        with (tmp_path / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                turns = [
                    {"role": "user", "content": f"Request {number}: " + f"what is {number} and why? " * 30},
                    {"role": "assistant", "content": json.dumps({"n": number, "text": f"word{number} " * 90})},
                ]
                row = {"id": f"{number:08x}", "messages": turns, "layer": "abc"[number % 3]}
                file.write(json.dumps(row) + "\n")
    words = [
        sys.executable,
        "-c",
        MEASURE,
        *(str(tmp_path / f"{name}.jsonl") for name in sizes),
        str(tmp_path / "out.jsonl"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    few, many = json.loads(done.stdout)
    assert many - few < 8 + rows * 400 / 2**20
