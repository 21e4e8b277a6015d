"""A report and a look at a run with a million stored completions: seconds, and the most memory each took.

python benchmarks/million.py                       1,000 files of 1,000 rows, and 200,000 rows in the last evaluation
python benchmarks/million.py --files 100 --rows 20000
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

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damages import ROOT
from report import load_maker

COMMANDS = {
    "report": ("-m", "grpo.report"),
    "watch": ("-m", "grpo.watch", "--once"),
    "watch --json": ("-m", "grpo.watch", "--json"),
}


def build(folder: Path, files: int, rows: int) -> int:
    """A finished run with so many files of a thousand completions, which share their bytes, and so many rows at its end."""
    run = load_maker().write_synthetic_run(folder, steps=60, stored_every=60)
    stored = sorted((run / "completions").glob("*.jsonl"))[-1]
    lines = stored.read_bytes().splitlines(keepends=True)
    first = run / "completions" / "step-000001.jsonl"
    first.write_bytes(b"".join(lines[at % len(lines)] for at in range(1_000)))
    for at in range(2, files + 1):
        (run / "completions" / f"step-{at:06d}.jsonl").unlink(missing_ok=True)
        os.link(first, run / "completions" / f"step-{at:06d}.jsonl")
    final = (run / "eval" / "final.jsonl").read_bytes().splitlines()
    with (run / "eval" / "final.jsonl").open("wb") as file:
        for at in range(rows):
            row = json.loads(final[at % len(final)])
            file.write(json.dumps({**row, "id": f"{row['id']}-{at}"}).encode() + b"\n")
    return files * 1_000 + rows


def measure(run: Path, words: tuple[str, ...]) -> dict[str, float]:
    """Seconds and peak memory of a command over the run."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, *words, str(run)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    scale = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {"seconds": round(time.monotonic() - started, 1), "peak_mib": round(usage.ru_maxrss / scale)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recompensa-million-") as folder:
        run = Path(folder, "run")
        stored = build(run, options.files, options.rows)
        found = {name: measure(run, words) for name, words in COMMANDS.items()}
    print(json.dumps({"stored_completions": stored, **found}, indent=2))


if __name__ == "__main__":
    main()
