"""Runs that were killed, as they lie on the disk: in the middle of GRPO, and in the middle of the warm-up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import orjson

from grpo.lifecycle.resume import seal_checkpoint, seal_start
from grpo.lifecycle.run_directory import RunDirectory
from rewards.writing.manifests import write_manifest

CONFIG = SimpleNamespace(
    grpo=SimpleNamespace(max_steps=6, save_every_steps=2),
    evaluation=SimpleNamespace(task_floor_margin=0.0, every_steps=3),
    sft_warmup=SimpleNamespace(enabled=True),
    trains_grpo=True,
)


def write_row(run: Path, **row: object) -> None:
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def write_killed_run(tmp_path: Path) -> RunDirectory:
    """A run that was killed after step 5: checkpoints at 2 and 4, the best evaluation at 3."""
    for folder in ("eval", "completions", "sft", "best"):
        (tmp_path / folder).mkdir()
    estimate = {"eval/mean_reward_n": 8, "eval/mean_reward_low": 0.0, "eval/mean_reward_high": 1.0}
    (tmp_path / "sft" / "model.safetensors").write_bytes(b"weights of the warm-up")
    write_manifest(tmp_path / "sft")
    write_row(tmp_path, stage="warmup", step=0, **{"eval/mean_reward": 0.1, **estimate})
    (tmp_path / "eval" / "warmup.jsonl").write_text("{}\n")
    directory = RunDirectory(tmp_path)
    seal_start(directory)
    for step in range(1, 6):
        if step == 3:
            write_row(tmp_path, stage="train", step=3, **{"eval/mean_reward": 0.3, **estimate})
            (tmp_path / "best" / "model.safetensors").write_bytes(b"best")
            write_manifest(tmp_path / "best")
        write_row(tmp_path, stage="train", step=step, loss=0.1)
        (tmp_path / "completions" / f"step-{step:06d}.jsonl").write_text(f'{{"step": {step}}}\n')
        if step % 2 == 0:
            checkpoint = tmp_path / "checkpoints" / f"checkpoint-{step}"
            checkpoint.mkdir(parents=True)
            for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
                (checkpoint / name).write_bytes(f"{name} {step}".encode() * 100)
            seal_checkpoint(checkpoint, tmp_path)
    directory.reach("grpo")
    return directory


def write_warming_run(tmp_path: Path) -> RunDirectory:
    """A run that was killed in its warm-up: checkpoints at 7 and 14."""
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "before.jsonl").write_text("{}\n")
    write_row(tmp_path, stage="before", step=0, **{"eval/mean_reward": 0.1})
    for step in (7, 14):
        write_row(tmp_path, stage="warmup", step=0, **{"sft/loss": 1.0, "sft/step": step})
        checkpoint = tmp_path / "sft-checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights" * step)
        seal_checkpoint(checkpoint, tmp_path)
    write_row(tmp_path, stage="warmup", step=0, **{"sft/loss": 1.0, "sft/step": 20})
    directory = RunDirectory(tmp_path)
    directory.reach("sft")
    return directory
