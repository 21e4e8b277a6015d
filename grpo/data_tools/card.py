"""`recompensa data card`: what a data set is, as a page of Markdown with the Hub's head."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from grpo.data.records import find_sources
from grpo.data_tools.options import add_out, add_sources, add_tokenizer, make_counter, make_tool_parser
from grpo.data_tools.stats import collect, summarise
from rewards.screen.command_line import DONE
from rewards.writing.files import write_whole

EXAMPLES = """examples:
  python -m grpo.data card splits/*.jsonl --out README.md --title "TMF921 intents" --license apache-2.0 --by target_layer
"""


def make_parser() -> Any:
    parser = make_tool_parser("card", "Write a data card: splits, sizes, lengths, columns, structures.", EXAMPLES)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--title", required=True, help="the name of the data set")
    parser.add_argument("--license", default="unknown", help="its licence, by the Hub's short name")
    parser.add_argument("--by", action="append", default=[], metavar="COLUMN", help="a table of a column's values")
    add_tokenizer(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    counter, source = make_counter(options.tokenizer)
    found = {
        name: summarise(collect([name], by=options.by, structures=True, counter=counter), limits=[2048], tokens=source)
        for name in find_sources(options.sources)
    }
    write_whole(options.out, write_card(options.title, options.license, found).encode())
    print(f"{options.out}: a card of {len(found)} splits")
    return DONE


def write_card(title: str, licence: str, found: dict[str, dict[str, Any]]) -> str:
    """The page; `found` are the statistics of each split, by its source."""
    names = {source: Path(source).stem if not source.startswith("hub:") else source for source in found}
    lines = ["---", f"license: {licence}", "configs:", "- config_name: default", "  data_files:"]
    for source, name in names.items():
        lines += [f"  - split: {name}", f"    path: {Path(source).name}"]
    lines += [
        "---",
        "",
        f"# {title}",
        "",
        "| split | rows | tokens, mean | p99 | within 2,048 | JSON structures | nulls |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for source, each in found.items():
        both = each["tokens"]["both"] or {"mean": 0, "p99": 0}
        structures = each["structures"]["different"] if each["structures"] else 0
        nulls = sum(each["missing_or_null"].values())
        lines.append(
            f"| {names[source]} | {each['rows']:,} | {both['mean']} | {both['p99']} | {each['within']['2048']:.2%} | "
            f"{structures} | {nulls} |"
        )
    first = next(iter(found.values()))
    lines += ["", f"Tokens are counted by {first['tokens_counted_by']}.", ""]
    for column in first["columns"]:
        values = sorted({value for each in found.values() for value in each["columns"][column]})
        lines += [f"## {column}", "", f"| value | {' | '.join(names.values())} |", f"|---|{'---|' * len(names)}"]
        for value in values[:200]:
            cells = [each["columns"][column].get(value, {"rows": 0})["rows"] for each in found.values()]
            lines.append(f"| {value.replace('|', ' ')} | {' | '.join(f'{cell:,}' for cell in cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
