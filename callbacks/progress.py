"""What one sees of a run while it goes on: a bar a stage with the time left, a table per task after each evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

from callbacks.evaluation.endings import TaskEndings
from rewards.screen.amounts import format_seconds
from rewards.screen.command_line import show_commands
from rewards.screen.harmless_text import hide_controls
from rewards.screen.lasting_stream import LastingStream
from rewards.statistics.estimates import ALL, Estimate, unpaired_difference
from rewards.writing.secrets import hide_known


class Progress:
    """Shows stages and evaluations on a stream.

    A terminal gets bars and a table; anything else (a file, a pipe, CI) plain lines without control codes, at most one
    every `line_seconds` a stage. `quiet` shows warnings and what is said with `always` only. Nothing shown here is
    needed to understand the run afterwards: the run directory has it all. A stream that takes no more text ends nothing.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        line_seconds: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.quiet = quiet
        self._stream = cast(TextIO, LastingStream(stream if stream is not None else sys.stdout))
        self._line_seconds = line_seconds
        self._clock = clock
        self._bars: Any = None
        self._console: Any = None
        if self._stream.isatty() and not quiet:
            from rewards.screen.terminal import make_console

            self._console = make_console(self._stream)

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "steps", done: int = 0) -> Iterator[Stage]:
        """A stage of `total` units, `done` of them before this run began (resume); stages may be nested."""
        stage = Stage(self, name, total, unit, done)
        stage.open()
        try:
            yield stage
        except BaseException:
            stage.close(finished=False)
            raise
        stage.close(finished=True)

    def say(self, line: str, *, always: bool = False) -> None:
        """Show one line; with `always` also when quiet (warnings, where everything was written)."""
        if self.quiet and not always:
            return
        # A warning may quote what a policy wrote, or a service that failed: no control code of the one and no key of the
        # other reaches a terminal or a log.
        line = hide_controls(hide_known(show_commands(line)))
        if self._console is not None:
            self._console.print(line, markup=False, soft_wrap=True)
            return
        encoding = self._stream.encoding
        print(line.encode(encoding, "replace").decode(encoding), file=self._stream, flush=True)

    def warn(self, line: str) -> None:
        """Show a warning, also when quiet."""
        self.say(f"warning: {line}", always=True)

    def show_evaluation(
        self,
        title: str,
        estimates: Mapping[str, Estimate],
        previous: Mapping[str, Estimate] | None = None,
        baseline: Mapping[str, Estimate] | None = None,
        note: str = "",
        *,
        since_previous: Mapping[str, Estimate] | None = None,
        since_baseline: Mapping[str, Estimate] | None = None,
        functions: Mapping[str, Estimate] | None = None,
        endings: Mapping[str, TaskEndings] | None = None,
    ) -> None:
        """Show mean, interval and n for all and for each task, with the change to the previous evaluation and to the
        baseline (the warm-up) and its interval; an arrow stands only where that leaves out 0.

        `since_...` are the changes paired by example, as the decision has them; without them both ends count as
        independent. `functions` are means of single reward functions, below the tasks and without changes. Of `endings` the
        shares that were cut off have a column, where any was.
        """
        if self.quiet:
            return
        heads = ["task", "mean", "95 % interval", "n"]
        cut_off = endings if endings and any(each.truncated for each in endings.values()) else None
        if cut_off:
            heads.append("cut off")
        if previous is not None:
            heads.append("vs previous")
        if baseline is not None:
            heads.append("vs warm-up")
        rows = []
        if len(estimates) == 2 and len({(each.mean, each.n) for each in estimates.values()}) == 1:
            # One task is all there is.
            estimates = {name: each for name, each in estimates.items() if name != ALL}
        for name, estimate in estimates.items():
            cells = _describe(name, estimate)
            if cut_off:
                cells.append(cut_off[name].describe() if name in cut_off else "-")
            cells += [
                format_change(other.get(name), estimate, (paired or {}).get(name))
                for other, paired in ((previous, since_previous), (baseline, since_baseline))
                if other is not None
            ]
            rows.append(cells)
        for name, estimate in (functions or {}).items():
            cells = _describe(f"  {name}", estimate)
            rows.append([*cells, *[""] * (len(heads) - len(cells))])
        if self._console is not None:
            self._print_table(title, heads, rows, note)
            return
        widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
        self.say(f"{title}{': ' + note if note else ''}")
        for row in [heads, *rows]:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            self.say("  " + "  ".join(cells).rstrip())

    def _print_table(self, title: str, heads: list[str], rows: list[list[str]], note: str) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title), caption=Text(note) if note else None, box=SIMPLE_HEAD, title_justify="left")
        for number, head in enumerate(heads):
            table.add_column(head, justify="left" if number == 0 else "right")
        for row in rows:
            cells = [Text(cell, style=_style_of(cell)) for cell in row]
            table.add_row(*cells, style="bold" if row[0] == ALL else None)
        self._console.print(table)


class Stage:
    """One running stage; made by `Progress.stage`."""

    def __init__(self, progress: Progress, name: str, total: int, unit: str, done: int):
        self._progress = progress
        self.name, self.total, self.unit = name, total, unit
        self.done = self._done_at_start = min(done, total)
        self._started = self._last_line = progress._clock()
        self._task = None

    def advance(self, units: int = 1, **values: float | None) -> None:
        """Count finished units; `values` (reward=0.41) stand beside the bar."""
        self.done = min(self.done + units, self.total)
        shown = "  ".join(f"{key} {_format(value)}" for key, value in values.items() if value is not None)
        if self._task is not None:
            self._progress._bars.update(self._task, completed=self.done, shown=shown)
            return
        now = self._progress._clock()
        if now - self._last_line >= self._progress._line_seconds and self.done < self.total:
            self._last_line = now
            left = self.seconds_left()
            ending = f"  {shown}" if shown else ""
            after = f", about {format_seconds(left)} left" if left is not None else ""
            self._progress.say(f"{self.name}: {self.done}/{self.total} {self.unit}{after}{ending}")

    def reach(self, units: int) -> None:
        """Count up to `units` finished in all; never back."""
        if units > self.done:
            self.advance(units - self.done)

    def seconds_left(self) -> float | None:
        """The time left at the pace of this run; None before the first unit."""
        done = self.done - self._done_at_start
        if done <= 0:
            return None
        return (self._progress._clock() - self._started) / done * (self.total - self.done)

    def open(self) -> None:
        progress = self._progress
        if progress._console is None:
            start = f" (from {self.done})" if self.done else ""
            progress.say(f"{self.name}: {self.total} {self.unit}{start}")
            return
        if progress._bars is None:
            progress._bars = _start_bars(progress._console)
        self._task = progress._bars.add_task(self.name, total=self.total, completed=self.done, unit=self.unit, shown="")

    def close(self, *, finished: bool) -> None:
        progress = self._progress
        seconds = progress._clock() - self._started
        if self._task is not None:
            progress._bars.remove_task(self._task)
            if not progress._bars.tasks:
                progress._bars.stop()
                progress._bars = None
        if finished and self.done >= self.total:
            progress.say(f"{self.name}: done, {self.done} {self.unit} in {format_seconds(seconds)}")
        else:
            progress.say(f"{self.name}: stopped at {self.done}/{self.total} {self.unit}")


def format_change(before: Estimate | None, after: Estimate, paired: Estimate | None = None) -> str:
    """The change with its sign and interval (the paired one, where there is one), and an arrow where that leaves out 0."""
    if before is None or before.mean is None or after.mean is None:
        return "-"
    change = paired if paired is not None and paired.mean is not None else unpaired_difference(before, after)
    ends = "" if change.low is None or change.high is None else f" ({change.low:+.3f} to {change.high:+.3f})"
    return f"{after.mean - before.mean:+.3f}{ends}{({1: ' ↑', -1: ' ↓'}).get(find_direction(change), '')}"


def find_direction(change: Estimate) -> int:
    """1 where a change is up beyond its noise, -1 where it is down, 0 where its interval holds 0 or is not known."""
    if change.low is None or change.high is None:
        return 0
    return 1 if change.low > 0 else -1 if change.high < 0 else 0


def _format(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _format_interval(estimate: Estimate) -> str:
    return "-" if estimate.low is None or estimate.high is None else f"{estimate.low:.3f} to {estimate.high:.3f}"


def _style_of(cell: str) -> str:
    return {"↑": "green", "↓": "red"}.get(cell[-1:], "")


def _start_bars(console):
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
        console=console,
        expand=True,
        refresh_per_second=4,
    )
    bars.start()
    return bars


def _describe(name: str, estimate: Estimate) -> list[str]:
    return [name, _format(estimate.mean), _format_interval(estimate), str(estimate.n or 0)]
