"""The process of a run: started in a session of its own so that it outlives the service, found again by a lock it holds.

A file lock passes to a process with its descriptor and is let go when the last one that has it ends, however it ends: whether a
run lives does not hang on a process number, which is given out again. Its exit code is written down by a shell that stays
around it, for a service that was not there when it ended.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The run alone is sent signals; the shell notes how it ended. The numbers of both are written at once, so that a service that
# was killed while it started a run can still stop it.
_AROUND = """
trap : TERM INT HUP
here=$1; shift
"$@" &
child=$!
echo "$child $$" > "$here/pid.draft" && mv "$here/pid.draft" "$here/pid"
wait $child
code=$?
while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
echo $code > "$here/exit.draft" && mv "$here/exit.draft" "$here/exit"
"""
_SECONDS_TO_LOCK = 5.0


class RunProcess:
    """The process of one run by the folder of its lock, log, number and exit code."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What the run says, standard output and error together, of all its starts."""
        return self.folder / "log"

    def start(self, words: Sequence[str], environment: Mapping[str, str], directory: Path) -> bool:
        """Start the command there; False where one is alive already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not self._lock(lock):
                return False
            for name in ("pid", "exit", "asked"):
                (self.folder / name).unlink(missing_ok=True)
            with self.log.open("ab") as log:
                self._child = subprocess.Popen(
                    ["/bin/sh", "-c", _AROUND, "run", str(self.folder), *words],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=directory, env=dict(environment),
                    start_new_session=True, pass_fds=(lock,),
                )  # fmt: skip
            return True
        finally:
            os.close(lock)

    def _lock(self, lock: int) -> bool:
        """Take the lock, which whoever looks whether the run lives holds for a moment."""
        deadline = time.monotonic() + _SECONDS_TO_LOCK
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def clear(self) -> None:
        """End what an ended start left behind, and forget how it ended."""
        if self.read_exit() is not None:
            self._send_all(signal.SIGKILL)
            (self.folder / "exit").unlink(missing_ok=True)

    def is_alive(self) -> bool:
        """Whether the run goes on."""
        if self._child is not None:
            self._child.poll()  # else an ended child of ours stays in the table of processes
        if self.read_exit() is not None:
            return False
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR)
        except OSError:
            return False
        try:
            return not _take(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def read_exit(self) -> int | None:
        """The exit code of the last start; None where it was killed with its shell, or has not ended."""
        try:
            return int((self.folder / "exit").read_text())
        except (OSError, ValueError):
            return None

    def ask_to_stop(self) -> bool:
        """SIGTERM to the run: it finishes its step, saves a checkpoint and ends. False where there is nobody to get it.

        Once for each start, however often it is asked: a second signal would end the run without its checkpoint.
        """
        asked = self.folder / "asked"
        if not self.is_alive():
            return False
        if asked.exists():
            return True
        if not self._send(signal.SIGTERM):
            return False
        with suppress(OSError):
            asked.touch()
        return True

    def kill(self) -> bool:
        """SIGKILL to the run and all it started; the shell around it, the last of them, notes nothing then."""
        return self.is_alive() and self._send_all(signal.SIGKILL)

    def _send(self, number: int) -> bool:
        with suppress(OSError, ValueError, IndexError):
            os.kill(int((self.folder / "pid").read_text().split()[0]), number)
            return True
        return False

    def _send_all(self, number: int) -> bool:
        with suppress(OSError, ValueError, IndexError):
            os.killpg(int((self.folder / "pid").read_text().split()[1]), number)
            return True
        return False

    def last_lines(self, most: int = 40, *, limit: int = 64_000) -> list[str]:
        """The end of the log."""
        return read_end(self.log, limit)[-most:]

    def note(self, line: str) -> None:
        """A line of the service's own in the log, where there is room for it."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as log:
                log.write(f"service: {line}\n".encode())


def read_end(path: Path, limit: int) -> list[str]:
    """The whole lines among the last `limit` bytes of a text file; none where there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    # A bar that is drawn over itself is one line: its last state.
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    if size > limit:
        lines = lines[1:]
    return lines[:-1] if lines and not lines[-1] else lines


def _take(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
