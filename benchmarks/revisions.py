"""Two git revisions run the same command in turns: seconds of each, their ratio, and whether they write the same completions.

    python benchmarks/revisions.py main~20 main                               the embedded run of v4_1, three times each
    python benchmarks/revisions.py v0.9 HEAD --times 1 --set grpo.max_steps=20    shortened
    python benchmarks/revisions.py a1b2c3d HEAD --script benchmarks/step.py -- --quick   any script of both revisions

Each revision is checked out into a folder of its own, so that the working tree is never touched. Runs go A B, B A, A B, so
that a machine that grows slower favours neither. Wall-clock and processor seconds are those of the child alone; the ratio
is B's by A's, of the medians and of the smallest. Files are compared byte by byte: completions/, eval/ and metrics.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPARED = ("completions/*.jsonl", "eval/*.jsonl", "metrics.jsonl")


def main() -> int:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        trees = {name: check_out(revision, Path(folder) / name) for name, revision in
                 (("a", options.before), ("b", options.after))}  # fmt: skip
        try:
            return compare(trees, options, Path(folder))
        finally:
            for tree in trees.values():
                git("worktree", "remove", "--force", str(tree))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="revision A")
    parser.add_argument("after", help="revision B")
    parser.add_argument("--times", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument(
        "--config", default="v4_1.yaml", help="what is run (default: v4_1.yaml on the embedded profile)"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="handed to the run")
    parser.add_argument("--script", help="a script to run in place of grpo.run, with what stands after --")
    parser.add_argument(
        "--limit", type=float, metavar="RATIO", help="exit code 1 where the ratio of the smallest is above"
    )
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    options.words = given[end + 1 :]
    return options


def git(*words: str) -> str:
    return subprocess.run(("git", "-C", str(ROOT), *words), check=True, capture_output=True, text=True).stdout.strip()


def check_out(revision: str, folder: Path) -> Path:
    git("worktree", "add", "--detach", str(folder), revision)
    return folder


def compare(trees: dict[str, Path], options: argparse.Namespace, folder: Path) -> int:
    found: dict[str, list[dict]] = {"a": [], "b": []}
    for turn in range(options.times):
        for name in ("a", "b") if turn % 2 == 0 else ("b", "a"):
            seconds = run(trees[name], command(options, folder / f"run-{name}-{turn}"))
            found[name].append(seconds)
            print(json.dumps({"revision": name, "turn": turn, **seconds}), flush=True)
    line: dict[str, object] = {}
    for clock in ("wall", "processor"):
        times = {name: [each[clock] for each in runs] for name, runs in found.items()}
        line[f"{clock}_median"] = round(statistics.median(times["b"]) / statistics.median(times["a"]), 3)
        line[f"{clock}_smallest"] = round(min(times["b"]) / min(times["a"]), 3)
    if not options.script:
        line["different_files"] = differing(folder / "run-a-0", folder / "run-b-0")
    print(json.dumps(line))
    return int(options.limit is not None and float(str(line["wall_smallest"])) > options.limit)


def command(options: argparse.Namespace, run_folder: Path) -> list[str]:
    if options.script:
        return [sys.executable, options.script, *options.words]
    words = ["--config", options.config, "--profile", "embedded", "--quiet", "--run-dir", str(run_folder)]
    return [sys.executable, "-m", "grpo.run", *words, *(word for each in options.set for word in ("--set", each))]


def run(tree: Path, words: list[str]) -> dict[str, float]:
    """Wall-clock and processor seconds of one child; its last lines end this script where it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.run(words, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)} in {tree.name} ended with {child.returncode}:\n{child.stderr[-2000:]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 2), "processor": round(spent, 2)}


def differing(first: Path, second: Path) -> list[str]:
    """Names of the compared files that are not the same bytes in both runs."""
    names = {str(path.relative_to(run)) for run in (first, second) for form in COMPARED for path in run.glob(form)}
    return sorted(name for name in names if read(first / name) != read(second / name))


def read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    raise SystemExit(main())
