"""`recompensa cancel RUN`: stop runs of a service with a checkpoint, or queue them again."""

from __future__ import annotations

import argparse
import sys

from grpo.service.client import Client
from grpo.service.command import add_service, show_runs
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

EXAMPLES = """examples:
  python -m grpo.service.cancel RUN             a running run saves a checkpoint; a waiting one is never started
  python -m grpo.service.cancel RUN --resume    queue it again: it resumes from its checkpoint
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: cancel(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.service.cancel", "Stop runs, or resume them.", EXAMPLES)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names of runs, as `recompensa ps` shows them")
    parser.add_argument("--resume", action="store_true", help="queue them again instead")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    add_service(parser)
    return parser


def cancel(options: argparse.Namespace) -> int:
    """Cancel or resume the runs and show their new state; returns the exit code."""
    client = Client(options.url)
    changed = [client.resume(run) if options.resume else client.cancel(run) for run in options.runs]
    if options.json:
        print_json({"runs": changed})
    else:
        show_runs(changed)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
