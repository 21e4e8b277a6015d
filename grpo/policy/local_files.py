"""What this machine already holds of a model: its folder, and small JSON files in it; nothing is downloaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def model_folder(name: str, revision: str | None = None) -> Path | None:
    """The folder of a local model, or of a hub model's cached snapshot; None where this machine has neither."""
    local = Path(name).expanduser()
    if local.is_dir():
        return local
    if looks_local(name) or name.count("/") > 1:
        return None
    repository = _hub_cache() / f"models--{name.replace('/', '--')}"
    reference = revision or "main"
    pointer = repository / "refs" / reference
    try:
        commit = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else reference
    except OSError:
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def looks_local(name: str) -> bool:
    """Whether a model name can only be meant as a folder: it is one, or begins like a path."""
    return name.startswith((".", "/", "~")) or Path(name).is_dir()


def read_model_json(name: str, revision: str | None, file_name: str) -> dict[str, Any] | None:
    """The object in that JSON file of the model, or None where it is not on this machine or holds none."""
    folder = model_folder(name, revision)
    if folder is None:
        return None
    try:
        value = json.loads((folder / file_name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _hub_cache() -> Path:
    # The order of huggingface_hub's own constants.
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(home).expanduser() / "hub"
