"""Signals in every stage of a run: it must exit 75 in time, and resumed it must end with the bytes of a run that had none.

python benchmarks/signals.py                                    every stage by SIGTERM, by SIGINT, and by two of either
python benchmarks/signals.py --only warm-up --seed 3            other moments within a stage by another seed

The first signal lets the present step or batch end; from the second one the run has five seconds, wherever it is.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damages import judge, run_command, start_words

SETTINGS = (
    "evaluation.batch_size=3", "sft_warmup.max_steps=23", "sft_warmup.save_every_steps=7", "evaluation.every_steps=3",
)  # fmt: skip
CALLS = {
    "plan": ("grpo.plan.make_plan", "make_plan"),
    "preflight": ("grpo.preflight", "run_preflight"),
    "folder": ("grpo.lifecycle.begin", "create_directory"),
    "decision": ("grpo.decide.decide_run", "decide_run"),
    "report": ("grpo.report", "write_report"),
}
STEPS = {"warm-up": ("sft", 11), "first step of the warm-up": ("sft", 0), "GRPO": ("checkpoints", 4)}
BATCHES = {
    "evaluation before": "before", "evaluation after the warm-up": "warmup", "evaluation while training": "train",
    "evaluation at the end": "final", "evaluation of the judged": "judged",
}  # fmt: skip
SAVES = {"saving a checkpoint": ("transformers.trainer", "Trainer", "_save_checkpoint"),
         "saving the best": ("grpo.training.stages", "Stages", "_keep_best")}  # fmt: skip
KINDS = {
    "SIGTERM": (signal.SIGTERM,), "SIGINT": (signal.SIGINT,), "two SIGTERM": (signal.SIGTERM, signal.SIGTERM),
    "SIGINT, then SIGTERM": (signal.SIGINT, signal.SIGTERM),
}  # fmt: skip
SECONDS_AFTER_TWO = 5.0


def tell_at(place: str, told: Path) -> Callable[[], None]:
    """In the run's own process: a file appears when it comes to that place for the first time."""

    def reach() -> None:
        told.touch()

    def wrap(owner: Any, name: str, holds: Callable[..., bool]) -> None:
        before = getattr(owner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if not told.exists() and holds(*arguments):
                reach()
            return before(*arguments, **named)

        setattr(owner, name, call)

    def begin() -> None:
        if place in CALLS:
            module, name = CALLS[place]
            wrap(importlib.import_module(module), name, lambda *_: True)
        elif place in SAVES:
            module, owner, name = SAVES[place]
            wrap(getattr(importlib.import_module(module), owner), name, lambda *_: True)
        elif place in STEPS:
            folder, step = STEPS[place]
            handler = importlib.import_module("transformers.trainer_callback").CallbackHandler

            def is_there(_: Any, args: Any, state: Any, *__: Any) -> bool:
                return Path(args.output_dir).name.startswith(folder) and state.global_step == step

            wrap(handler, "on_step_begin", is_there)
        else:
            answered = importlib.import_module("grpo.training.answered").Answered
            wrap(answered, "add", lambda kept, *_: json.loads(kept._head)["of"]["stage"] == BATCHES[place])

    return begin


class Sender:
    """For `run_command`: so many seconds after the run has come to its place, the signals, a moment apart."""

    def __init__(self, told: Path, signals: tuple[signal.Signals, ...], seconds: float):
        self.told, self.left, self.wait = told, list(signals), seconds
        self.sent: list[float] = []
        self._next = 0.0

    def __call__(self) -> bool:
        if self.left and self.told.exists():
            now = time.monotonic()
            self._next = self._next or now + self.wait
            if now >= self._next:
                try:
                    os.kill(int(self.told.with_suffix(".pid").read_text()), self.left.pop(0))
                    self.sent.append(now)
                except ProcessLookupError:
                    self.left.clear()
                self._next = now + 0.2
        return False


def try_one(folder: Path, whole: Path, place: str, kind: str, wait: float) -> tuple[str, float, str]:
    """What came of it, seconds from the last signal to the end, and what was said."""
    run, told = folder / "run", folder / "told"
    for path in (told, told.with_suffix(".pid")):
        path.unlink(missing_ok=True)
    shutil.rmtree(run, ignore_errors=True)
    tell = tell_at(place, told)

    def begin() -> None:
        # Where this runs in the background, a shell may have it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        told.with_suffix(".pid").write_text(str(os.getpid()))
        tell()

    sender = Sender(told, KINDS[kind], wait)
    code, errors = run_command(*start_words(run, SETTINGS), until=sender, first=begin)
    took = time.monotonic() - sender.sent[-1] if sender.sent else 0.0
    said = "; ".join(line for line in errors.splitlines() if line.strip())
    if not told.exists():
        return "never came there", took, said
    if code == 0 and json.loads((run / "status.json").read_bytes())["stage"] == "done":
        return judge(run, whole, code, errors)[0] + " (it was over)", took, said
    if code != 75 or "Traceback" in errors:
        return f"exit {code}", took, said
    if len(sender.sent) > 1 and took > SECONDS_AFTER_TWO:
        return "late", took, said
    begun = (run / "config.json").exists()
    if not begun and run.exists():
        return "left half a folder", took, said
    words = ["--resume", str(run), "--quiet"] if begun else start_words(run, SETTINGS)
    return judge(run, whole, *run_command(*words))[0], took, said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="places whose name holds this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    found: dict[str, str] = {}
    slowest: dict[int, float] = {1: 0.0, 2: 0.0}
    with tempfile.TemporaryDirectory(prefix="recompensa-signals-") as folder:
        whole = Path(folder, "whole")
        code, errors = run_command(*start_words(whole, SETTINGS))
        assert code == 0, errors
        for place in (*CALLS, *STEPS, *BATCHES, *SAVES):
            for kind, signals in KINDS.items():
                wait = rng.choice((0.0, rng.uniform(0, 0.3)))
                if options.only not in place:
                    continue
                result, took, said = try_one(Path(folder), whole, place, kind, wait)
                found[f"{place}: {kind}"] = result
                slowest[len(signals)] = max(slowest[len(signals)], took)
                print(f"{result:12} {place:30} {kind:22} +{wait:.2f} s, left in {took:.2f} s  {said[-150:]}",
                      file=sys.stderr, flush=True)  # fmt: skip
    bad = {name: result for name, result in found.items() if not result.startswith("identical")}
    print(
        json.dumps(
            {
                "signals": len(found), "identical": len(found) - len(bad), "others": bad,
                "slowest_seconds_after_one": round(slowest[1], 2), "slowest_seconds_after_two": round(slowest[2], 2),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
