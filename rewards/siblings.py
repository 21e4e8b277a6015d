"""The four packages of this distribution find each other by place, whatever lies in the folder a command is started from.

`rewards`, `callbacks` and `grpo` are names that people give their own files. With `python -m` the working folder stands
first on Python's path, so a user's `rewards.py` there would hide ours. Nothing but the standard library is imported here:
the other packages run this file before they can import anything of `rewards`.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

PACKAGES = ("grpo", "rewards", "callbacks", "sft_warmup")
ROOT = str(Path(__file__).resolve().parents[1])


class SiblingFinder:
    """Finds the packages in `root`, and nothing else, before Python's path is searched."""

    def __init__(self, root: str):
        self.root = root

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self.root], target) if path is None and name in PACKAGES else None


def claim() -> None:
    """From now on the four names mean the packages beside this one; ImportError where one is in use for something else."""
    taken = [f"'{name}' is {where}" for name in PACKAGES if (where := _find_stranger(name))]
    if taken:
        raise ImportError(
            f"{' and '.join(taken)}, imported before recompensa, whose package of that name is in {ROOT}; "
            "rename that file, or import recompensa's packages first"
        )
    if not any(getattr(finder, "root", None) == ROOT for finder in sys.meta_path):
        sys.meta_path.insert(0, SiblingFinder(ROOT))


def command_words(command: str, *arguments: str) -> list[str]:
    """The words that start a command in a process of its own, from any folder: `command_words("run", "--config", ...)`."""
    # -P: the working folder is not searched for modules.
    return [sys.executable, "-P", str(Path(ROOT, "grpo", "__main__.py")), command, *arguments]


def _find_stranger(name: str) -> str:
    """Where a module of this name comes from that is none of ours; empty where there is none."""
    module = sys.modules.get(name)
    if module is None:
        return ""
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    if file is None or Path(file).resolve().is_relative_to(Path(ROOT, name)):
        return ""
    return str(file)
