"""SIGKILLs at random moments of a run: each must resume to the bytes of a run that was not killed.

python benchmarks/kills.py                       50 kills, in turn: all weights, LoRA, a long warm-up, a vLLM stand-in
python benchmarks/kills.py --kills 6 --seed 3 --kinds warmup,vllm

A kill takes two starts of Python with torch and a run of seconds. The stand-in is tests/tiers/stand_in_server.py: a server
with a policy of its own that speaks as vLLM's does and is sent the weights of every step.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damages import ROOT, judge, run_command, start_words

# Rows that are gone through more than once, evaluations of several batches, checkpoints between two rows of the warm-up.
SHARED = (
    "data.shop.train_rows=8", "evaluation.batch_size=3", "sft_warmup.max_steps=23", "sft_warmup.save_every_steps=7",
    "evaluation.every_steps=3",
)  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {
    "weights": (),
    "lora": ("model.lora={r: 4, alpha: 8, dropout: 0.1, target_modules: all-linear}",),
    "warmup": ("sft_warmup.max_steps=150", "sft_warmup.save_every_steps=37", "grpo.max_steps=2"),
    "vllm": (
        "model.engine=vllm",
        "model.embedded=null",
        "grpo.top_p=1.0",
        "grpo.top_k=0",
        "grpo.repetition_penalty=1.0",
    ),
}
SERVED = (str(ROOT / "tests" / "tiers" / "served_run.py"),)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Kind:
    """How runs of one kind are started, and one that was left alone."""

    def __init__(self, name: str, folder: Path):
        self.name, self.whole = name, folder / f"whole-{name}"
        self.settings = (*SHARED, *KINDS[name])
        if name == "vllm":
            # The stand-in and the run load what the warm-up of another run left.
            base = folder / "base"
            code, errors = run_command(*start_words(base, (*SHARED, "grpo.max_steps=2")))
            assert code == 0, errors
            server = f"server_port: {free_port()}, group_port: {free_port()}, server_timeout: 120"
            self.settings += (
                f"model.name={base / 'sft'}", f"model.vllm={{mode: server, server_devices: '0', {server}}}",
            )  # fmt: skip
        started = time.monotonic()
        code, errors = self.run(start_words(self.whole, self.settings), None)
        assert code == 0, errors
        self.seconds = time.monotonic() - started

    def run(self, words: list[str], seconds: float | None) -> tuple[int, str]:
        """A run that is killed after so many seconds, or left alone; exit code and standard error."""
        started = time.monotonic()
        until = None if seconds is None else lambda: time.monotonic() - started > seconds
        served = {"entry": SERVED, "STAND_IN": "none 0"} if self.name == "vllm" else {}
        return run_command(*words, until=until, timeout=900, **served)


def find_stage(run: Path) -> str:
    """In which stage a run was killed."""
    try:
        stage = json.loads((run / "status.json").read_bytes())["stage"]
        rows = (run / "metrics.jsonl").read_bytes()
    except (OSError, ValueError, KeyError):
        return "start"
    return "warm-up" if stage == "sft" and b"sft/" in rows else "start" if stage == "sft" else stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    results, stages = [], Counter[str]()
    with tempfile.TemporaryDirectory(prefix="recompensa-kills-") as folder:
        kinds = [Kind(name, Path(folder)) for name in options.kinds.split(",")]
        for number in range(options.kills):
            kind = kinds[number % len(kinds)]
            run = Path(folder, f"run-{number}")
            moments = [rng.uniform(0.1, 1.0) * kind.seconds]
            code, errors = kind.run(start_words(run, kind.settings), moments[0])
            while code == 0 and (run / "report.html").exists():
                # The machine was slower when the whole run was timed: it was over before its moment.
                shutil.rmtree(run)
                moments[0] /= 2
                code, errors = kind.run(start_words(run, kind.settings), moments[0])
            where = [find_stage(run)]
            # Some are killed again while they resume.
            while code == -signal.SIGKILL and rng.random() < 0.3 and (run / "config.json").exists():
                moments.append(rng.uniform(0.1, 1.0) * kind.seconds)
                code, errors = kind.run(["--resume", str(run), "--quiet"], moments[-1])
                where.append(find_stage(run))
            stages.update(where)
            if not (run / "config.json").exists():
                code, errors = kind.run(start_words(run, kind.settings), None)
            elif code != 0:
                code, errors = kind.run(["--resume", str(run), "--quiet"], None)
            result, said = judge(run, kind.whole, code, errors)
            results.append(result)
            shown = ", ".join(f"{moment:.1f} s ({stage})" for moment, stage in zip(moments, where, strict=True))
            print(
                f"{number + 1:3} {kind.name:8} killed after {shown} of {kind.seconds:.1f} s: {result} {said[:120]}",
                file=sys.stderr,
                flush=True,
            )
    print(
        json.dumps(
            {
                "kills": len(results),
                "identical": results.count("identical"),
                "others": [r for r in results if r != "identical"],
                "killed_in": dict(stages),
            }
        )
    )


if __name__ == "__main__":
    main()
