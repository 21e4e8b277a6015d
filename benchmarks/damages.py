"""Damages to a run that was killed: each must resume to the numbers of a run that was not, or be refused in one line.

python benchmarks/damages.py                       all of them, on tiny settings: some seconds each on two cores
python benchmarks/damages.py --only metrics --json
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from damage_kinds import DECISION, WARM_UP, list_damages, list_odd

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    "data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40", "sft_warmup.max_steps=6",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400", "grpo.max_steps=6",
    "grpo.prompts_per_step=2", "grpo.num_generations=4", "grpo.max_completion_length=12", "grpo.save_every_steps=2",
    "grpo.learning_rate=0.02", "evaluation.max_completion_length=12", "evaluation.every_steps=1", "tracking.wandb=off",
    "threads=1",
)  # fmt: skip
COMPARED = ("metrics.jsonl", "decision.json", "watch.jsonl")


def run_command(
    *words: str,
    until: Callable[[], bool] | None = None,
    timeout: float = 600,
    entry: Sequence[str] = (),
    first: Callable[[], None] | None = None,
    **more: str,
) -> tuple[int, str]:
    """Exit code and standard error of `grpo.run`, killed as soon as `until` holds.

    A fork of this process, which has imported torch already, so that a run takes seconds; with `entry`, a script in place of
    `-m grpo.run`, a process from scratch, `more` in its environment. The fork calls `first` before anything else.
    """
    with tempfile.TemporaryFile() as errors:
        pid = start_script(entry, words, errors, more) if entry else start_fork(words, errors, first)
        started = time.monotonic()
        while (code := find_code(pid)) is None:
            if until is not None and until():
                os.kill(pid, signal.SIGKILL)
                until = None
            elif time.monotonic() - started > timeout:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return 124, "(hung)"
            time.sleep(0.02)
        errors.seek(0)
        return code, errors.read().decode("utf-8", "replace")


def start_script(entry: Sequence[str], words: Sequence[str], errors: Any, more: Mapping[str, str]) -> int:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    return subprocess.Popen(
        [sys.executable, *entry, *words], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=errors
    ).pid


def start_fork(words: Sequence[str], errors: Any, first: Callable[[], None] | None = None) -> int:
    """The number of a process that runs `grpo.run` with these words and ends with its exit code."""
    main = preload()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(errors.fileno(), 2)
        os.chdir(ROOT)
        if first is not None:
            first()
        code = main(list(words))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@cache
def preload() -> Callable[[list[str]], int]:
    """`grpo.run`, with all that it imports on the way imported; nothing of it has begun a thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(ROOT))
    from grpo.engines.packages import quieten_libraries

    quieten_libraries()
    for name in ("trl", "peft", "datasets", "grpo.training.stages", "grpo.training.trainer", "sft_warmup.train"):
        importlib.import_module(name)
    from grpo.run import main

    return main


def find_code(pid: int) -> int | None:
    """The exit code of a child, minus the signal that ended it; None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def start_words(run: Path, settings: tuple[str, ...] = ()) -> list[str]:
    words = ["--config", "v4_1.yaml", "--profile", "embedded", "--quiet", "--run-dir", str(run)]
    return [*words, *(word for setting in (*SETTINGS, *settings) for word in ("--set", setting))]


def reached(run: Path, step: int) -> bool:
    """Whether the row of a training step is written."""
    try:
        rows = (run / "metrics.jsonl").read_bytes().splitlines()
        return any(row["stage"] == "train" and row["step"] >= step and "loss" in row for row in map(json.loads, rows))
    except (OSError, ValueError, KeyError):
        return False


def judge(run: Path, whole: Path, code: int, errors: str) -> tuple[str, str]:
    """`identical` or `refused`, else what is wrong; and the line that was said."""
    lines = [line for line in errors.splitlines() if line.strip()]
    said = next((line for line in lines if "checkpoint" in line or line.startswith("error") or "warning" in line), "")
    if "Traceback" in errors:
        return "traceback", lines[-1] if lines else ""
    if code == 2 and 1 <= len(lines) <= 6 and all(len(line) < 600 for line in lines):
        return "refused", lines[-1]
    if code != 0:
        return f"exit {code}", lines[-1] if lines else ""
    names = [
        *COMPARED,
        *(f"{f}/{path.name}" for f in ("eval", "completions") for path in sorted((whole / f).glob("*.jsonl"))),
    ]
    kept = sorted((whole / "checkpoints").iterdir(), key=lambda path: int(path.name.partition("-")[2]))
    # One that a signal left stands in the place of an older one.
    kept = [path for path in kept if path == kept[-1] or (run / "checkpoints" / path.name).is_dir()]
    folders = ("best", "sft", *(f"checkpoints/{path.name}" for path in kept))
    names += [f"{folder}/{path.name}" for folder in folders for path in (whole / folder).glob("*.safetensors")]
    differing = [name for name in names if (whole / name).is_file() and read(run / name) != read(whole / name)]
    return (f"silently different: {', '.join(differing[:3])}" if differing else "identical"), said


def read(path: Path) -> bytes | None:
    """What is compared of a file: all of it, but for the commands in a decision, which name the folder."""
    if not path.is_file():
        return None
    if path.name == "decision.json":
        decision = json.loads(path.read_bytes())
        return json.dumps({key: value for key, value in decision.items() if key != "commands"}).encode()
    return path.read_bytes()


def measure(folder: Path, only: str = "") -> dict[str, tuple[str, str]]:
    """What became of each damage."""
    whole, other, killed = folder / "whole", folder / "other", folder / "killed"
    for run, settings in ((whole, ()), (other, ("seed=43",))):
        code, errors = run_command(*start_words(run, settings))
        assert code == 0, errors
    code, errors = run_command(*start_words(killed), until=lambda: reached(killed, 5))
    assert code == -signal.SIGKILL and (killed / "checkpoints" / "checkpoint-4").is_dir(), errors
    warming = folder / "warming"
    settings = ("sft_warmup.max_steps=6", "sft_warmup.save_every_steps=2")
    code, errors = run_command(
        *start_words(warming, settings), until=(warming / "sft-checkpoints" / "checkpoint-4" / "manifest.json").is_file
    )
    assert code == -signal.SIGKILL and (warming / "sft-checkpoints").is_dir(), f"{code} {errors}"
    decided = folder / "decided"
    code, errors = run_command(*start_words(decided), until=(decided / "decision.json").is_file)
    assert code == -signal.SIGKILL, f"{code} {errors}"
    results = {}
    for name, damage in {"nothing": lambda run: None, **list_damages(other), **list_odd()}.items():
        if only and only not in name and name != "nothing":
            continue
        run = folder / "work"
        shutil.rmtree(run, ignore_errors=True)
        begun = name.partition(": ")[0] + ": "
        shutil.copytree({WARM_UP: warming, DECISION: decided}.get(begun, killed), run)
        try:
            damage(run)
        except FileNotFoundError as missing:
            results[name] = ("not applicable", str(missing.filename))
            continue
        results[name] = judge(run, whole, *run_command("--resume", str(run), "--quiet"))
        print(f"{results[name][0]:12} {name:50} {results[name][1][:150]}", file=sys.stderr, flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="damages whose name holds this")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recompensa-damages-") as folder:
        results = measure(Path(folder), options.only)
    held = sum(result in ("identical", "refused") for result, _ in results.values())
    if options.json:
        print(json.dumps({"damages": len(results), "held": held, "results": results}))
    else:
        print(f"{held} of {len(results)} damages recovered or refused in one line")


if __name__ == "__main__":
    main()
