"""The command `python -m grpo.prune`: lists what a run's folder weighs, and deletes the weights that nobody needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rewards.errors import UserError
from rewards.screen.amounts import format_size
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

EXAMPLES = """\
Without --keep nothing is deleted. What a report, a comparison or a rescore reads is never deleted: numbers, plans,
evaluations and stored completions stay, only weights go.

examples:
  python -m grpo.prune runs/v4_1
  python -m grpo.prune runs/v4_1 --keep best
  python -m grpo.prune runs/* --keep best,last --dry-run
"""


def main(arguments: list[str] | None = None) -> int:
    """The command `python -m grpo.prune`; returns the exit code."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.prune", "List what runs weigh, and delete weights that are not needed.", EXAMPLES
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument(
        "--keep", metavar="WHAT", help="delete all weights but these: best, sft, last (checkpoint), by commas"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="with --keep: print what would be deleted, delete nothing"
    )
    parser.add_argument(
        "--force", action="store_true", help="also in an unfinished run, which can then no longer be resumed"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.prune.parts import KEEPABLE, choose_parts, delete, require_run, weigh

    keep = [word.strip() for word in (options.keep or "").split(",") if word.strip()]
    wrong = [word for word in keep if word not in KEEPABLE]
    if wrong or (options.keep is not None and not keep):
        raise UserError(f"--keep {options.keep}: allowed: {', '.join(KEEPABLE)}, by commas")
    runs = [require_run(path) for path in options.runs]
    weighed = {path: weigh(path) for path in runs}
    # All are looked at before anything of one is deleted.
    going = {path: choose_parts(path, keep, force=options.force) if keep else [] for path in runs}
    if not options.dry_run:
        for parts in going.values():
            delete(parts)
    if options.json:
        print_json(
            {
                str(path): {
                    "bytes": sum(part.bytes for part in parts),
                    "parts": {part.name: part.bytes for part in parts},
                    "deleted": [] if options.dry_run else [part.name for part in going[path]],
                    "would_delete": [part.name for part in going[path]] if options.dry_run else [],
                }
                for path, parts in weighed.items()
            }
        )
        return DONE
    for path, parts in weighed.items():
        print(f"{path}: {format_size(sum(part.bytes for part in parts))}")
        for part in parts:
            fate = (
                ("would go" if options.dry_run else "deleted") if part in going[path] else "stays" if keep else part.use
            )
            print(f"  {format_size(part.bytes):>10}  {part.name:<28} {fate}")
        if keep:
            freed = format_size(sum(part.bytes for part in going[path]))
            print(f"  {freed} {'would be freed' if options.dry_run else 'freed'}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
