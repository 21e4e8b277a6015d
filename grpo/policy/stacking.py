"""An adapter merged into its base, kept as a model of its own below which a new adapter is stacked."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from grpo.config.sections import ModelSection
from grpo.policy.adapters import WEIGHTS, Adapter
from grpo.policy.local_files import model_folder
from rewards.errors import UserError


def merged_folder(adapter: Adapter, section: ModelSection, cache: Path) -> Path:
    """Where the merged model of this adapter stands: a name that follows from its weights, its base and its type."""
    folder = model_folder(adapter.name, adapter.own_revision)
    digest = hashlib.sha256(f"{adapter.base}\x00{adapter.revision}\x00{section.dtype}".encode())
    for name in WEIGHTS:
        if folder is not None and (folder / name).is_file():
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return cache / f"merged-{digest.hexdigest()[:16]}"


def save_merged(model: Any, tokenizer: Any, folder: Path) -> None:
    """Merge the adapter of `model` into its base and keep both as a model; nothing where it is kept already."""
    if (folder / "config.json").is_file():
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        merged = model.merge_and_unload(safe_merge=True)
        merged.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
    except OSError as fault:
        raise UserError(
            f"model.adapter: the merged model cannot be kept in {folder} ({fault.strerror}); set RECOMPENSA_CACHE to a "
            "folder with room"
        ) from None
    except ValueError as fault:  # safe_merge finds weights that are not numbers
        raise UserError(f"model.adapter: it cannot be merged ({str(fault)[:150]}); give another checkpoint") from None
