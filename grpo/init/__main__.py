"""From one's own data to a run: `python -m grpo.init data.jsonl` writes rows, a split, a schema, rewards and a config."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grpo.data.sources import FoundRecords
from grpo.init.columns import ColumnChoice, MadeRows
from rewards.errors import UserError
from rewards.screen.command_line import CommandParser, print_json, refuse_idle, run_command, show_commands
from rewards.screen.harmless_text import make_harmless

EXAMPLES = """\
examples:
  python -m grpo.init invoices.jsonl
  python -m grpo.init tickets.csv --prompt texto --reference categoria
  python -m grpo.init products.csv --prompt text --reference name,price      an answer of several columns is a JSON object
  python -m grpo.init calls.parquet --model Qwen/Qwen3-0.6B --out calls
  python -m grpo.init owner/name --split train --held-out test               a data set of the Hub, held out by its own split
  python -m grpo.init train.jsonl.gz --held-out test.jsonl.gz                rows that are held out already
  python -m grpo.init prompts.jsonl --reward trl:rewards.py:correct          your reward function as it is, also without answers
  python -m grpo.init data.jsonl --extends from_trl.yaml                     settings of a config made by grpo.config from-trl

It reads JSON Lines, a JSON array, CSV, Parquet, each also as .gz, .bz2, .xz or .zst, and folders of them or of Hugging
Face's datasets; rows with messages, conversations, prompt and completion, input and
output, instruction and response, question and answer, text and label, and their like. Nothing is written unless every
reference earns full reward and a dry run passes.
"""
_MANY = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m grpo.init`; 0 written, 2 something of the data must change first."""
    return run_command(lambda: run(make_parser().parse_args(arguments)))


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.init",
        "Turn your own data into everything a run needs: rows, a held-out split, a schema, rewards with reasons, a config.",
        EXAMPLES,
    )
    parser.add_argument("data", help="a file or a folder of rows, or a Hub data set as owner/name")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: a folder of the data's name)")
    parser.add_argument("--prompt", type=_split_names, default=[], metavar="COLUMN,...", help="what is asked")
    parser.add_argument("--reference", type=_split_names, default=[], metavar="COLUMN,...", help="the right answer")
    parser.add_argument("--system", metavar="TEXT", help="a system turn for every row; '' for none at all")
    parser.add_argument("--task", metavar="NAME", help="the task's name (default: that of the data)")
    parser.add_argument(
        "--reward", action="append", default=[], metavar="NAME[:option=value,...]",
        help="a reward to use instead of the proposed ones; repeat for several: trl:FILE.py:FUNCTION, verl:FILE.py:FUNCTION, a "
        "built-in one or a plugin's; weight=2 among the options is its weight",
    )  # fmt: skip
    parser.add_argument("--model", help="the model to be trained (default: a small Qwen2.5, or one of Portuguese)")
    parser.add_argument(
        "--extends", type=Path, metavar="FILE", help="a config whose settings stand, such as one of from-trl"
    )
    parser.add_argument("--held-out-rows", type=int, metavar="N", help="rows to hold out (default: a fifth, 40 to 320)")
    parser.add_argument("--held-out", metavar="FILE", help="rows that are held out already: a file, or another split")
    parser.add_argument("--seed", type=int, default=42, help="of the split and of the run (default: 42)")
    parser.add_argument("--split", help="of a Hub data set or a folder (default: train)")
    parser.add_argument("--subset", help="of a Hub data set")
    parser.add_argument("--drop", action="store_true", help="leave unusable rows out; they go into left_out.jsonl")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    return parser


def run(options: argparse.Namespace) -> int:
    from callbacks.progress import Progress
    from grpo.data.sources import read_source
    from grpo.init.columns import choose_columns, make_rows, name_task, unify_records
    from grpo.init.config_text import Base, read_base
    from grpo.init.databases import make_databases, place_databases, tell_databases
    from grpo.init.given_rewards import take_rewards
    from grpo.init.prepared import Preparation, check_free, shorten
    from grpo.init.proposals import propose_rewards, sort_by_kind
    from grpo.init.summary import summarise, write_lines

    if options.held_out_rows is not None and options.held_out_rows < 1:
        raise UserError(
            f"--held-out-rows {options.held_out_rows}: expected at least 1; by default a fifth of the rows, between 40 and 320"
        )
    if options.held_out and options.held_out_rows:
        raise UserError("--held-out and --held-out-rows: give one of the two")
    name = name_task(options.data)
    folder = options.out or Path(name if name != "default" else "my_data")
    config_name = f"{name if name != 'default' else 'my_data'}.yaml"
    check_free(folder, config_name, force=options.force)
    base = read_base(options.extends, folder) if options.extends else Base()
    if Path(options.data).expanduser().is_file():
        refuse_idle(options, "of a Hub data set or a folder, and this is a file; leave it out", split=None, subset=None)
    found = unify_records(read_source(options.data, split=options.split or "train", subset=options.subset))
    if not found.records:
        raise UserError(found.problems or [f"{options.data}: no rows"])
    progress = Progress(stream=sys.stderr, quiet=len(found.records) <= _MANY, line_seconds=5)
    choice = choose_columns(found, options.prompt, options.reference, answered=not options.reward)
    task = options.task or name
    rows = make_rows(found, choice, task=task, keep_answers=bool(options.reward))
    apart: frozenset[str] = frozenset()
    if options.held_out:
        rows, apart = _add_held_out(options, found, choice, rows, task)
    if not rows.examples:
        raise UserError([*shorten(found.problems + rows.problems), f"{options.data}: no row can be used"])
    examples, kinds = sort_by_kind(rows.examples)
    problems = found.problems + rows.problems
    placed = place_databases(examples, kinds, options.data, rows.lines, folder)
    examples = placed.rows
    problems += [f"{rows.lines[row_id]}: {said}" for row_id, said in placed.unfit.items()]
    if not examples:
        raise UserError([*shorten(problems), f"{options.data}: no row can be used"])
    databases = None if options.reward else make_databases(examples, kinds)
    if databases is not None:
        examples = databases.rows
        problems = problems + [f"{rows.lines[row_id]}: {said}" for row_id, said in databases.unfit.items()]
    proposal = propose_rewards(examples, kinds)
    if databases is not None and databases.files:
        proposal.notes.append(tell_databases(databases))
    if options.reward:
        proposal = take_rewards(options.reward, proposal, folder)
    made = {} if databases is None else databases.files
    preparation = Preparation(options, rows, choice, examples, apart, proposal, base, problems, made)
    prepared = preparation.prepare(folder, config_name, progress)
    summary = summarise(options, found, prepared, folder, folder / config_name)
    if options.json:
        print_json(summary)
    else:
        print(show_commands(make_harmless("\n".join(write_lines(summary)), 100_000, one_line=False)))
    return 0


def _add_held_out(
    options: argparse.Namespace, found: FoundRecords, choice: ColumnChoice, rows: MadeRows, task: str
) -> tuple[MadeRows, frozenset[str]]:
    """The rows with those of `--held-out` beside them, and the ids of the latter."""
    from grpo.data.sources import read_source
    from grpo.init.columns import make_rows, unify_records

    if Path(options.held_out).expanduser().is_file():
        other = read_source(options.held_out)
    elif Path(options.data).expanduser().is_file():
        raise UserError(f"--held-out {options.held_out}: no such file; give the file of the rows that are held out")
    else:
        other = read_source(options.data, split=options.held_out, subset=options.subset)
    other = unify_records(other)
    made = make_rows(other, choice, task=task, keep_answers=bool(options.reward))
    mark = "held-out-" if {row.id for row in rows.examples} & {row.id for row in made.examples} else ""
    apart = [replace(row, id=f"{mark}{row.id}") for row in made.examples]
    if not apart:
        raise UserError([*(other.problems + made.problems)[:20], f"--held-out {options.held_out}: no row can be used"])
    lines = {f"{mark}{row_id}": where for row_id, where in made.lines.items()}
    found.notes += [note for note in other.notes if note not in found.notes]
    together = MadeRows(
        [*rows.examples, *apart], {**rows.lines, **lines},
        [*rows.problems, *other.problems, *made.problems], list(dict.fromkeys([*rows.notes, *made.notes])),
    )  # fmt: skip
    return together, frozenset(row.id for row in apart)


def _split_names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
