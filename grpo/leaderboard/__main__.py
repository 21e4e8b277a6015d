"""The command `python -m grpo.leaderboard`: many runs in one table, with what the noise leaves open."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command
from rewards.screen.harmless_text import make_harmless, make_label

EXAMPLES = """\
RUN is what python -m grpo.compare reads: a run (its judged checkpoint, or RUN@STAGE), the folder of an evaluation, a file of
either, or a JSON file of recorded means. Relative differences are against the first.

examples:
  python -m grpo.leaderboard runs/personas_*
  python -m grpo.leaderboard runs/personas_* --metric rouge1 --target 0.45
  python -m grpo.leaderboard runs/v4_1-seeds/*                     the runs of a group
  python -m grpo.leaderboard runs/llama31_8b runs/llama31_8b_instruct --json     base against instruct
  python -m grpo.leaderboard runs/mine@warmup runs/mine                            did GRPO keep the voices apart?

exit codes: 0 done · 2 bad input, or runs that cannot be compared
"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    from grpo.leaderboard.voices import LIMIT

    parser = CommandParser(
        "python -m grpo.leaderboard", "Many runs in order, with intervals, relative differences and alarms.", EXAMPLES
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="one run or more; the first is the baseline")
    parser.add_argument("--metric", help="what is ranked by (reward), such as rouge1, rougeL or bleu")
    parser.add_argument("--target", type=float, metavar="VALUE", help="print what share of this mean each run reached")
    parser.add_argument(
        "--blending", type=float, default=LIMIT, metavar="SHARE",
        help=f"the share of blended answers that is an alarm beyond the noise ({LIMIT:g})",
    )  # fmt: skip
    parser.add_argument(
        "--allow-different", action="append", default=[], metavar="WHAT",
        choices=("versions", "ids", "settings"), help="compare even if these differ: versions, ids, settings",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.leaderboard.board import make_board
    from grpo.lifecycle.run_group import is_group

    if options.target is not None and not 0.0 < options.target <= 1.0:
        raise UserError(f"--target {options.target:g}: give a mean above 0, at most 1")
    if not 0.0 <= options.blending < 1.0:
        raise UserError(f"--blending {options.blending:g}: give a share in 0..1")
    # `runs/GROUP/*` names the group's own files beside its runs.
    runs = [name for name in options.runs if not (Path(name).is_file() and is_group(Path(name).parent))]
    board = make_board(
        runs or options.runs,
        metric=options.metric,
        target=options.target,
        limit=options.blending,
        allowed=options.allow_different,
    )
    if options.json:
        print_json(board)
    else:
        show(board)
    return DONE


def show(board: dict[str, Any]) -> None:
    """Alarms first, then the places, then the families."""
    for alarm in board["alarms"]:
        print(make_harmless(f"ALARM  {alarm}", 600))
    print(f"by {board['metric']}, relative to {make_label(board['baseline'])}")
    for line in board["runs"]:
        print(make_harmless(f"{line['place']:>3}. {describe(line)}", 600))
    print(make_harmless(f"{board['statement']} (pairs compared: {board['tests']})", 400))
    if board["families"]:
        print("base against instruct")
    for each in board["families"]:
        ends = "" if each["low"] is None else f" ({each['low']:+.3f} to {each['high']:+.3f}, n {each['n']})"
        said = f"{each['family']}: base {each['base_mean']:.3f}, instruct {each['instruct_mean']:.3f}, "
        print(make_harmless(f"  {said}margin {each['margin']:+.3f}{ends}: {each['winner']}", 400))
    for note in board["notes"]:
        print(make_harmless(f"note: {note}", 400))


def describe(line: dict[str, Any]) -> str:
    """One run's line."""
    ends = "" if line["low"] is None else f" ({line['low']:.3f} to {line['high']:.3f}, n {line['n']})"
    said = [f"{line['run']}: {line['mean']:.3f}{ends}"]
    if line["best_place"] != line["worst_place"]:
        said.append(f"place {line['best_place']} to {line['worst_place']}")
    if (relative := line["relative"]) is not None and relative["value"] is not None:
        low, high = (_percent(relative[end]) for end in ("low", "high"))
        said.append(f"{_percent(relative['value'])}{f' ({low} to {high})' if relative['low'] is not None else ''}")
    if line["of_target"] is not None:
        said.append(f"{line['of_target']:.0%} of the target")
    if (voices := line["voices"]) is not None:
        if (blended := voices["blended"]) is not None:
            said.append(f"blended {blended['mean']:.3f} ({blended['low']:.3f} to {blended['high']:.3f})")
        if voices["corpus_bleu"] is not None:
            said.append(f"corpus BLEU {voices['corpus_bleu']:.3f}")
    return ", ".join(said)


def _percent(value: float | None) -> str:
    return "no bound" if value is None else f"{100 * value:+.1f} %"


if __name__ == "__main__":
    sys.exit(main())
