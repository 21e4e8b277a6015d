"""The folder of a group of runs, told apart from that of a run by those that read one run."""

from __future__ import annotations

from pathlib import Path

_FILE = "group.json"
_SHOWN = 3


def hint_group(folder: Path) -> str:
    """What to give in place of a group's folder, as the end of a line; empty for any other folder."""
    if not (folder / _FILE).is_file():
        return ""
    runs = sorted(path.parent for path in (*folder.glob("seed-*/config.json"), *folder.glob("*/seed-*/config.json")))
    named = ", ".join(str(path) for path in runs[:_SHOWN]) or "none has been started"
    return f"; it is a group of runs: give one of them ({named}{', ...' if len(runs) > _SHOWN else ''})"
