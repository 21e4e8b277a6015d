"""One process writes in a run's folder: the second is told who the first is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rewards.errors import UserError

FILE = ".lock"


@contextmanager
def locked(run: Path, *, wanted: bool = True) -> Iterator[None]:
    """Inside, nobody else writes here; UserError where another process does. The system unlocks it however this one ends.

    Nothing where the file system has no locks, and nothing for a process that writes no file (`wanted` is false).
    """
    try:
        import fcntl
    except ImportError:  # not on every system
        wanted = False
    if not wanted:
        yield
        return
    try:
        descriptor = os.open(run / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as fault:
        raise UserError(
            f"{run}: cannot be written ({fault.strerror}); give it room or permission, then resume"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            said = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            raise UserError(
                f"{run}: another process is writing there ({said or 'it does not say which'}); wait for its end, or stop it"
            ) from None
        except OSError:
            pass
        else:
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
