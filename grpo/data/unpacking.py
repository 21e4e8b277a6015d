"""Compressed files unpacked into memory, up to a bound: a few bytes can hold more than any machine."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from pathlib import Path
from typing import Any

from rewards.errors import UserError

MARKS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
_PIECE = 4 * 1024**2


def name_packing(start: bytes) -> str | None:
    """How a file that begins with these bytes is compressed; None for one that is not."""
    return next((kind for mark, kind in MARKS.items() if start.startswith(mark)), None)


def unpack(path: Path, kind: str, name: str, largest: int) -> bytes:
    """What a compressed file holds; `UserError` where it is damaged, or holds more than `largest` bytes."""
    pieces, size = [], 0
    try:
        with _open(path, kind, name) as file:
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > largest:
                    raise UserError(
                        f"{name}: holds more than {largest / 2**30:.0f} GiB unpacked, and files are read whole; give a part of it"
                    )
                pieces.append(piece)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{name}: cannot be unpacked as {kind} ({said}); is the file whole?") from None
    return b"".join(pieces)


def _open(path: Path, kind: str, name: str) -> Any:
    if kind == "zstd":
        try:
            import pyarrow
        except ImportError:
            raise UserError(
                f"{name}: reading zstd needs pyarrow (pip install -e '.[train]'); or unpack it first: unzstd {name}"
            ) from None
        return pyarrow.input_stream(str(path), compression="zstd")
    if kind == "gzip":
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if kind == "bzip2" else lzma.open(path, "rb")
