"""One thread per tracker, so that a slow or dead service costs the training nothing but a full queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson

from callbacks.tracking.messages import Message
from rewards.writing.files import write_whole

QUEUE_LENGTH = 2000
CLOSE_SECONDS = 60.0


class Backend(Protocol):
    """A place numbers are sent to besides the run directory. The first exception it raises is its last call but `close`."""

    name: str
    delivered: int | None
    """How many messages of the run the place is known to have; None where it cannot be asked."""

    def log(self, row: Mapping[str, float], stage: str, step: int) -> None:
        """Metrics of one step."""

    def log_completions(self, path: Path, stage: str, step: int) -> None:
        """A file of stored completions, as it lies in the run directory."""

    def alert(self, title: str, text: str, level: str, stage: str, step: int) -> None:
        """Something a person should look at; `level` is `warn` or `stop`."""

    def log_files(self, paths: list[Path], name: str) -> None:
        """Files to be kept with the run under one name."""

    def close(self) -> None:
        """Send what is left and end."""


class QueuedBackend:
    """A backend behind a queue: calls return at once and never raise; `fault` is the reason why it was given up.

    `earlier` are the messages of the processes that this one continues from, by their numbers. Those that were not delivered
    come first, and a numbered one that was is dropped; how many were says the backend, else the file `cursor`.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        cursor: Path | None = None,
        earlier: Sequence[Message] = (),
        length: int = QUEUE_LENGTH,
        close_seconds: float = CLOSE_SECONDS,
    ):
        self.name = backend.name
        self.fault: str | None = None
        self._backend = backend
        self._close_seconds = close_seconds
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(length)
        self._closed = False
        self._cursor = cursor
        self._earlier = earlier
        self._delivered = _read_cursor(cursor) if backend.delivered is None else backend.delivered
        self._thread = threading.Thread(target=self._work, name=f"tracking-{backend.name}", daemon=True)
        self._thread.start()

    def send(self, method: str, *arguments: Any, number: int | None = None) -> None:
        """Call a method of the backend, in order, when its turn comes; nothing once it failed or was closed."""
        if self.fault is not None or self._closed or (number is not None and number < self._delivered):
            return
        try:
            self._queue.put_nowait(lambda: self._deliver(number, method, arguments))
        except queue.Full:
            self.fault = f"it is {self._queue.maxsize} messages behind"

    def close(self) -> None:
        """Wait until everything was sent, at most `close_seconds`; afterwards `fault` says whether it was."""
        if self._closed:
            return
        self._closed = True
        if self.fault is None:
            # A full queue is given the same time to make room as an empty one to be sent.
            try:
                self._queue.put(None, timeout=self._close_seconds)
            except queue.Full:
                self.fault = f"it is {self._queue.maxsize} messages behind"
        self._thread.join(self._close_seconds if self.fault is None else min(5.0, self._close_seconds))
        if self._thread.is_alive() and self.fault is None:
            self.fault = f"it did not end within {self._close_seconds:.0f} seconds"

    def _work(self) -> None:
        for number, (method, arguments) in enumerate(self._earlier):
            if number >= self._delivered and self.fault is None:
                self._attempt(partial(self._deliver, number, method, arguments))
        while self.fault is None:
            try:
                action = self._queue.get(timeout=0.5)
            except queue.Empty:
                continue
            if action is None:
                break
            self._attempt(action)
        self._attempt(self._backend.close)

    def _deliver(self, number: int | None, method: str, arguments: Sequence[Any]) -> None:
        getattr(self._backend, method)(*arguments)
        if self._cursor is not None and number is not None:
            write_whole(self._cursor, orjson.dumps(number + 1))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a tracker that fails must not end a run that has cost hours
            self.fault = self.fault or describe_fault(error)


def _read_cursor(cursor: Path | None) -> int:
    try:
        return int(orjson.loads(cursor.read_bytes())) if cursor is not None else 0
    except (OSError, ValueError, TypeError):
        return 0


def describe_fault(error: BaseException) -> str:
    """The first line of an exception, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
