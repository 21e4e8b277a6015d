"""The beginning of a run: its folder, with what it follows from, on a disk that has room for it."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

from grpo.lifecycle.run_directory import RunDirectory
from grpo.lifecycle.run_identity import FILE, make_identity
from rewards.errors import UserError
from rewards.screen.amounts import format_size


def create_directory(
    options: argparse.Namespace, config: Any, profile: str, plan: Any, audit: dict[str, Any], inputs: Any
) -> RunDirectory:
    """The fresh folder of a run; UserError where it cannot be made, or the disk is too small for what the plan foresees."""
    path = options.run_dir or Path("runs") / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    require_room(path, plan.disk_bytes)
    settings = {
        "profile": profile,
        # A file as it is found from any folder; a shipped name means the same everywhere.
        "source": str(Path(options.config).resolve()) if Path(options.config).is_file() else options.config,
        "overrides": options.overrides,
        "config": config.model_dump(mode="json"),
    }
    identity = make_identity(settings, inputs, audit["reward_identities"])
    return RunDirectory.create(
        path, {"config.json": settings, "plan.json": plan.to_json(), "audit.json": audit, FILE: identity}
    )


def require_room(path: Path, wanted: int | None) -> None:
    """UserError where the disk of a folder that need not exist yet has less room than that."""
    place = next((each for each in (path.absolute(), *path.absolute().parents) if each.is_dir()), None)
    if place is None or wanted is None:
        return
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise UserError(
            f"--run-dir {path}: a run takes about {format_size(wanted)} of disk, and {format_size(free)} are free there; "
            "make room, choose another disk, or keep fewer rows with grpo.log_completions_every"
        )
