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

from rewards.screen.command_line import DONE, CommandParser, refuse_idle, run_command

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
    return run_command(lambda: watch(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.watch",
        "Curves, tasks, margins of the decision, watch events, last completions and time left of a run.",
        EXAMPLES,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, in progress or finished")
    parser.add_argument("--once", action="store_true", help="print one look and end")
    parser.add_argument("--json", action="store_true", help="print one look as JSON and end")
    parser.add_argument("--every", type=read_seconds, default=2.0, metavar="SECONDS", help="between looks (default: 2)")
    return parser


def read_seconds(text: str) -> float:
    """Seconds between two looks, 0.1 to 3600."""
    with suppress(ValueError):
        if 0.1 <= float(text) <= 3600.0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a time between looks; write seconds from 0.1 to 3600")


def watch(options: argparse.Namespace) -> int:
    """Show a run as JSON, once, or live; returns the exit code."""
    from grpo.watch.snapshot import LiveRun

    if options.once or options.json:
        refuse_idle(options, "not with --once or --json, which look once; leave it out", every=2.0)
    run = LiveRun(options.run)
    if options.json:
        # Escaped to ASCII: no control code of a completion reaches the terminal this way either.
        print(json.dumps(run.read().to_json(), indent=2))
        return DONE
    from grpo.watch.display import render
    from rewards.screen.terminal import make_console

    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    if not sys.stdout.isatty():
        width = os.environ.get("COLUMNS", "")
        console = make_console(
            width=int(width) if width.isdecimal() and int(width) > 20 else _PLAIN_WIDTH, no_color=True
        )
        console.print(render(run.read(), console))
        return DONE
    console = make_console()
    with suppress(KeyboardInterrupt):  # how one leaves it
        snapshot = run.read() if options.once else _follow(run, console, options.every)
        console.print(render(snapshot, console))
    return DONE


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
