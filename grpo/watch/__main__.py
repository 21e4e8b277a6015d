"""A run watched live in a terminal, or looked at once: `python -m grpo.watch runs/mine`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewards.errors import UserError

EXAMPLES = """examples:
  python -m grpo.watch runs/mine              live, until the run ends or Ctrl-C
  python -m grpo.watch runs/mine --once       one look
  python -m grpo.watch runs/mine --json       one look as JSON
  ssh host python -m grpo.watch runs/mine     plain text where there is no terminal

Reads the folder of the run only: it can be started, stopped and started again at any time.
"""
_PLAIN_WIDTH = 110


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code: 0, or 2 where there is no run."""
    parser = argparse.ArgumentParser(
        prog="python -m grpo.watch",
        description="Curves, tasks, margins of the decision, watch events, last completions and time left of a run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, going on or finished")
    parser.add_argument("--once", action="store_true", help="print one look and end")
    parser.add_argument("--json", action="store_true", help="print one look as JSON and end")
    parser.add_argument("--every", type=read_seconds, default=2.0, metavar="SECONDS", help="between looks (default: 2)")
    options = parser.parse_args(arguments)
    try:
        return watch(options)
    except UserError as error:
        print("\n".join(f"error: {line}" for line in error.problems), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader (`head`, a closed pager) has seen enough; nothing is left to flush into.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def read_seconds(text: str) -> float:
    """Seconds between two looks, 0.1 to 3600."""
    with suppress(ValueError):
        if 0.1 <= float(text) <= 3600.0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no time between looks; write seconds from 0.1 to 3600")


def watch(options: argparse.Namespace) -> int:
    from grpo.watch.snapshot import LiveRun

    run = LiveRun(options.run)
    if options.json:
        # Escaped to ASCII: no control code of a completion reaches the terminal this way either.
        print(json.dumps(run.read().to_json(), indent=2))
        return 0
    from rich.console import Console

    from grpo.watch.display import render

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if not sys.stdout.isatty():
        width = os.environ.get("COLUMNS", "")
        console = Console(width=int(width) if width.isdecimal() and int(width) > 20 else _PLAIN_WIDTH, no_color=True)
        console.print(render(run.read(), console))
        return 0
    console = Console(highlight=False)
    snapshot = run.read() if options.once else _follow(run, console, options.every)
    console.print(render(snapshot, console))
    return 0


def _follow(run: Any, console: Any, seconds: float) -> Any:
    """Show the run until it has ended, and return its last snapshot."""
    from rich.live import Live

    from grpo.watch.display import render

    snapshot = run.read()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(render(snapshot, console, height=console.height), refresh=True)
            if snapshot.finished or snapshot.stopped_by:
                return snapshot
            time.sleep(seconds)
            snapshot = run.read()


if __name__ == "__main__":
    sys.exit(main())
