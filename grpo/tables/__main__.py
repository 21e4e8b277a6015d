"""`python -m grpo.tables RUN...`: the tables of a paper out of runs and evaluations."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command

EXAMPLES = """\
RUN is what recompensa compare takes: the folder of a run (RUN@before, RUN@warmup for another stage), a folder of recompensa
evaluate, a file of either, or a JSON file of recorded means. Answers that a run stored are measured again by every metric.

examples:
  python -m grpo.tables runs/stage1 runs/stage2                       by split, by layer, split x layer, and what changed
  python -m grpo.tables runs/stage1@before runs/stage1 --by split     zero-shot beside stage 1
  python -m grpo.tables runs/grpo --metric field_f1 --metric kpi
  python -m grpo.tables runs/stage1 runs/stage2 --out paper           tables.md, tables.json, reproduce.md, a .csv and .tex each
"""
FORMATS = ("md", "csv", "latex", "json")


def main(arguments: list[str] | None = None) -> int:
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    from grpo.tables.tables import BY

    parser = CommandParser(
        "python -m grpo.tables",
        "Write the tables of a paper: each cell is a mean with its 95 % interval and n.",
        EXAMPLES,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="one run or more; changes are from the first")
    parser.add_argument("--stage", help="stage of the runs that name none by @ (default: the judged checkpoint)")
    parser.add_argument(
        "--metric", action="append", default=[], help="a column (repeatable; default: parse, field_f1, key_f1, exact)"
    )
    parser.add_argument("--by", action="append", default=[], choices=tuple(BY), help="only these rows (repeatable)")
    parser.add_argument("--format", choices=FORMATS, default="md", help="what is printed (default: md)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write them as files of all formats, with what makes the runs again"
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    return parser


def run(options: argparse.Namespace) -> int:
    from grpo.tables.measured import read_measured
    from grpo.tables.tables import make_tables
    from grpo.tables.writers import to_csv, to_latex, to_markdown

    measured = read_measured(options.runs, options.stage)
    tables = make_tables(measured, options.metric, options.by)
    as_json = options.json or options.format == "json"
    if options.out is not None:
        _write(options.out, tables, [(run.name, run.place) for run in measured])
        count = f"{len(tables)} table{'s' if len(tables) != 1 else ''}"
        print(
            f"{options.out}: {count}; read {options.out / 'tables.md'} and {options.out / 'reproduce.md'}",
            file=sys.stderr if as_json else sys.stdout,
        )
        if not as_json:
            return DONE
    if as_json:
        print_json([table.to_json() for table in tables])
        return DONE
    write = {"md": to_markdown, "csv": to_csv, "latex": to_latex}[options.format]
    print("\n".join(write(table) for table in tables).rstrip())
    return DONE


def _write(folder: Path, tables: list[Any], places: list[tuple[str, str]]) -> None:
    import orjson

    from grpo.tables import reproduce
    from grpo.tables.writers import to_csv, to_latex, to_markdown
    from rewards.writing.files import write_whole

    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "tables.md", "\n".join(map(to_markdown, tables)).encode())
        content = orjson.dumps([table.to_json() for table in tables], option=orjson.OPT_INDENT_2)
        write_whole(folder / "tables.json", content + b"\n")
        write_whole(folder / "reproduce.md", reproduce.to_markdown(reproduce.describe_runs(places)).encode())
        for table in tables:
            name = re.sub(r"[^\w.-]+", "_", table.name)
            write_whole(folder / f"{name}.csv", to_csv(table).encode())
            write_whole(folder / f"{name}.tex", to_latex(table).encode())
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written ({error.strerror}); give another folder") from None


if __name__ == "__main__":
    sys.exit(main())
