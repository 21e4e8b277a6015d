"""Thousands of steps of a very small policy: memory, open files and step time, and whether any of them climbs.

python benchmarks/long_haul.py --steps 2000
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

from damages import ROOT, start_words


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / (sum((x - mean_x) ** 2 for x, _ in points) or 1.0)


def measure(steps: int, *, warm: float = 0.25) -> dict[str, object]:
    """Slopes a thousand steps after the first quarter: MiB of memory, open files, per cent of the step's seconds."""
    settings = (
        f"grpo.max_steps={steps}", f"grpo.save_every_steps={max(1, steps // 4)}", "grpo.log_completions_every=1000000",
        f"evaluation.every_steps={max(1, steps // 4)}", "grpo.learning_rate=0.0001",
        # A policy of random weights that is cut after twelve tokens breaks rules that stop a run.
        "decision.watch.enabled=false",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="recompensa-long-") as folder:
        run = Path(folder, "run")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "grpo.run", *start_words(run, settings)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        memory: list[tuple[float, float]] = []
        files: list[tuple[float, float]] = []
        while process.poll() is None:
            time.sleep(0.5)
            try:
                step = len((run / "metrics.jsonl").read_bytes().splitlines())
                status = Path(f"/proc/{process.pid}/status").read_text()
                resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
                files.append((step, len(os.listdir(f"/proc/{process.pid}/fd"))))
                memory.append((step, resident / 1024))
            except (OSError, StopIteration, ValueError):
                continue
        assert process.returncode == 0, f"the run ended with exit code {process.returncode}"
        timings = [json.loads(line) for line in (run / "timings.jsonl").read_bytes().splitlines()]
        seconds = [
            (
                row["step"],
                sum(value for key, value in row.items() if key.endswith("_seconds") and key != "stage_seconds"),
            )
            for row in timings
            if row["stage"] == "train" and "loss_seconds" in row
        ]
        size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        # Without what was seen of the process as it wound up.
        last = max(step for step, _ in memory)
        late = {name: [point for point in points if warm * steps < point[0] < last] for name, points in
                (("memory", memory), ("files", files), ("seconds", seconds))}  # fmt: skip
        mean = sum(value for _, value in late["seconds"]) / len(late["seconds"])
        return {
            "exit_code": process.returncode, "minutes": round((time.monotonic() - started) / 60, 1), "steps": steps, "memory_mib": round(late["memory"][-1][1], 1),
            "memory_mib_per_1000_steps": round(1000 * slope(late["memory"]), 2),
            "open_files": late["files"][-1][1], "open_files_per_1000_steps": round(1000 * slope(late["files"]), 2),
            "step_seconds": round(mean, 4), "step_percent_per_1000_steps": round(100_000 * slope(late["seconds"]) / mean, 1),
            "run_mib": round(size / 2**20, 2),
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2_000)
    print(json.dumps(measure(parser.parse_args().steps), indent=2))


if __name__ == "__main__":
    main()
