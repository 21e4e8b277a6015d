"""The folder of an export: it appears whole or not at all, and every file in it is accounted for."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewards.errors import RecompensaError, UserError
from rewards.screen.amounts import format_size


class NoSpace(RecompensaError):
    """The disk is full; what was written is gone again."""


@contextmanager
def drafting(destination: Path, *, needed: int) -> Iterator[Path]:
    """A folder to write into, which becomes `destination` when the block ends well and is removed when it does not.

    UserError where there is something already, or where `needed` bytes are not free; `NoSpace` where the disk fills up
    on the way. After a kill a hidden folder is left, which the next export removes.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UserError(f"--to {destination}: exists already; choose another folder, or remove it")
    draft = destination.absolute().with_name(f".{destination.absolute().name}.partial")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        free = shutil.disk_usage(draft).free
        if needed > free:
            raise UserError(
                f"--to {destination}: needs about {format_size(needed)}, and {format_size(free)} are free there; choose "
                "another disk, or fewer --format"
            )
        yield draft
        if destination.is_dir():
            destination.rmdir()
        draft.rename(destination)
    except OSError as fault:
        if fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"--to {destination}: the disk is full; nothing was left there, free some space") from None
        if isinstance(fault, PermissionError | FileExistsError | NotADirectoryError):
            raise UserError(
                f"--to {destination}: cannot be written ({fault.strerror}); choose another folder"
            ) from None
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file below the folder with its size and SHA-256, by relative path."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _hash(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
