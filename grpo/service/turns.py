"""Whose turn it is: huey's SQLite queue with its worker threads, and delays that no setting of the clock makes longer or shorter."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rewards.errors import UserError

_LOOK_EVERY = 0.25


class Turns:
    """Calls `carry` with the names that are offered, in a worker thread each, more urgent ones first.

    What waits here is forgotten when the process ends: whoever offers it knows what is to be offered again.
    """

    def __init__(self, path: Path, carry: Callable[[str], None]):
        self._huey = _open(path)
        self._carry = self._huey.task(name="carry")(carry)
        self._consumer: Any = None
        self._stopping = threading.Event()
        self._waiter = threading.Thread(target=self._wait, name="turns", daemon=True)
        self._lock = threading.Lock()
        self._due: dict[str, tuple[float, float]] = {}

    def start(self, workers: int) -> None:
        self._consumer = _make_consumer(self._huey, workers)
        self._consumer.start()
        self._waiter.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop(graceful=True)
            self._waiter.join(5)
        self._huey.storage.close()

    def clear(self) -> None:
        """Forget what an earlier process left in the file."""
        self._huey.storage.flush_queue()
        self._huey.storage.flush_schedule()

    def offer(self, name: str, priority: float, seconds: float = 0.0) -> None:
        """Its turn comes once a worker is free, in so many seconds at the earliest; the last offer of a name counts."""
        # huey's own delays go by the time of day: set back by an hour, they would take an hour more.
        promise = (time.monotonic() + seconds, priority)
        with self._lock:
            self._due[name] = promise
        if seconds <= 0:
            self._hand_over(name, promise)

    def is_early(self, name: str) -> bool:
        """Whether the time for which it was offered last is still to come."""
        with self._lock:
            return name in self._due

    def _wait(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            with self._lock:
                now = time.monotonic()
                ready = [(name, promise) for name, promise in self._due.items() if promise[0] <= now]
            for name, promise in ready:
                self._hand_over(name, promise)

    def _hand_over(self, name: str, promise: tuple[float, float]) -> None:
        """To the workers, unless it has been offered anew since: then that offer's time is the one to wait for."""
        with self._lock:
            if self._due.get(name) is not promise:
                return
            del self._due[name]
        try:
            self._carry(name, priority=promise[1])
        except sqlite3.Error:
            # A full disk: it is handed over when there is room.
            with self._lock:
                self._due.setdefault(name, promise)


def _open(path: Path) -> Any:
    """The queue in a file; a damaged one is made anew, because it holds nothing that is not known elsewhere."""
    from huey import SqliteHuey

    for fresh in (False, True):
        try:
            if fresh:
                for end in ("", "-wal", "-shm"):
                    path.with_name(path.name + end).unlink(missing_ok=True)
            huey = SqliteHuey("runs", filename=str(path), results=False)
            huey.storage.queue_size()
            huey.storage.schedule_size()
            return huey
        except (sqlite3.Error, OSError) as error:
            fault = error
    raise UserError(f"{path}: cannot be opened ({fault}); remove it: the queue is filled again from the runs")


def _make_consumer(huey: Any, workers: int) -> Any:
    import logging

    from huey.consumer import Consumer

    class QuietConsumer(Consumer):
        """One that leaves the signals to the service it is part of."""

        def _set_signal_handlers(self) -> None:
            pass

    logging.getLogger("huey").setLevel(logging.ERROR)
    return QuietConsumer(
        huey, workers=workers, worker_type="thread", initial_delay=0.1, max_delay=1.0, periodic=False,
        check_worker_health=False, shutdown_timeout=5.0,
    )  # fmt: skip
