"""Altered copies of databases as files of this process, made when they are first asked for and deleted with it."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from rewards import limits
from rewards.sql.altered import open_altered
from rewards.sql.bordered import Border, open_bordered
from rewards.sql.database import open_readonly, quote_name, version_of
from rewards.sql.filled import open_filled
from rewards.sql.planted import Planting, open_planted
from rewards.writing.files import is_alive

_PREFIX = "recompensa-sql-"
_OWNED = re.compile(rf"{_PREFIX}(\d+)-\w+\Z")

_lock = threading.Lock()
_files: OrderedDict[tuple, Path] = OrderedDict()
_filled: dict[tuple, str | None] = {}
_bytes = 0
_made = 0
_folder: Path | None = None


Copy = int | Planting | Border
"""A numbered copy, one with literals planted in it, or one altered at the literals of two statements."""


def find_copy(path: str, stamp: tuple, altered: Copy) -> str:
    """The file of a copy of the database at `path`, of which `stamp` tells the version.

    Raises OSError or sqlite3.Error where the database cannot be read or the copy not be written.
    """
    global _bytes, _made
    key = (path, stamp, altered)
    with _lock:
        if key in _files:
            _files.move_to_end(key)
            return str(_files[key])
        made = _open_copy(path, altered)
        try:
            content = made.serialize()
        finally:
            made.close()
        _made += 1
        file = _open_folder() / f"{_made}.db"
        file.write_bytes(content)
        _files[key] = file
        _bytes += len(content)
        while len(_files) > 1 and _bytes > limits.SQL_COPIES_BYTES:
            _, oldest = _files.popitem(last=False)
            _bytes -= oldest.stat().st_size
            # Whoever has it open reads on.
            oldest.unlink(missing_ok=True)
        return str(file)


def fill_if_empty(path: str, tables: Iterable[str]) -> str | None:
    """The file of a copy of the database at `path` whose empty tables are filled; None unless all of `tables` are empty.

    It stays where it is as long as this process runs.
    """
    global _made
    key = path, *version_of(path), frozenset(tables)
    with _lock, suppress(OSError, sqlite3.Error):
        if key not in _filled:
            _filled[key] = None
            with closing(open_readonly(path)) as connection:
                asked = [f"SELECT EXISTS (SELECT 1 FROM {quote_name(table)})" for table in key[-1]]
                empty = not any(connection.execute(each).fetchone()[0] for each in asked)
            if empty and asked:
                _made += 1
                file = _open_folder() / f"filled-{_made}.db"
                with closing(open_filled(path)) as made:
                    file.write_bytes(made.serialize())
                _filled[key] = str(file)
        return _filled[key]
    return None


def _open_copy(path: str, altered: Copy) -> sqlite3.Connection:
    if isinstance(altered, Planting):
        return open_planted(path, altered)
    return open_bordered(path, altered) if isinstance(altered, Border) else open_altered(path, altered)


def _open_folder() -> Path:
    global _folder
    if _folder is None:
        _sweep(Path(tempfile.gettempdir()))
        _folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        atexit.register(_delete, _folder, os.getpid())
    return _folder


def _delete(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a fork of it
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Delete the folders of this user's processes that were killed."""
    for path in root.glob(f"{_PREFIX}*"):
        owner = _OWNED.match(path.name)
        with suppress(OSError):
            if owner and path.stat().st_uid == os.getuid() and not is_alive(int(owner[1])):
                shutil.rmtree(path, ignore_errors=True)


def _forget() -> None:
    """In a forked process, which makes its own."""
    global _folder, _bytes, _lock
    _lock = threading.Lock()
    _files.clear()
    _filled.clear()
    _bytes, _folder = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
