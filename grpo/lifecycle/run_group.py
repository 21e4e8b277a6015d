"""The folder of a group of runs, told apart from that of a run."""

from __future__ import annotations

from pathlib import Path

FILE = "group.json"
_SHOWN = 3


def is_group(folder: Path) -> bool:
    """Whether a folder is that of a group."""
    return (folder / FILE).is_file()


def hint_group(folder: Path) -> str:
    """What to give in place of a group's folder, as the end of a line; empty for any other folder."""
    if not is_group(folder):
        return ""
    runs = sorted(path.parent for path in (*folder.glob("seed-*/config.json"), *folder.glob("*/seed-*/config.json")))
    named = ", ".join(str(path) for path in runs[:_SHOWN]) or "none has been started"
    return f"; it is a group of runs: give one of them ({named}{', ...' if len(runs) > _SHOWN else ''})"
