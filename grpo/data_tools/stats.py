"""`recompensa data stats`: counts, lengths, roles, shares of columns and JSON structures of any number of rows."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from grpo.data.records import read_records
from grpo.data_tools.conversation import read_column, read_dialogue, spell, structure_of, told_tools
from grpo.data_tools.options import add_json, add_sources, add_tokenizer, make_counter, make_tool_parser
from rewards.row_forms.columns import name_form
from rewards.screen.command_line import DONE, print_json, show_commands
from rewards.screen.harmless_text import make_harmless

EXAMPLES = """examples:
  python -m grpo.data stats train.jsonl                        rows, roles, lengths, missing values
  python -m grpo.data stats 'shards/*.jsonl' --by target_layer --by lifecycle_operation --structures
  python -m grpo.data stats hub:owner/name@main#train --tokenizer Qwen/Qwen3-8B --limit 2048
"""
_BATCH = 1000
_VALUES = 1000
"""Different values of a column, and JSON structures, that are counted by name; what comes later is counted together."""
OTHER = "(other)"


@dataclass
class DataStats:
    """What was counted; memory grows with the number of different lengths and values, not with rows."""

    rows: int = 0
    bad: int = 0
    forms: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    filled: Counter[str] = field(default_factory=Counter)
    null: Counter[str] = field(default_factory=Counter)
    prompt_lengths: Counter[int] = field(default_factory=Counter)
    answer_lengths: Counter[int] = field(default_factory=Counter)
    whole_lengths: Counter[int] = field(default_factory=Counter)
    columns: dict[str, Counter[str]] = field(default_factory=dict)
    structures: Counter[str] = field(default_factory=Counter)


def make_parser() -> Any:
    parser = make_tool_parser(
        "stats", "Count rows: forms, roles, lengths, missing values, shares of columns.", EXAMPLES
    )
    add_sources(parser)
    parser.add_argument("--by", action="append", default=[], metavar="COLUMN", help="shares of a column's values")
    parser.add_argument("--structures", action="store_true", help="count the JSON structures of the answers")
    parser.add_argument(
        "--limit", type=int, action="append", metavar="N", help="share of rows within this many tokens (default: 2048)"
    )
    add_tokenizer(parser)
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    counter, source = make_counter(options.tokenizer)
    stats = collect(options.sources, by=options.by, structures=options.structures, counter=counter)
    summary = summarise(stats, limits=options.limit or [2048], tokens=source)
    print_json(summary) if options.json else _show(summary)
    return DONE


def collect(sources: list[str], *, by: list[str], structures: bool, counter: Any) -> DataStats:
    """Go through all rows once."""
    stats = DataStats(columns={column: Counter() for column in by})
    # Nearly all rows have the same columns and the same order of roles: counted as one, told apart at the end of a batch.
    columns: Counter[tuple[str, ...]] = Counter()
    roles: Counter[tuple[str, ...]] = Counter()
    waiting: list[tuple[str, str]] = []
    for record in read_records(sources):
        stats.rows += 1
        values = record.values
        if values is None:
            stats.bad += 1
            continue
        stats.forms[name_form(values)] += 1
        columns[tuple(values)] += 1
        if None in values.values():
            stats.null.update([key for key, value in values.items() if value is None])
        dialogue = read_dialogue(values)
        roles[dialogue.roles] += 1
        for column in by:
            counted, name = stats.columns[column], spell(read_column(values, column))
            counted[name if name in counted or len(counted) < _VALUES else OTHER] += 1
        answer = dialogue.answer
        if structures:
            shape = structure_of(answer) or "(no JSON)"
            known = shape in stats.structures or len(stats.structures) < _VALUES
            stats.structures[shape if known else OTHER] += 1
        asked = "\n".join(dialogue.texts[:-1] if answer else dialogue.texts) + told_tools(values, dialogue)
        waiting.append((asked, answer))
        if len(waiting) >= _BATCH:
            _count(stats, waiting, counter)
            _tell_apart(stats, columns, roles)
    _count(stats, waiting, counter)
    _tell_apart(stats, columns, roles)
    stats.filled.subtract(stats.null)
    return stats


def _tell_apart(stats: DataStats, columns: Counter[tuple[str, ...]], roles: Counter[tuple[str, ...]]) -> None:
    for names, count in columns.items():
        stats.filled.update(dict.fromkeys(names, count))
    for spoken, count in roles.items():
        stats.turns[len(spoken)] += count
        for role in spoken:
            stats.roles[role] += count
    columns.clear()
    roles.clear()


def _count(stats: DataStats, waiting: list[tuple[str, str]], counter: Any) -> None:
    asked = counter([prompt for prompt, _ in waiting])
    answered = counter([answer for _, answer in waiting])
    stats.prompt_lengths.update(asked)
    stats.answer_lengths.update(answered)
    stats.whole_lengths.update(map(int.__add__, asked, answered))
    waiting.clear()


def summarise(stats: DataStats, *, limits: list[int], tokens: str) -> dict[str, Any]:
    """The numbers by name."""
    good = max(1, stats.rows - stats.bad)
    keys = sorted({*stats.filled, *stats.null})
    missing = {key: good - stats.filled[key] for key in keys if stats.filled[key] < good}
    return {
        "rows": stats.rows,
        "unreadable": stats.bad,
        "forms": dict(stats.forms.most_common()),
        "roles": dict(stats.roles.most_common()),
        "messages": describe_lengths(stats.turns),
        "tokens_counted_by": tokens,
        "tokens": {
            "prompt": describe_lengths(stats.prompt_lengths),
            "answer": describe_lengths(stats.answer_lengths),
            "both": describe_lengths(stats.whole_lengths),
        },
        "within": {
            str(limit): sum(count for length, count in stats.whole_lengths.items() if length <= limit) / good
            for limit in limits
        },
        "missing_or_null": missing,
        "columns": {
            column: {value: {"rows": count, "share": count / good} for value, count in counted.most_common()}
            for column, counted in stats.columns.items()
        },
        "structures": {
            "different": len(stats.structures),
            "most": [{"rows": count, "structure": shape[:200]} for shape, count in stats.structures.most_common(10)],
        } if stats.structures else None,
    }  # fmt: skip


def describe_lengths(lengths: Counter[int]) -> dict[str, float] | None:
    """Mean and percentiles (nearest rank) of counted lengths; None for none."""
    total = lengths.total()
    if not total:
        return None
    ordered = sorted(lengths.items())
    found: dict[str, float] = {"mean": round(sum(length * count for length, count in ordered) / total, 2)}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
        rank, seen = max(1, -int(-share * total // 1)), 0
        for length, count in ordered:
            seen += count
            if seen >= rank:
                found[name] = length
                break
    return found


def _show(summary: dict[str, Any]) -> None:
    unreadable = f", {summary['unreadable']:,} of them unreadable" if summary["unreadable"] else ""
    print(f"{summary['rows']:,} rows{unreadable}")
    for name in ("forms", "roles"):
        print(f"{name}: " + ", ".join(f"{count:,} {key}" for key, count in summary[name].items()))
    if unknown := summary["forms"].get("unknown"):
        print(
            f"{unknown:,} rows have no prompt and answer that a run reads, and count as empty here: "
            f"{show_commands('python -m grpo.init FILE')} makes rows of other columns"
        )
    print(f"tokens, by {summary['tokens_counted_by']}")
    print("             mean      p50    p95    p99    max")
    for name, row in (("messages", summary["messages"]), *summary["tokens"].items()):
        if row:
            print(f"  {name:<8}{row['mean']:>9.1f}{row['p50']:>9}{row['p95']:>7}{row['p99']:>7}{row['max']:>7}")
    for limit, share in summary["within"].items():
        print(f"within {limit} tokens: {share:.2%}")
    if summary["missing_or_null"]:
        print("missing or null: " + ", ".join(f"{key} {count:,}" for key, count in summary["missing_or_null"].items()))
    for column, values in summary["columns"].items():
        print(f"{make_harmless(column, 60)}: {len(values)} values")
        for value, found in list(values.items())[:40]:
            print(f"  {found['rows']:>9,}  {found['share']:>7.2%}  {make_harmless(value, 80)}")
    if summary["structures"]:
        print(f"JSON structures of the answers: {summary['structures']['different']}")
        for row in summary["structures"]["most"]:
            print(f"  {row['rows']:>9,}  {make_harmless(row['structure'], 90)}")
