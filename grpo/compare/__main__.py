"""Runs set side by side: `python -m grpo.compare RUN_A RUN_B ...`; the first is the baseline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grpo.compare.comparability import ALLOWABLE
from rewards.errors import UserError
from rewards.identity import ALLOW
from rewards.screen.command_line import CommandParser, print_json, run_command

PROMOTED, NOT_PROMOTED = 0, 1

EXAMPLES = """\
RUN is the folder of a run (its judged checkpoint, or another stage by RUN@warmup), a folder that python -m grpo.evaluate
wrote, a file of either, the folder of a group of seeds, or a JSON file of recorded means (docs/compare.md). The first is the baseline: zero-shot and SFT
are runs like others.

examples:
  python -m grpo.compare runs/v4_1@warmup runs/v4_1                did GRPO help over its own warm-up?
  python -m grpo.compare runs/v4_1                                 the same
  python -m grpo.compare evaluations/base evaluations/sft runs/v4_1
  python -m grpo.compare runs/one-seeds runs/other-seeds           two recipes, by their seeds (docs/seeds.md)
  python -m grpo.compare stage1.json stage2.json --rules strict.yaml --json
  python -m grpo.compare runs/a runs/b --allow-different ids,settings

exit codes: 0 promoted, or nothing to judge · 1 not promoted · 2 bad input, or runs that cannot be compared
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.compare",
        "Compare runs example by example, and say which may be promoted and what is noise.",
        EXAMPLES,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="two or more runs, the baseline first")
    parser.add_argument("--stage", help="stage of the runs that name none by @ (default: the judged checkpoint)")
    parser.add_argument("--rules", type=Path, metavar="YAML", help="rules of the promotion, over the shipped ones")
    parser.add_argument("--metric", help="the metric that must rise, instead of the one in the rules")
    parser.add_argument(
        "--allow-different", action="append", default=[], metavar="WHAT",
        help=f"compare even if these differ: {', '.join(ALLOWABLE)} (repeatable, or with commas)",
    )  # fmt: skip
    parser.add_argument(ALLOW, action="store_true", help="the same as --allow-different versions")
    parser.add_argument("--details", action="store_true", help="every difference, also of more than three runs")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.compare.comparability import check_likeness
    from grpo.compare.promotion import compare_runs
    from grpo.compare.promotion_rules import load_rules
    from grpo.compare.reading import read_recorded
    from grpo.lifecycle.run_group import is_group

    if sum(is_group(Path(name)) for name in options.runs):
        from grpo.compare.recipes import compare_recipes

        return compare_recipes(options.runs, as_json=options.json)
    allowed = _read_allowed(options.allow_different)
    if options.allow_changed_rewards:
        allowed.add("versions")
    rules = load_rules(options.rules)
    if options.metric:
        rules = rules.model_copy(update={"gain": rules.gain.model_copy(update={"metric": (options.metric,)})})
    runs = read_recorded(_add_baseline(options.runs, options.stage), options.stage)
    comparison = compare_runs(runs, rules, check_likeness(runs, allowed))
    if options.json:
        print_json(comparison.to_json())
    else:
        from grpo.compare.display import show
        from rewards.screen.terminal import make_console

        show(comparison, make_console(), details=options.details)
    if not comparison.verdicts or any(verdict.promoted for verdict in comparison.verdicts):
        return PROMOTED
    return NOT_PROMOTED


def _read_allowed(given: Sequence[str]) -> set[str]:
    names = {name.strip() for text in given for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(ALLOWABLE))
    if unknown:
        raise UserError(f"--allow-different: {', '.join(unknown)}; allowed: {', '.join(ALLOWABLE)}")
    return names


def _add_baseline(runs: list[str], stage: str | None) -> list[str]:
    """One run alone is held against its own warm-up, or against what it was before any training."""
    if len(runs) != 1 or stage not in (None, "final", "judged"):
        return runs
    from grpo.compare.reading import find_stage

    path = Path(runs[0])
    end = stage or find_stage(path)
    # Where rows were kept for the judged checkpoint, the start answered them too.
    for baseline in ("start", "warmup", "before") if end == "judged" else ("warmup", "before"):
        if (path / "eval" / f"{baseline}.jsonl").is_file() and (path / "eval" / f"{end}.jsonl").is_file():
            return [f"{runs[0]}@{baseline}", runs[0]]
    return runs


if __name__ == "__main__":
    sys.exit(main())
