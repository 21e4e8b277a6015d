"""Start-up of the commands a person waits for: processor seconds, modules imported, and what weighs most.

    python -m benchmarks.start_up
    python -m benchmarks.start_up --repeats 9 --heaviest 8

Each command runs in a fresh Python, with its byte code written before. Seconds are user and system time, the least of the
repeats. A module of HEAVY among those imported is named, and makes the exit code 1: none of these commands needs one.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile

COMMANDS = (
    ("-m", "grpo", "--help"),
    ("-m", "grpo", "rewards", "--help"),
    ("-m", "grpo.run", "--help"),
    ("-m", "grpo.run", "--config", "v4_1", "--profile", "embedded", "--dry-run"),
    ("-m", "rewards", "--help"),
)
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "vllm", "unsloth", "wandb", "fastapi", "pandas", "scipy")
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")


def spend(words: tuple[str, ...], folder: str) -> float:
    """Processor seconds of one start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def list_imports(words: tuple[str, ...], folder: str) -> dict[str, float]:
    """Milliseconds of each module that is imported, those it imports left out."""
    done = subprocess.run([sys.executable, "-X", "importtime", *words], capture_output=True, text=True, cwd=folder)
    return {match[4]: int(match[1]) / 1000 for match in map(_LINE.match, done.stderr.splitlines()) if match}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--heaviest", type=int, default=5, help="modules named a command")
    arguments = parser.parse_args()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for words in COMMANDS:
            imports = list_imports(words, folder)
            seconds = min(spend(words, folder) for _ in range(arguments.repeats))
            heavy = sorted({name.partition(".")[0] for name in imports} & set(HEAVY))
            found += len(heavy)
            most = sorted(imports, key=imports.__getitem__, reverse=True)[: arguments.heaviest]
            print(f"{seconds:6.2f} s  {len(imports):5} modules  python {' '.join(words)}")
            print("          " + ", ".join(f"{name} {imports[name]:.0f} ms" for name in most))
            if heavy:
                print(f"          HEAVY: {', '.join(heavy)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
