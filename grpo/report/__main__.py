"""`python -m grpo.report RUN`: build the report of a run again, whatever state the run is in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grpo.language.catalogue import LANGUAGES
from grpo.report.page import write_report
from grpo.report.run_files import read_run
from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, run_command
from rewards.writing.files import write_whole

EXAMPLES = """\
examples:
  python -m grpo.report runs/mine
  python -m grpo.report runs/mine --language pt-BR --csv runs/mine/tables
  python -m grpo.report runs/mine --send"""


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.report",
        "Write report.html and report.md into the folder of a run, from what the folder holds.",
        EXAMPLES,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run, such as runs/mine")
    parser.add_argument(
        "--language", choices=tuple(LANGUAGES), help="en or pt-BR (by default what the run's config says)"
    )
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write every table as a CSV file there too")
    parser.add_argument(
        "--send",
        action="store_true",
        help="add both files to the run that the trackers of its config have, as an artifact",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    paths = [
        *write_report(options.run, options.language),
        *(write_tables(options.run, options.csv) if options.csv else ()),
    ]
    for path in paths:
        print(path)
    if options.send:
        send_report(options.run, paths[:2])
    return DONE


def write_tables(run: Path, folder: Path) -> list[Path]:
    """Every table of the report as a CSV file in the folder."""
    from grpo.report.exports import make_exports
    from grpo.report.page import make_view

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in make_exports(make_view(read_run(run))).items():
        path = folder / f"{name}.csv"
        write_whole(path, text.encode("utf-8", "replace"))
        written.append(path)
    return written


def send_report(folder: Path, paths: Sequence[Path]) -> None:
    """Add the files to the tracked run that belongs to the folder; UserError where its config tracks nothing."""
    from callbacks.config import TrackingSection
    from callbacks.tracking.backends import choose_wandb_mode
    from callbacks.tracking.tracking import publish_files

    try:
        section = TrackingSection.model_validate(read_run(folder).config.get("tracking") or {})
    except ValueError:
        raise UserError(f"{folder / 'config.json'}: tracking: not readable; nothing was sent") from None
    if choose_wandb_mode(section.wandb) == "off" and not section.mlflow:
        raise UserError("--send: this run is tracked nowhere; set tracking.wandb or tracking.mlflow before a run")
    publish_files(folder, section, paths, run_name=folder.resolve().name, notify=print)


if __name__ == "__main__":
    sys.exit(main())
