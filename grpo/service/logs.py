"""`recompensa logs RUN`: what a run of a service said, or its numbers as they come."""

from __future__ import annotations

import argparse
import json
import sys
import time

from grpo.service.client import Client
from grpo.service.command import add_service
from rewards.screen.command_line import DONE, CommandParser, run_command
from rewards.screen.harmless_text import escape_json

EXAMPLES = """examples:
  python -m grpo.service.logs RUN
  python -m grpo.service.logs RUN --follow
  python -m grpo.service.logs RUN --events            its state, metrics and watch events as JSON lines, as they come
"""
_LIVING = ("queued", "waiting", "running", "cancelling")
_SECONDS_BETWEEN = 1.0


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: show(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.service.logs", "Show what a run said.", EXAMPLES)
    parser.add_argument("run", metavar="RUN", help="the name of a run, as `recompensa ps` shows it")
    parser.add_argument("--lines", type=int, default=200, metavar="N", help="at most this many of the last lines (200)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", action="store_true", help="follow until the run ends")
    what.add_argument("--events", action="store_true", help="events as JSON lines, until the run ends")
    add_service(parser)
    return parser


def show(options: argparse.Namespace) -> int:
    """Print a run's events, or its log, until it ends if asked to follow; returns the exit code."""
    client = Client(options.url)
    if options.events:
        for event in client.events(options.run):
            print(escape_json(json.dumps({"event": event.name, **event.data}, ensure_ascii=False)), flush=True)
        return DONE
    shown: list[str] = []
    while True:
        # A state from before the log is read: what an ended run said last is not missed.
        living = client.show(options.run)["state"] in _LIVING
        lines = client.log(options.run, options.lines).splitlines()
        for line in _find_new(shown, lines):
            print(line)
        sys.stdout.flush()
        shown = lines
        if not (options.follow and living):
            return DONE
        time.sleep(_SECONDS_BETWEEN)


def _find_new(shown: list[str], lines: list[str]) -> list[str]:
    """The lines that come after those shown: the end of the one is sought as the start of the other."""
    for start in range(max(0, len(shown) - len(lines)), len(shown) + 1):
        if lines[: len(shown) - start] == shown[start:]:
            return lines[len(shown) - start :]
    return lines


if __name__ == "__main__":
    sys.exit(main())
