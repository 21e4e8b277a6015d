"""The command `python -m grpo.checklist`: everything that is worth a look before a trained policy is deployed, in one go."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from grpo.checklist.checks import FAILED, NOT_CHECKED, PASSED, WARNING, Check
from rewards.errors import UserError
from rewards.screen.command_line import CommandParser, print_json, refuse_idle, run_command
from rewards.screen.harmless_text import make_harmless

if TYPE_CHECKING:
    from grpo.checklist.stored_answers import StoredAnswer

READY, NOT_READY = 0, 1
LIMITS = {
    "readable": 0.95,
    "known_functions": 1.0,
    "valid_arguments": 0.95,
    "refrains": 0.8,
    "ended": 0.95,
    "own_voice": 0.9,
}
_SIGNS = {PASSED: "ok  ", WARNING: "warn", FAILED: "FAIL", NOT_CHECKED: "  - "}

EXAMPLES = """\
RUN is the folder of a finished run. Its files, its stored answers to held-out rows and its policy are checked: markers of
the chat template against the vocabulary, an end token after each answer, the same prompt in training and generation,
references, JSON that can be read, functions that exist, arguments that fit their schemas, rows to refrain on, answers cut
off, echoes of the template, errors of rewards, watch rules, the gain over the start, tasks that fell, seconds an answer.

examples:
  python -m grpo.checklist runs/tools_hermes
  python -m grpo.checklist runs/tools_hermes --json > checklist.json
  python -m grpo.checklist runs/tools_hermes --latency 2 --least readable=0.99 --least refrains=0.9
  python -m grpo.checklist runs/tools_hermes --no-policy            the files alone, in a second

exit codes: 0 nothing failed · 1 something failed · 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser("python -m grpo.checklist", "Check a trained policy before it is deployed.", EXAMPLES)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument(
        "--least", action="append", default=[], metavar="CHECK=SHARE",
        help=f"the least share of a check: {', '.join(f'{name} ({share:g})' for name, share in LIMITS.items())}",
    )  # fmt: skip
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="most seconds an answer may take")
    parser.add_argument("--asked", type=int, default=8, metavar="N", help="answers that are timed (8)")
    parser.add_argument("--no-policy", action="store_true", help="do not load the policy")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.checklist.run_files import check_files
    from grpo.checklist.stored_answers import check_answers, read_stored_answers
    from grpo.evaluate.policy_source import is_run

    if options.no_policy:
        refuse_idle(options, "not with --no-policy, which times no answers; leave it out", latency=None, asked=8)
    if options.asked < 1:
        raise UserError(f"--asked {options.asked}: give 1 or more")
    if not is_run(options.run):
        raise UserError(f"{options.run}: not the folder of a run (no config.json of one); give runs/NAME")
    limits = read_limits(options.least)
    answers = read_stored_answers(options.run)
    checks = [*check_files(options.run), *check_answers(answers, limits)]
    with redirect_stdout(sys.stderr):
        checks += _check_policy(options, answers)
    ready = not any(check.status == FAILED for check in checks)
    if options.json:
        counts = {status: sum(check.status == status for check in checks) for status in _SIGNS}
        print_json(
            {
                "run": str(options.run), "ready": ready, "counts": counts,
                "checks": [check.to_json() for check in checks],
            }
        )  # fmt: skip
        return READY if ready else NOT_READY
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(make_harmless(f"{_SIGNS[check.status]}  {check.name:<{width}}  {check.said}", 1000))
    failed = [check.name for check in checks if check.status == FAILED]
    print(f"not ready: {', '.join(failed)}" if failed else "ready: nothing failed")
    return READY if ready else NOT_READY


def read_limits(given: Sequence[str]) -> dict[str, float]:
    """The least shares with what was given laid over; `UserError` for a name or a number that is none."""
    limits, problems = dict(LIMITS), []
    for text in given:
        name, _, share = text.partition("=")
        try:
            limits[name], known = float(share), name in LIMITS
        except ValueError:
            known = False
        if not known or not 0.0 <= limits[name] <= 1.0:
            problems.append(f"--least {text}: write CHECK=SHARE, a share in 0..1 of one of {', '.join(LIMITS)}")
    if problems:
        raise UserError(problems)
    return limits


def _check_policy(options: argparse.Namespace, answers: Sequence[StoredAnswer]) -> Iterator[Check]:
    from grpo.checklist.policy_checks import check_latency, check_template, list_markers, warn_unloaded
    from grpo.checklist.stored_answers import check_echo

    if options.no_policy:
        yield warn_unloaded()
        return
    from grpo.evaluate.backends import choose, find_problems, open_writer
    from grpo.evaluate.policy_source import find_source, load_run_config
    from grpo.evaluate.request import make_settings
    from grpo.machine.device import choose_device
    from grpo.machine.environment import prepare_threads, require_torch_device

    source = find_source(str(options.run))
    config = load_run_config(options.run, rows=True)
    if config.model.name in (source.location, source.base):
        source = replace(source, revision=config.model.revision)
    if problems := find_problems(config, source, 1):
        raise UserError([*problems, "or leave the policy out: --no-policy"])
    device = choose_device(config.model.device, "gpu" if config.model.embedded else "small").kind
    threads = prepare_threads(config.threads)
    choose(config).prepare()
    require_torch_device(device)
    import torch

    from grpo.engines.packages import quieten_libraries

    quieten_libraries()
    torch.set_num_threads(threads)
    rows = [each.example for each in answers]
    with open_writer(source, config, device) as writer:
        yield from check_template(writer.prompts, rows)
        yield check_echo(answers, list_markers(writer.prompts))
        step = max(1, len(rows) // options.asked)
        yield check_latency(writer, rows[::step][: options.asked], make_settings(config, 1), options.latency, device)


if __name__ == "__main__":
    sys.exit(main())
