"""The console of every command: what is printed on it may be foreign, and none of it steers the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

from rewards.screen.harmless_text import hide_controls

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 160


def make_console(stream: TextIO | None = None, **settings: Any) -> Console:
    """A console on a stream, by default standard output; a pipe gets whole lines, whatever width a terminal has."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.segment import Segment
    from rich.table import Table

    class HarmlessConsole(Console):
        """Control characters that stand in a text are shown as marks; only rich itself moves the cursor and sets colours."""

        def render(self, renderable: Any, options: Any = None) -> Any:
            for segment in super().render(renderable, options):
                if segment.control or segment.text.isprintable() or segment.text == "\n":
                    yield segment
                else:
                    yield Segment(hide_controls(segment.text), segment.style)

        def print(self, *objects: Any, **options: Any) -> None:
            """As rich prints, but a table whose words do not fit is printed whole, however wide: `0.0…` is no number."""
            usual = self.width
            if len(objects) == 1 and isinstance(objects[0], Table):
                needed = Measurement.get(self, self.options.update(width=_PIPE_WIDTH), objects[0])
                if needed.minimum > usual:
                    self.width, options = needed.maximum, {**options, "crop": False}
            try:
                super().print(*objects, **options)
            finally:
                self.width = usual

    stream = sys.stdout if stream is None else stream
    if not stream.isatty():
        settings.setdefault("width", _PIPE_WIDTH)
    settings.setdefault("highlight", False)
    return HarmlessConsole(file=stream, **settings)
