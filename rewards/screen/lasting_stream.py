"""A stream that may stop taking text while a long command goes on: a pipe whose reader has left, a log on a full disk."""

from __future__ import annotations

import sys
from typing import TextIO

from rewards.screen.command_line import print_problem, silence_output


class LastingStream:
    """Writes to `stream` for as long as that can be written; then says so once, on standard error, and drops the rest."""

    def __init__(self, stream: TextIO):
        self._stream: TextIO | None = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as fault:
                self._leave(fault)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as fault:
                self._leave(fault)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """OSError where there is no descriptor (any more)."""
        if self._stream is None:
            raise OSError("the stream is gone")
        return self._stream.fileno()

    def _leave(self, fault: Exception) -> None:
        stream, self._stream = self._stream, None
        if stream is sys.stdout:
            silence_output()  # what is left in its buffer is written when Python winds up
        reason = getattr(fault, "strerror", None) or fault
        print_problem(f"warning: nothing can be shown any more ({reason}); the work goes on")
