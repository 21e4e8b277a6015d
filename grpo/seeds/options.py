"""The options of `grpo.run` that make many runs of one: seeds, a grid, and how many at once."""

from __future__ import annotations

import argparse

from grpo.lifecycle.run_group import is_group


def add_group_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that start a group of runs, such as `--seeds` and `--grid`."""
    parser.add_argument(
        "--seeds", type=_read_seeds, metavar="N",
        help="N runs with the seeds from the config's upwards, in a folder each, and one summary; 7,11,13 names the seeds",
    )  # fmt: skip
    parser.add_argument(
        "--grid", action="append", default=[], metavar="KEY=A,B",
        help="the same for each of these values, as grpo.learning_rate=1e-6,5e-6 (repeatable: every combination)",
    )  # fmt: skip
    parser.add_argument(
        "--slots", type=_read_count, default=1, metavar="N", help="runs of --seeds and --grid at the same time (1)"
    )


def check_group_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with an error where options of one run and of many do not go together."""
    many = options.seeds is not None or bool(options.grid)
    if options.resume and many:
        parser.error("--resume continues a group as it was started: --seeds and --grid cannot be combined with it")
    if is_many(options) and options.follow:
        parser.error("--follow: not with --seeds or --grid; follow one of the runs")
    if options.slots > 1 and not is_many(options):
        parser.error("--slots requires --seeds, --grid, or --resume of a group")


def is_many(options: argparse.Namespace) -> bool:
    """Whether the options mean a group of runs."""
    return options.seeds is not None or bool(options.grid) or (options.resume is not None and is_group(options.resume))


def _read_seeds(text: str) -> int | list[int]:
    """How many seeds, or with commas which."""
    if "," not in text:
        return _read_count(text)
    named = [part.strip() for part in text.split(",") if part.strip()]
    if not named or not all(part.isdecimal() for part in named) or len(set(map(int, named))) < len(named):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different seeds, such as 7,11,13")
    return [int(part) for part in named]


def _read_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer; write 1 or more")
    return int(text)
