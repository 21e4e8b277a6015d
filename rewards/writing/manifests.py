"""Folders that say of themselves what they hold: a manifest with the size and hash of each file, written last, checked first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewards.writing.files import read_object, write_whole
from rewards.writing.writable import to_document

MANIFEST = "manifest.json"
_BLOCK = 1 << 22

_hashes: dict[tuple[str, int, int], str] = {}


def write_manifest(folder: Path, **facts: Any) -> None:
    """Note every file of the folder, once all of them are on the disk; `facts` are kept beside."""
    files = {}
    for path in _list_files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(folder).as_posix()] = describe(path)
    write_whole(folder / MANIFEST, to_document({**facts, "files": files}), settle=True)


def find_damage(folder: Path) -> str:
    """What of the folder is not as it was written, in a few words; empty where it is whole."""
    noted = read_object(folder / MANIFEST)
    files = noted.get("files")
    if not isinstance(files, dict):
        if not folder.is_dir():
            return "is missing"
        return f"its {MANIFEST} cannot be read" if (folder / MANIFEST).is_file() else UNFINISHED
    return find_changes(folder, files)


UNFINISHED = "was not finished"
"""Of a folder without a manifest: whoever wrote it was ended before."""


def find_changes(folder: Path, files: Mapping[str, Any]) -> str:
    """The first of these files, by name, that is missing or another now; empty where there is none."""
    for name, wanted in files.items():
        path = folder / name
        if not isinstance(wanted, dict) or Path(name).is_absolute() or ".." in Path(name).parts:
            return f"its {MANIFEST} cannot be read"
        bytes_noted = wanted.get("bytes")
        try:
            size = path.stat().st_size
        except OSError:
            return f"{name} is missing"
        # Of a file that only grows, what came later is not meant.
        if size != bytes_noted and not (wanted.get("grows") and size > int(bytes_noted or 0)):
            return f"{name} has {size:,} bytes, not {bytes_noted:,}" if isinstance(bytes_noted, int) else f"{name}?"
        if hash_file(path, bytes_noted if wanted.get("grows") else None) != wanted.get("sha256"):
            return f"{name} has another content than was written"
    return ""


def describe(path: Path, *, first: int | None = None) -> dict[str, Any]:
    """Size and hash of a file as a manifest notes them; of one that grows, of its `first` bytes."""
    if first is not None:
        return {"bytes": first, "sha256": hash_file(path, first), "grows": True}
    return {"bytes": path.stat().st_size, "sha256": hash_file(path)}


def hash_file(path: Path, first: int | None = None) -> str:
    """SHA-256 of a file or of its first bytes, kept for as long as the file is not touched."""
    state = path.stat()
    key = (str(path.resolve()), state.st_mtime_ns, state.st_size)
    if first is None and key in _hashes:
        return _hashes[key]
    digest, left = hashlib.sha256(), first
    with path.open("rb") as file:
        while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
            digest.update(block)
            left = None if left is None else left - len(block)
    if first is None:
        _hashes[key] = digest.hexdigest()
    return digest.hexdigest()


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
