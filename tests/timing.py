"""Stopwatches for tests that promise a time, whatever else this process holds and this machine does."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Spent:
    """What a stopwatch showed at its end: seconds."""

    seconds: float = 0.0


@contextmanager
def stopwatch(clock: Callable[[], float] = time.thread_time) -> Iterator[Spent]:
    """Time of a block in seconds: this thread's processor time, or what another clock says.

    The garbage collector pauses meanwhile: walking through what thousands of tests before left in the process costs a
    second or more, and is not the block's.
    """
    spent = Spent()
    gc.disable()
    started = clock()
    try:
        yield spent
    finally:
        spent.seconds = clock() - started
        gc.enable()


@contextmanager
def at_most(seconds: float, clock: Callable[[], float] = time.thread_time) -> Iterator[None]:
    """Fail if the block takes longer; wall time (`time.perf_counter`) where it waits or works in other processes."""
    with stopwatch(clock) as spent:
        yield
    assert spent.seconds < seconds, f"took {spent.seconds:.2f} s, {seconds} s allowed"
