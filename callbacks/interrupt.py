"""Ctrl-C and SIGTERM: finish the step, save a checkpoint, stop; a second one stops at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

INTERRUPTED = 75
LEAVE_SECONDS = 5.0
"""After a second signal, to the end of the process."""

_asked = False
"""Whether a signal has come inside of `terminable`."""
_over = False
"""Whether all that `terminable` holds is done."""


class Interrupted(Exception):
    """A stop was asked for, and what was reached is on disk."""


class Interruption:
    """Set while the signal handlers are installed; `requested` turns True at the first signal."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}
        self._left = threading.Event()

    def __enter__(self) -> Interruption:
        self.requested = _asked
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            # What is being wound up has a few seconds; then the process ends wherever it is, and is resumable all the same.
            threading.Thread(target=self._leave_late, daemon=True).start()
            raise KeyboardInterrupt
        self.requested = True

    def _leave_late(self) -> None:
        if not self._left.wait(LEAVE_SECONDS):
            os._exit(INTERRUPTED)


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the block as Ctrl-C does: by KeyboardInterrupt. What handles it otherwise by then stays.

    A library that wraps the KeyboardInterrupt into an error of its own, as pydantic does, or drops it, changes nothing: the
    first such error ends the block, or the next `Interruption` has a stop asked of it.
    """
    global _asked, _over

    def handle(number: int, frame: FrameType | None) -> None:
        global _asked
        if _over:
            return
        _asked = True
        raise KeyboardInterrupt

    _asked = _over = False
    taken = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where a shell has it ignored
        taken.append(signal.SIGINT)
    previous = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    except Exception:
        if _asked:
            raise KeyboardInterrupt from None
        raise
    finally:
        _asked = False
        for number, handler in previous.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)


def pass_over_signals() -> None:
    """Ignore signals from here to the end of `terminable`: its work is done and on disk."""
    global _over
    _over = True


def make_callback(interruption: Interruption, *, every: int = 1) -> Any:
    """A transformers callback that ends training after the present step, with a checkpoint, once a stop was asked for.

    Steps are gone through `every` at a time: a stop between them waits for the last of them.
    """
    from transformers import TrainerCallback

    class StopWhenAsked(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if interruption.requested and state.global_step < state.max_steps and state.global_step % every == 0:
                control.should_save = control.should_training_stop = True
            return control

    return StopWhenAsked()
