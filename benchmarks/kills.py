"""SIGKILLs at random moments of a run: each must resume to the bytes of a run that was not killed.

python benchmarks/kills.py                       50 kills, in turn: all weights, LoRA, a warm-up that is long
python benchmarks/kills.py --kills 6 --seed 3 --kinds warmup
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damages import judge, run_command, start_words

KINDS: dict[str, tuple[str, ...]] = {
    "weights": (),
    "lora": ("model.lora={r: 4, alpha: 8, dropout: 0.0, target_modules: all-linear}",),
    "warmup": ("sft_warmup.max_steps=200", "sft_warmup.epochs=null"),
}


def run_for(words: list[str], seconds: float | None) -> tuple[int, str]:
    """A run that is killed after so many seconds, or left alone; exit code and standard error."""
    started = time.monotonic()
    until = None if seconds is None else lambda: time.monotonic() - started > seconds
    return run_command(*words, until=until, timeout=900)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    kinds = options.kinds.split(",")
    results = []
    with tempfile.TemporaryDirectory(prefix="recompensa-kills-") as folder:
        whole, took = {}, {}
        for kind in kinds:
            whole[kind] = Path(folder, f"whole-{kind}")
            started = time.monotonic()
            code, errors = run_for(start_words(whole[kind], KINDS[kind]), None)
            assert code == 0, errors
            took[kind] = time.monotonic() - started
        for number in range(options.kills):
            kind = kinds[number % len(kinds)]
            run = Path(folder, f"run-{number}")
            moments = [rng.uniform(0.1, 1.0) * took[kind]]
            code, errors = run_for(start_words(run, KINDS[kind]), moments[0])
            # Some are killed again while they resume.
            while code == -signal.SIGKILL and rng.random() < 0.3 and (run / "config.json").exists():
                moments.append(rng.uniform(0.1, 1.0) * took[kind])
                code, errors = run_for(["--resume", str(run), "--quiet"], moments[-1])
            if not (run / "config.json").exists():
                code, errors = run_for(start_words(run, KINDS[kind]), None)
            elif code != 0:
                code, errors = run_for(["--resume", str(run), "--quiet"], None)
            result, said = judge(run, whole[kind], code, errors)
            results.append(result)
            shown = ", ".join(f"{moment:.1f}" for moment in moments)
            print(
                f"{number + 1:3} {kind:8} killed after {shown} s of {took[kind]:.1f}: {result} {said[:120]}",
                file=sys.stderr,
            )
    print(
        json.dumps(
            {
                "kills": len(results),
                "identical": results.count("identical"),
                "others": [r for r in results if r != "identical"],
            }
        )
    )


if __name__ == "__main__":
    main()
