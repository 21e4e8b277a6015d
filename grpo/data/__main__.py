"""`python -m grpo.data`: work on data files, or build the shop and show what was written."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grpo.data.rows import iterate_rows
from grpo.data.section import TASKS, ShopSection
from grpo.data.shop import ShopFiles, build_shop
from rewards.errors import UserError
from rewards.screen.command_line import DONE, CommandParser, print_json, run_command
from rewards.screen.harmless_text import make_harmless
from rewards.screen.invalid import explain_flags
from rewards.screen.nearest import nearest
from rewards.types import Example

_SAMPLES = 2
_EXAMPLES = """commands over data files (python -m grpo.data COMMAND --help):
  stats, validate, filter, merge, split, dedup, upsample, mix, wrap, audit, card, weak, contrast; tmf921, tool_calls, personas generate rows; without one, or `shop`: the shop
examples:
  python -m grpo.data stats train.jsonl --by task       what a file holds
  python -m grpo.data --out shop                        1,480 training and 320 held-out rows, and commerce.db
  python -m grpo.data --out shop --seed 8 --json        another shop; what was written, as JSON
  python -m grpo.data --out shop --olist ~/olist        questions and figures from the nine public Olist CSV files
  python -m grpo.data --out shop --size small --instructions short --warmup-rows 6000
                                                        rows for the embedded policy, with 6,000 more for its warm-up
"""


# Each with the module, the functions that parse and run it, and what it does.
TOOLS = {
    "stats": ("stats", "make_parser", "run", "rows, roles, lengths, shares of columns, JSON structures"),
    "validate": ("validate", "make_parser", "run", "whether a run would read the rows"),
    "filter": ("filter", "make_parser", "run", "keep rows by language, length, quality, tokens, columns"),
    "merge": ("arrange", "make_merge_parser", "run_merge", "several sources as one file"),
    "split": ("arrange", "make_split_parser", "run_split", "by group, and out of distribution"),
    "dedup": ("arrange", "make_dedup_parser", "run_dedup", "the same row once"),
    "upsample": ("arrange", "make_upsample_parser", "run_upsample", "repeat rare rows, marked"),
    "mix": ("arrange", "make_mix_parser", "run_mix", "draw from several sources by shares, as a replay mix"),
    "audit": ("audit", "make_parser", "run", "references scored, near duplicates, derivability, of any source"),
    "tmf921": ("generate", "make_tmf921_parser", "run_tmf921", "a seeded TMF921 data set with its splits"),
    "tool_calls": ("generate", "make_call_parser", "run_calls", "seeded rows of function calling in three forms"),
    "personas": ("generate", "make_persona_parser", "run_personas", "seeded rows of several voices, with contrasts"),
    "contrast": ("contrast", "make_parser", "run", "other personas' answers to the same question, as a column"),
    "weak": ("weak", "make_parser", "run", "the weak tasks of an evaluation, for stage 2"),
    "card": ("card", "make_parser", "run", "a data card in Markdown"),
    "wrap": ("arrange", "make_wrap_parser", "run_wrap", "multi-turn rows out of single ones"),
}


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; 0, or 2 where the user made a mistake."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in TOOLS:
        module, parse, work, _ = TOOLS[given[0]]
        tool = import_module(f"grpo.data_tools.{module}")
        return run_command(lambda: getattr(tool, work)(getattr(tool, parse)().parse_args(given[1:])))
    return run_command(lambda: run(_parse(given)))


def _parse(given: list[str]) -> argparse.Namespace:
    if given and not given[0].startswith("-") and given[0] != "shop":
        raise UserError(f"{given[0]}: no such command of 'python -m grpo.data'{nearest(given[0], ['shop', *TOOLS])}")
    return make_parser().parse_args(given[1:] if given and given[0] == "shop" else given)


def run(options: argparse.Namespace) -> int:
    section = _make_section(options)
    try:
        files = build_shop(options.out, section)
        summary = _summarise(files)
    except OSError as error:
        raise UserError(f"{options.out}: cannot be written ({error.strerror}); give another directory") from None
    if options.json:
        print_json(summary)
    else:
        _show(files, summary)
    return DONE


def make_parser() -> CommandParser:
    parser = CommandParser(
        "python -m grpo.data",
        "Build the shop: a database of orders, and training and held-out rows of the four tasks.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write (new, empty, or a shop)"
    )
    parser.add_argument("--seed", type=int, help="the seed of everything that is generated (default 7)")
    parser.add_argument("--olist", type=Path, metavar="DIR", help="folder of the nine Olist CSV files")
    parser.add_argument("--size", choices=("full", "small"), help="how many words it draws from (default full)")
    parser.add_argument("--instructions", choices=("full", "short"), help="length of the system prompts (default full)")
    parser.add_argument("--warmup-rows", type=int, metavar="N", help="extra rows for the embedded policy (default 0)")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    return parser


def _make_section(options: argparse.Namespace) -> ShopSection:
    given = {
        "seed": options.seed,
        "olist": options.olist,
        "size": options.size,
        "instructions": options.instructions,
        "warmup_rows": options.warmup_rows,
    }
    try:
        return ShopSection(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise UserError(explain_flags(error, ShopSection)) from None


def _summarise(files: ShopFiles) -> dict[str, Any]:
    summary: dict[str, Any] = {"database": str(files.database), "manifest": str(files.manifest), "files": {}}
    summary["orders"] = json.loads(files.manifest.read_text(encoding="utf-8"))["orders"]
    samples: dict[str, list[dict[str, Any]]] = {task: [] for task in TASKS}
    for name, path in (("train", files.train), ("held_out", files.held_out), ("warmup", files.warmup)):
        if path is None:
            continue
        tasks: Counter[str] = Counter()
        for example in iterate_rows(path):
            tasks[example.task] += 1
            if name == "train" and len(samples[example.task]) < _SAMPLES:
                samples[example.task].append(_sample(example))
        summary["files"][name] = {
            "path": str(path), "rows": tasks.total(), "tasks": {task: tasks[task] for task in TASKS if tasks[task]}
        }  # fmt: skip
    summary["samples"] = {task: rows for task, rows in samples.items() if rows}
    return summary


def _sample(example: Example) -> dict[str, Any]:
    return {"id": example.id, "prompt": example.prompt[-1]["content"], "reference": example.reference}


def _show(files: ShopFiles, summary: dict[str, Any]) -> None:
    print(f"{files.database}  {summary['orders']:,} orders, 9 tables and the view orders_enriched")
    for entry in summary["files"].values():
        shares = ", ".join(f"{count:,} {task}" for task, count in entry["tasks"].items())
        print(f"{entry['path']}  {entry['rows']:,} rows: {shares}")
    for task, rows in summary["samples"].items():
        print(f"\n{task}")
        for row in rows:
            print(make_harmless(f"  {row['prompt']}\n    -> {row['reference']}", 10_000, one_line=False))


if __name__ == "__main__":
    raise SystemExit(main())
