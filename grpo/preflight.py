"""What must hold before anything is spent: the audit of the rows with the very rewards of the run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from grpo.config.run_config import RunConfig
from grpo.data.run_rows import RunRows
from rewards.audit.audit import Audit, audit_rows
from rewards.errors import UserError
from rewards.host.scoring import RewardHost
from rewards.screen.command_line import CommandParser, add_overrides, run_command

EXAMPLES = """\
examples:
  python -m grpo.preflight --config v4_1.yaml
  python -m grpo.preflight --config my.yaml --set data.train=other.jsonl --json

exit codes: 0 passed, 1 failed, 2 bad input, or a run would be wasted"""


class PreflightError(UserError):
    """The run would be wasted: the lines say why, `audit` has all that was found."""

    def __init__(self, audit: Audit):
        super().__init__(list(audit.errors))
        self.audit = audit


def run_preflight(
    config: RunConfig, inputs: RunRows, host: RewardHost, on_progress: Callable[[int], object] = lambda done: None
) -> dict[str, Any]:
    """Audit the rows; returns the audit for audit.json, raises `PreflightError` when the run would be wasted.

    Every reference of the training and held-out rows is scored as if the policy had written it. A function that judges
    content must give it the maximum: a scorer that marks the right answer down has no business training anything.
    `reward_identities` say which scorers these are.
    `warnings` of the audit are for the user to read; fields named under `masked` were put into the options of the host's
    functions. `on_progress` hears how many references are scored.
    """
    audit = audit_rows(host, inputs.train, inputs.held_out, on_progress)
    if not audit.passed:
        raise PreflightError(audit)
    # Read after the audit, which may have put fields to mask into the options.
    return {**audit.to_json(), "reward_identities": [identity.to_json() for identity in host.identities().values()]}


def main(arguments: list[str] | None = None) -> int:
    """The audit of a configuration alone: `python -m rewards audit --config` comes here. 0 passed, 2 a run would be wasted."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.preflight", __doc__, EXAMPLES)
    parser.add_argument("--config", required=True, help="a YAML file, or the name of a shipped one (v4_1.yaml)")
    add_overrides(parser)
    parser.add_argument(
        "--profile", choices=("auto", "gpu", "small", "embedded"), default="auto", help="overlay of the config (auto)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.config.loading import load_config
    from grpo.data.run_rows import load_inputs
    from grpo.machine.device import resolve_profile
    from rewards.commands.audit import report_audit
    from rewards.config import build_host

    profile, _ = resolve_profile(options.profile)
    config = load_config(options.config, options.overrides, profile)
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        return report_audit(audit_rows(host, inputs.train, inputs.held_out), as_json=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
