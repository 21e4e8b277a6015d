"""Files that appear whole or not at all, and JSON objects that may not be there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from rewards.writing.writable import to_document


@contextmanager
def replacing(path: Path, *, settle: bool = False) -> Iterator[BinaryIO]:
    """A file to write into, which takes the place of `path` when the block ends well; a killed process leaves the old one.

    With `settle` the bytes are on the disk before they do. Raises OSError where the folder cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            yield file
            if settle:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, *, settle: bool = False) -> None:
    """The bytes as a file; whoever reads it meanwhile, or after a kill, finds the old one or the new one."""
    with replacing(path, settle=settle) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """A JSON document for people and programs: indented, with a line end, keys in the order they have."""
    write_whole(path, to_document(value))


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file, no JSON, or no object in it."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def is_alive(process: int) -> bool:
    """Whether a process of this number is there: drafts and folders in use carry that of the one that makes them."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True
