"""The command `python -m grpo.plan`: what a config does, in seconds, anywhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from grpo.machine.device import find_device
from grpo.plan.display import screen_lines
from grpo.plan.make_plan import make_plan
from rewards.errors import UserError
from rewards.screen.command_line import DONE, FAILED, CommandParser, add_overrides, print_json, run_command
from rewards.screen.harmless_text import make_harmless

EXAMPLES = """\
examples:
  python -m grpo.plan --config v4_1.yaml
  python -m grpo.plan --config v4_1.yaml --profile gpu --json
  python -m grpo.plan --config my.yaml --set grpo.max_steps=100
  python -m grpo.plan --config my.yaml --measure                 two real steps here: seconds, peak memory, go or no go
  python -m grpo.plan --config my.yaml --measure --max-hours 8   no go where the whole run would take longer

exit codes: 0 planned, or go · 1 no go · 2 bad config or data
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.plan`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.plan",
        "What a config will do and cost: prompts, tokens, memory and time, from the settings in force.",
        EXAMPLES,
    )
    parser.add_argument("--config", required=True, help="a path, or a shipped name such as v4_1.yaml")
    parser.add_argument("--profile", default="auto", help="auto, gpu, small or embedded (default: auto)")
    add_overrides(parser)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="run two steps of each stage here, in a folder that is thrown away; exit code 1 means no-go",
    )
    parser.add_argument(
        "--max-hours", type=float, metavar="H", help="with --measure: no go for a run that takes longer"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    if options.max_hours is not None and not (options.measure and options.max_hours > 0):
        raise UserError("--max-hours: a number of hours above 0, with --measure")
    from grpo.config.loading import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile

    device = find_device()
    profile, line = resolve_profile(options.profile, device)
    print(line, file=sys.stderr)
    config = load_config(options.config, options.overrides, profile, device)
    inputs = load_inputs(config)
    plan = make_plan(config, inputs, profile=profile, device=device)
    if not options.json:
        for line in screen_lines(plan):
            print(make_harmless(line, 4000), flush=True)
    if not options.measure:
        if options.json:
            print_json(plan.to_json())
        return DONE
    from grpo.plan.measure import measure_plan

    words = ["--config", options.config, "--profile", profile]
    words += [part for override in options.overrides for part in ("--set", override)]
    found = measure_plan(plan, inputs, words, most_hours=options.max_hours)
    if options.json:
        print_json({**plan.to_json(), "measured": found.to_json()})
    else:
        for line in found.lines():
            print(make_harmless(line, 4000))
    return DONE if found.goes else FAILED


if __name__ == "__main__":
    raise SystemExit(main())
