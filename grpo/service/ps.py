"""`recompensa ps`: the runs of a service, a line each."""

from __future__ import annotations

import argparse
import sys

from grpo.service.client import Client
from grpo.service.command import add_service, show_runs
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

EXAMPLES = """examples:
  python -m grpo.service.ps
  python -m grpo.service.ps --state running --state queued
  python -m grpo.service.ps --json
"""
STATES = (
    "queued",
    "waiting",
    "running",
    "cancelling",
    "done",
    "failed",
    "stopped",
    "cancelled",
    "skipped",
    "interrupted",
)


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: show(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.service.ps", "List the runs of a service, the newest first.", EXAMPLES)
    parser.add_argument("--state", action="append", default=[], choices=STATES, help="only these (repeatable)")
    parser.add_argument("--limit", type=int, default=30, metavar="N", help="at most this many (30)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    add_service(parser)
    return parser


def show(options: argparse.Namespace) -> int:
    """Print the runs of a service as a table or JSON; returns the exit code."""
    runs = Client(options.url).list(options.state, options.limit)
    if options.json:
        print_json({"runs": runs})
    else:
        show_runs(runs)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
