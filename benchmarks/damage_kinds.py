"""The damages that benchmarks/damages.py does to a run, by name: files cut, zeroed, flipped, edited, gone, or something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

WARM_UP, DECISION = "warm-up: ", "decision: "
"""Of a run that was killed in its warm-up, or in its decision; the others of one killed in GRPO."""

Damage = Callable[[Path], None]


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


def as_folder(name: str) -> Damage:
    return several(delete(name), lambda run: (run / name).mkdir())


def as_pipe(name: str) -> Damage:
    return several(delete(name), lambda run: os.mkfifo(run / name))


def as_link_out(name: str) -> Damage:
    return several(delete(name), lambda run: (run / name).symlink_to("/dev/zero"))


def as_list(name: str) -> Damage:
    return rewrite(name, lambda _: b"[1, null]\n")


def as_file(name: str) -> Damage:
    return several(delete(name), lambda run: (run / name).write_bytes(b"x"))


FILES = (
    "status.json", "environment.json", "audit.json", "plan.json", "config.json", "identity.json", "start.json", "metrics.jsonl",
    "timings.jsonl", "eval/warmup.jsonl", "completions/step-000001.jsonl", "best/manifest.json", "best/model.safetensors",
    "best/policy.json", "sft/manifest.json", "sft/model.safetensors", ".lock", "checkpoints/checkpoint-4/manifest.json",
    "checkpoints/checkpoint-4/rng_state.pth",
)  # fmt: skip
FOLDERS = ("best", "sft", "eval", "completions", "checkpoints", "checkpoints/checkpoint-4")


def list_odd() -> dict[str, Damage]:
    """Each file of a run as something else, of one that was killed in GRPO and of one killed in its decision."""
    kinds = (as_folder, as_pipe, as_link_out, as_list, empty)
    found = {f"{kind.__name__} {name}": kind(name) for name in FILES for kind in kinds}
    found |= {f"{kind.__name__} {name}": kind(name) for name in FOLDERS for kind in (as_file, as_pipe)}
    for name in (
        "decision.json",
        "metrics.jsonl",
        "eval/final.jsonl",
        "status.json",
        "best/model.safetensors",
        "environment.json",
    ):
        for kind in (delete, empty, cut, flip, as_list, as_pipe):
            found[f"{DECISION}{kind.__name__} {name}"] = kind(name)
    found[f"{DECISION}nothing"] = lambda run: None
    found[f"{DECISION}report.html as_folder"] = lambda run: (run / "report.html").mkdir(exist_ok=True)
    return found


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
