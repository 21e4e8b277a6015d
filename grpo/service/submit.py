"""`recompensa submit`: hand a run in to a service, which proves it and queues it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from grpo.service.client import Client
from grpo.service.command import add_service, show_runs
from grpo.service.ledger import DECISION
from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, add_overrides, print_json, run_command

EXAMPLES = """examples:
  python -m grpo.service.submit v4_1.yaml
  python -m grpo.service.submit my.yaml --set grpo.max_steps=100 --name first --priority 5
  python -m grpo.service.submit v4_1.yaml --seeds 42 43 44
  python -m grpo.service.submit v4_1.yaml --sweep grpo.learning_rate=1e-5,2e-5 --seeds 1 2
  python -m grpo.service.submit v4_1.yaml --follow 3       then the rungs that the decisions name, three at most
  python -m grpo.service.submit other.yaml --after first   once the run called first is done
  python -m grpo.service.submit v4_1.yaml --emit slurm     print a job script instead (slurm, skypilot, ray, kubernetes)
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: submit(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.service.submit", "Queue a run, or a group of them, at a service.", EXAMPLES)
    parser.add_argument("config", help="a shipped config by name, or a YAML file")
    add_overrides(parser)
    parser.add_argument(
        "--profile", choices=("auto", "gpu", "small", "embedded"), default="auto", help="overlay of the config (auto)"
    )
    parser.add_argument("--name", help="name of the run (default: config, date and time)")
    parser.add_argument("--priority", type=int, default=0, metavar="N", help="higher ones are started first (0)")
    parser.add_argument("--after", metavar="RUN", help="start it once that run is done")
    parser.add_argument(
        "--seeds", type=_read_seeds, nargs="+", default=[], metavar="N", help="one run a seed: 42 43, or 42,43"
    )
    parser.add_argument(
        "--sweep", action="append", default=[], metavar="KEY=A,B", help="one run for each of the values (repeatable)"
    )
    parser.add_argument(
        "--follow", type=int, nargs="?", const=1, default=0, metavar="HOPS",
        help="queue behind it the runs that the decisions will name, one after the other",
    )  # fmt: skip
    parser.add_argument(
        "--emit", choices=("slurm", "skypilot", "ray", "kubernetes"), help="print a submission for that system instead"
    )
    parser.add_argument("--json", action="store_true", help="the queued runs as JSON")
    add_service(parser)
    return parser


def submit(options: argparse.Namespace) -> int:
    """Queue the runs, or print the job file that `--emit` asks for; returns the exit code."""
    if options.emit:
        from grpo.service.emit import emit

        print(emit(options.emit, options.config, options.overrides, options.profile, options.name), end="")
        return DONE
    client = Client(options.url)
    submission = read_submission(options)
    queued = client.submit(**submission)
    if options.follow and len(queued) > 1:
        raise UserError("--follow: works with one run, not with a group")
    for hop in range(options.follow):
        follower = {"config": DECISION, "after": queued[-1]["id"], "profile": options.profile}
        queued += client.submit(**follower, name=f"{queued[0]['id'][:90]}-hop{hop + 1}", priority=options.priority)
    if options.json:
        print_json({"runs": queued})
    else:
        show_runs(queued)
    return DONE


def read_submission(options: argparse.Namespace) -> dict[str, Any]:
    """What is sent: a file is named where the service stands on this machine, and sent as text elsewhere."""
    what: dict[str, Any] = {"config": options.config}
    path = Path(options.config).expanduser()
    if path.is_file():
        local = Client(options.url).url.split("//", 1)[1].startswith(("127.0.0.1", "localhost", "[::1]"))
        what = {"config": str(path.resolve())} if local else {"yaml": path.read_text(encoding="utf-8")}
    sweep = {}
    for text in options.sweep:
        key, _, values = text.partition("=")
        if not key or not values:
            raise UserError(f"--sweep {text}: write KEY=A,B, such as grpo.learning_rate=1e-5,2e-5")
        sweep[key] = values.split(",")
    optional = {
        "name": options.name,
        "after": options.after,
        "sweep": sweep,
        "seeds": [seed for part in options.seeds for seed in part],
    }
    return {
        **what, "set": options.overrides, "profile": options.profile, "priority": options.priority,
        **{key: value for key, value in optional.items() if value},
    }  # fmt: skip


def _read_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed; write whole numbers, such as 42 43")
    return [int(part) for part in parts]


if __name__ == "__main__":
    sys.exit(main())
