"""The folder of a group of runs: which settings and seeds it holds, and how far each run is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from grpo.lifecycle.run_group import FILE, is_group
from rewards.errors import UserError
from rewards.writing.files import read_object, write_json

MOST_RUNS = 256


@dataclass(frozen=True, slots=True)
class GroupRun:
    """One run of a group; `setting` is what a grid changes for it, empty without one."""

    setting: tuple[str, ...]
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return " ".join((*self.setting, f"seed {self.seed}"))

    @property
    def state(self) -> str:
        """`done`, `begun` or `waiting`."""
        status = read_object(self.folder / "status.json")
        return "done" if status.get("finished") and status.get("stage") == "done" else "begun" if status else "waiting"


@dataclass(frozen=True, slots=True)
class RunGroup:
    """All runs of a group, in the order in which they are made."""

    folder: Path
    config: str
    profile: str
    overrides: tuple[str, ...]
    members: tuple[GroupRun, ...]

    @property
    def settings(self) -> list[tuple[str, ...]]:
        return list(dict.fromkeys(member.setting for member in self.members))


def create_group(
    folder: Path, *, config: str, profile: str, overrides: Sequence[str], seeds: Sequence[int], grid: Sequence[str]
) -> RunGroup:
    """The group of a folder, made or found there; `UserError` where the folder holds another one, or something else."""
    settings = list(product(*(read_grid(entry) for entry in grid)))
    if len(settings) * len(seeds) > MOST_RUNS:
        raise UserError(f"--grid: {len(settings)} settings of {len(seeds)} seeds each; at most {MOST_RUNS} runs")
    noted = {
        "config": config,
        "profile": profile,
        "overrides": list(overrides),
        "seeds": list(seeds),
        "settings": [list(setting) for setting in settings],
    }
    if is_group(folder):
        if read_object(folder / FILE) != noted:
            raise UserError(
                f"--run-dir {folder}: holds another group; continue it with --resume, or choose another name"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UserError(f"--run-dir {folder}: exists already and is not a group of runs; choose another name")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, noted)
    return open_group(folder)


def open_group(folder: Path) -> RunGroup:
    """The group of a folder; `UserError` where it holds none that can be read."""
    noted = read_object(folder / FILE)
    try:
        members = tuple(
            GroupRun(tuple(setting), int(seed), _place(folder, setting, seed))
            for setting in noted["settings"]
            for seed in noted["seeds"]
        )
        return RunGroup(folder, noted["config"], noted["profile"], tuple(noted["overrides"]), members)
    except (KeyError, TypeError, ValueError) as fault:
        raise UserError(f"{folder / FILE}: not a group of runs ({type(fault).__name__}: {fault})") from None


def read_grid(text: str) -> list[str]:
    """`key=a,b,c` as the overrides `key=a`, `key=b`, `key=c`."""
    key, equals, values = text.partition("=")
    found = [value.strip() for value in values.split(",") if value.strip()]
    if not equals or not key.strip() or len(found) < 2 or len(set(found)) < len(found):
        raise UserError(f"--grid {text}: write a key and two or more different values: grpo.learning_rate=1e-6,5e-6")
    return [f"{key.strip()}={value}" for value in found]


def choose_seeds(options: argparse.Namespace, configured: int) -> list[int]:
    """The seeds asked for: those that are named, else so many upwards from the config's own."""
    if isinstance(options.seeds, list):
        return options.seeds
    return [configured + number for number in range(options.seeds or 1)]


def _place(folder: Path, setting: Sequence[str], seed: int) -> Path:
    name = "_".join("".join(c if c.isalnum() or c in "=.-+" else "-" for c in part) for part in setting)
    return (folder / name if name else folder) / f"seed-{seed}"
