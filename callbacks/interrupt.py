"""Ctrl-C and SIGTERM: finish the step, save a checkpoint, stop; a second Ctrl-C stops at once."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interruption:
    """Set while the signal handlers are installed; `requested` turns True at the first signal."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


def make_callback(interruption: Interruption) -> Any:
    """A transformers callback that ends training after the present step, with a checkpoint, once a stop was asked for."""
    from transformers import TrainerCallback

    class StopWhenAsked(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            if interruption.requested and state.global_step < state.max_steps:
                control.should_save = True
                control.should_training_stop = True
            return control

    return StopWhenAsked()
