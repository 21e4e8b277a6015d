"""What the files of a journal hold, by size and hash: noted after each time they grew, held against them when they are read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.writing.files import read_object, write_whole
from rewards.writing.writable import to_document

FILE = "journal.json"
_BLOCK = 1 << 20


class JournalContents:
    """Sizes and hashes of files that only grow, in a file of their own; what they hold beyond that was never finished."""

    def __init__(self, folder: Path, names: Iterable[str]):
        self._folder = folder
        self._sizes = dict.fromkeys(names, 0)
        self._hashes = {name: hashlib.sha256() for name in self._sizes}

    def add(self, name: str, lines: Iterable[bytes]) -> None:
        """What a file has grown by, once it is on the disk."""
        for line in lines:
            self._sizes[name] += len(line)
            self._hashes[name].update(line)

    def empty(self, name: str) -> None:
        """The file is about to go."""
        self._sizes[name], self._hashes[name] = 0, hashlib.sha256()

    def hash_of(self, name: str) -> str:
        return self._hashes[name].hexdigest()

    def note(self) -> None:
        """Write down what there is; only from then on it counts."""
        noted = {name: {"bytes": size, "sha256": self.hash_of(name)} for name, size in self._sizes.items()}
        write_whole(self._folder / FILE, to_document(noted), settle=True)

    def drop(self) -> None:
        """The evaluation is finished."""
        (self._folder / FILE).unlink(missing_ok=True)

    def recall(self) -> None:
        """Cut the files to what was noted of them."""
        noted = read_object(self._folder / FILE)
        for name in self._sizes:
            path = self._folder / name
            if not path.exists():
                continue
            size = _read_size(noted.get(name))
            if size is None and path.stat().st_size:
                raise UserError(
                    f"--resume: {self._folder / FILE}: is missing or damaged, so that nobody knows whether {name} is as it was "
                    "written; start again with another --out"
                )
            if path.stat().st_size > (size or 0):
                with path.open("r+b") as file:
                    file.truncate(size or 0)

    def check(self) -> None:
        """Read the files; UserError where one holds another content than was noted."""
        noted = read_object(self._folder / FILE)
        for name in self._sizes:
            self.measure(name)
            if noted and self.hash_of(name) != (noted.get(name) or {}).get("sha256"):
                raise UserError(
                    f"--resume: {self._folder / name}: its content has changed since it was written; start again with another --out"
                )

    def measure(self, name: str) -> None:
        """Take the file as it is."""
        self.empty(name)
        path = self._folder / name
        if path.exists():
            with path.open("rb") as file:
                self.add(name, iter(lambda: file.read(_BLOCK), b""))


def _read_size(noted: Any) -> int | None:
    size = noted.get("bytes") if isinstance(noted, dict) else None
    return size if isinstance(size, int) and size >= 0 else None
