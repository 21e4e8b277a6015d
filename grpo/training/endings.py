"""How a stage may end before its last step."""

from __future__ import annotations

from callbacks.watch import watch


class Stopped(Exception):
    """A watch rule ended the run, and what was reached is on disk."""

    def __init__(self, event: watch.Event):
        self.event = event
        super().__init__(event.text)
