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

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = (
    "data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40", "sft_warmup.max_steps=6",
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400", "grpo.max_steps=6",
    "grpo.prompts_per_step=2", "grpo.num_generations=4", "grpo.max_completion_length=12", "grpo.save_every_steps=2",
    "grpo.learning_rate=0.02", "evaluation.max_completion_length=12", "evaluation.every_steps=1", "tracking.wandb=off",
    "threads=1",
)  # fmt: skip
WARM_UP = "warm-up: "
COMPARED = ("metrics.jsonl", "decision.json", "watch.jsonl")
Damage = Callable[[Path], None]


def run_command(
    *words: str,
    until: Callable[[], bool] | None = None,
    timeout: float = 600,
    entry: Sequence[str] = (),
    **more: str,
) -> tuple[int, str]:
    """Exit code and standard error of `grpo.run`, killed as soon as `until` holds.

    A fork of this process, which has imported torch already, so that a run takes seconds; with `entry`, a script in place of
    `-m grpo.run`, a process from scratch, `more` in its environment.
    """
    with tempfile.TemporaryFile() as errors:
        pid = start_script(entry, words, errors, more) if entry else start_fork(words, errors)
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


def start_fork(words: Sequence[str], errors: Any) -> int:
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


# -- kinds of damage ------------------------------------------------------------------------------------------------------


def delete(name: str) -> Damage:
    def damage(run: Path) -> None:
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def rewrite(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(run: Path) -> None:
        path = run / name
        path.write_bytes(change(path.read_bytes()))

    return damage


def empty(name: str) -> Damage:
    return rewrite(name, lambda _: b"")


def zero(name: str) -> Damage:
    return rewrite(name, lambda content: bytes(len(content)))


def cut(name: str) -> Damage:
    return rewrite(name, lambda content: content[: len(content) // 2])


def flip(name: str, at: float = 0.7) -> Damage:
    def change(content: bytes) -> bytes:
        place = int(len(content) * at)
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return rewrite(name, change)


def edit(name: str, *path: str | int, value: object) -> Damage:
    def damage(run: Path) -> None:
        document = json.loads((run / name).read_bytes())
        at = document
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        (run / name).write_text(json.dumps(document))

    return damage


def rename(before: str, after: str) -> Damage:
    def damage(run: Path) -> None:
        shutil.rmtree(run / after, ignore_errors=True)
        (run / before).rename(run / after)

    return damage


def several(*damages: Damage) -> Damage:
    def damage(run: Path) -> None:
        for each in damages:
            each(run)

    return damage


def append(name: str, content: bytes) -> Damage:
    return rewrite(name, lambda before: before + content)


def list_damages(other: Path) -> dict[str, Damage]:
    """By name; `other` is a finished run with another seed."""
    last = "checkpoints/checkpoint-4"
    damages: dict[str, Damage] = {}
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"):
        for kind in (delete, zero, cut, flip):
            damages[f"{kind.__name__} {last}/{name}"] = kind(f"{last}/{name}")
    for name in ("config.json", "tokenizer.json", "training_args.bin", "manifest.json"):
        damages[f"delete {last}/{name}"] = delete(f"{last}/{name}")
        damages[f"cut {last}/{name}"] = cut(f"{last}/{name}")

    def take_from_other(run: Path) -> None:
        shutil.rmtree(run / last)
        shutil.copytree(other / "checkpoints" / "checkpoint-4", run / last)

    def take_later(run: Path) -> None:
        shutil.copytree(other / "checkpoints" / "checkpoint-6", run / "checkpoints" / "checkpoint-6")

    damages |= {
        "a checkpoint of another run": take_from_other,
        "a later checkpoint of another run": take_later,
        "checkpoint-4 called checkpoint-5": rename(last, "checkpoints/checkpoint-5"),
        "checkpoint-2 called checkpoint-4": rename("checkpoints/checkpoint-2", last),
        "delete both checkpoints": delete("checkpoints"),
        "flip both checkpoints": several(flip(f"{last}/optimizer.pt"), flip("checkpoints/checkpoint-2/optimizer.pt")),
        "delete sft": delete("sft"),
        "flip sft": flip("sft/model.safetensors"),
        "delete sft and checkpoints": several(delete("sft"), delete("checkpoints")),
        "flip sft, delete checkpoints": several(flip("sft/model.safetensors"), delete("checkpoints")),
        "delete start.json and checkpoints": several(delete("start.json"), delete("checkpoints")),
        "status.json empty": empty("status.json"),
        "status.json cut": cut("status.json"),
        "status.json deleted": delete("status.json"),
        "status.json says another stage": edit("status.json", "stage", value="final"),
        "status.json says no stage": edit("status.json", "stage", value="lunch"),
        "environment.json empty": empty("environment.json"),
        "environment.json deleted": delete("environment.json"),
        "audit.json empty": empty("audit.json"),
        "plan.json cut": cut("plan.json"),
        "config.json empty": empty("config.json"),
        "config.json deleted": delete("config.json"),
        "config.json cut": cut("config.json"),
        "config.json and identity.json empty": several(empty("config.json"), empty("identity.json")),
        "identity.json empty": empty("identity.json"),
        "identity.json edited": edit("identity.json", "settings", "config", "seed", value=99),
        "metrics.jsonl torn": append("metrics.jsonl", b'{"stage": "train", "st'),
        "metrics.jsonl garbage at the end": append("metrics.jsonl", b"\x00\xff\x00\n"),
        "metrics.jsonl flipped": flip("metrics.jsonl", 0.2),
        "metrics.jsonl deleted": delete("metrics.jsonl"),
        "metrics.jsonl without its first row": rewrite("metrics.jsonl", lambda rows: rows.partition(b"\n")[2]),
        "eval/warmup.jsonl flipped": flip("eval/warmup.jsonl"),
        "eval/step-000003.jsonl deleted": delete("eval/step-000003.jsonl"),
        "completions flipped": flip("completions/step-000001.jsonl"),
        "watch.jsonl garbage": lambda run: (run / "watch.jsonl").write_bytes(b"\x00{"),
        "timings.jsonl torn": append("timings.jsonl", b'{"stage'),
        "leftovers of a kill": lambda run: [
            (run / name).mkdir() for name in ("best.partial", "sft.partial", "best.old")
        ],
        "a stale lock": lambda run: (run / ".lock").write_text("process 1 on nowhere\n"),
    }
    # These of a run that was killed in its warm-up.
    first, newest = "sft-checkpoints/checkpoint-2", "sft-checkpoints/checkpoint-4"
    for kind, name in (
        (flip, "model.safetensors"),
        (cut, "optimizer.pt"),
        (zero, "rng_state.pth"),
        (delete, "sums-0.json"),
    ):
        damages[f"{WARM_UP}{kind.__name__} {newest}/{name}"] = kind(f"{newest}/{name}")
    damages |= {
        f"{WARM_UP}nothing": lambda run: None,
        f"{WARM_UP}delete {newest}/manifest.json": delete(f"{newest}/manifest.json"),
        f"{WARM_UP}checkpoint-2 called checkpoint-4": rename(first, newest),
        f"{WARM_UP}flip both checkpoints": several(flip(f"{newest}/scheduler.pt"), flip(f"{first}/scheduler.pt")),
        f"{WARM_UP}delete the checkpoints": delete("sft-checkpoints"),
        f"{WARM_UP}status.json deleted": delete("status.json"),
        f"{WARM_UP}eval/before.jsonl flipped": flip("eval/before.jsonl"),
        f"{WARM_UP}metrics.jsonl cut": cut("metrics.jsonl"),
        f"{WARM_UP}answers of another evaluation": lambda run: (run / "eval" / "answered.partial").write_bytes(
            b"{}\n\x00"
        ),
    }
    for name, *path, value in (
        ("steps", "grpo", "max_steps", 8), ("rate", "grpo", "learning_rate", 0.5), ("seed", "seed", 7),
        ("group", "grpo", "num_generations", 2), ("rows", "data", "shop", "train_rows", 32),
        ("held-out rows", "data", "shop", "held_out_rows", 6), ("unknown key", "grpo", "no_such_key", 1),
        ("bad value", "grpo", "max_steps", "many"), ("a section that is a list", "grpo", []),
    ):  # fmt: skip
        damages[f"config.json: {name}"] = edit("config.json", "config", *path, value=value)
    return damages


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
    folders = ("best", "sft", *(f"checkpoints/{path.name}" for path in (whole / "checkpoints").iterdir()))
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
    results = {}
    for name, damage in {"nothing": lambda run: None, **list_damages(other)}.items():
        if only and only not in name and name != "nothing":
            continue
        run = folder / "work"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(warming if name.startswith(WARM_UP) else killed, run)
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
