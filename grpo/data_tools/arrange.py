"""`recompensa data merge | dedup | split | upsample | mix | wrap`: rows put together, taken apart and drawn again."""

from __future__ import annotations

import argparse
import random
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from grpo.data.records import DataRecord, read_records
from grpo.data_tools.conversation import fingerprint, read_column, read_dialogue, share_of, spell
from grpo.data_tools.filter import report
from grpo.data_tools.options import add_json, add_out, add_seed, add_sources, make_tool_parser, read_shares, writing
from rewards.errors import UserError
from rewards.row_forms.columns import unify_form
from rewards.screen.command_line import DONE, print_json

MERGE = """examples:
  python -m grpo.data merge a.jsonl b.csv 'shards/*.parquet' --out all.jsonl --mark
"""
DEDUP = """examples:
  python -m grpo.data dedup all.jsonl --out once.jsonl             the same prompt and answer, whatever case and spacing
  python -m grpo.data dedup all.jsonl --out once.jsonl --by prompt
  python -m grpo.data dedup all.jsonl --out once.jsonl --near 0.95 --removed twins.jsonl     rows that differ in a word too
"""
SPLIT = """examples:
  python -m grpo.data split all.jsonl --out folder --shares train=0.8,validation=0.1,test=0.1
  python -m grpo.data split all.jsonl --out folder --shares train=0.9,test=0.1 --group customer
  python -m grpo.data split all.jsonl --out folder --shares train=0.95,test=0.05 \\
      --hold-out sector=0.1 --hold-out use_case=0.1 --hold-out @template=0.1 --hold-out sector=mining
"""
UPSAMPLE = """examples:
  python -m grpo.data upsample train.jsonl --out up.jsonl --column lifecycle_operation --except create --share 0.16
"""
MIX = """examples:
  python -m grpo.data mix --part weak.jsonl=0.7 --part train.jsonl=0.3 --rows 13829 --out stage2.jsonl
"""
WRAP = """examples:
  python -m grpo.data wrap train.jsonl --out multi.jsonl --rows 1281 --turns 2 --group target_layer
"""


def _as_line(values: dict[str, Any]) -> bytes:
    return orjson.dumps(values) + b"\n"


def _good(record: DataRecord) -> dict[str, Any]:
    if record.values is None:
        raise UserError(f"{record.where}: {record.problem}; python -m grpo.data validate lists all such rows")
    return record.values


# -- merge and dedup ---------------------------------------------------------------------------------------------------


def make_merge_parser() -> Any:
    parser = make_tool_parser("merge", "Put the rows of several sources into one file, ids kept unique.", MERGE)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--mark", action="store_true", help="write each row's file into a column `source`")
    add_json(parser)
    return parser


def run_merge(options: argparse.Namespace) -> int:
    seen: set[int] = set()
    counts: Counter[str] = Counter()
    renamed = 0
    with writing(options.out) as write:
        for record in read_records(options.sources):
            values = _good(record)
            counts[record.source] += 1
            row_id = values.get("id")
            if isinstance(row_id, str):
                if hash(row_id) in seen:
                    row_id = f"{Path(record.source).stem}-{record.number}-{row_id}"
                    values, renamed = {**values, "id": row_id}, renamed + 1
                    record = DataRecord(record.source, record.number, values)
                seen.add(hash(row_id))
            write(_as_line({**values, "source": record.source}) if options.mark else record.line())
    if options.json:
        print_json({"rows": counts.total(), "sources": dict(counts), "renamed_ids": renamed})
    else:
        more = f", {renamed:,} ids renamed that two sources had" if renamed else ""
        print(f"{options.out}: {counts.total():,} rows of {len(counts)} sources{more}")
    return DONE


def make_dedup_parser() -> Any:
    parser = make_tool_parser("dedup", "Keep the first of rows that are the same.", DEDUP)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--by", choices=("row", "prompt"), default="row", help="prompt and answer, or the prompt alone")
    parser.add_argument(
        "--near", type=float, metavar="SHARE",
        help="also rows at least this similar, 0.9 to 1 (Jaccard similarity of runs of characters), directly or through others",
    )  # fmt: skip
    parser.add_argument(
        "--removed", type=Path, metavar="FILE", help="the other rows, with duplicate_of and removed_from"
    )
    add_json(parser)
    return parser


def run_dedup(options: argparse.Namespace) -> int:
    if options.near is not None:
        from grpo.data_tools.near import run_near_dedup

        return run_near_dedup(options)
    seen: set[int] = set()
    kept, reasons = 0, Counter[str]()
    reason = f"the same {'prompt and answer' if options.by == 'row' else 'prompt'} as an earlier row"
    with writing(options.out) as write, writing(options.removed) as remove:
        for record in read_records(options.sources):
            dialogue = read_dialogue(values := _good(record))
            mark = fingerprint(dialogue.asked, dialogue.answer if options.by == "row" else "")
            if mark in seen:
                reasons[reason] += 1
                remove(_as_line({**values, "removed_because": [reason], "removed_from": record.where}))
                continue
            seen.add(mark)
            kept += 1
            write(record.line())
    report(kept, reasons, options.out, as_json=options.json)
    return DONE


# -- split -------------------------------------------------------------------------------------------------------------


def make_split_parser() -> Any:
    parser = make_tool_parser(
        "split", "Split rows by group, and hold whole values of columns out of training (out of distribution).", SPLIT
    )
    add_sources(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files, one a split")
    parser.add_argument("--shares", required=True, help="such as train=0.8,validation=0.1,test=0.1")
    parser.add_argument("--group", metavar="COLUMN", help="rows of one value stay together (default: the same prompt)")
    parser.add_argument(
        "--hold-out", action="append", default=[], metavar="COLUMN=SHARE|VALUE",
        help="rows of a share of the column's values, or of one value, go to test_COLUMN_ood; @template is the phrasing",
    )  # fmt: skip
    add_seed(parser)
    add_json(parser)
    return parser


def run_split(options: argparse.Namespace) -> int:
    shares = read_shares(options.shares, "--shares")
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise UserError(f"--shares {options.shares}: they add up to {total:g}; write shares that add up to 1")
    held = [_read_hold_out(text) for text in options.hold_out]
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, Any] = {}
        names = [*shares, *(f"test_{column.strip('@')}_ood" for column, _, _ in held)]
        for name in dict.fromkeys(names):
            writers[name] = stack.enter_context(writing(options.out / f"{name}.jsonl"))
        for record in read_records(options.sources):
            values = _good(record)
            name = _choose_split(values, shares, held, options.group, options.seed)
            counts[name] += 1
            writers[name](record.line())
    if options.json:
        print_json({name: {"rows": counts[name], "file": str(options.out / f"{name}.jsonl")} for name in writers})
    else:
        for name in writers:
            print(
                f"{options.out / f'{name}.jsonl'}: {counts[name]:,} rows, {counts[name] / max(1, counts.total()):.1%}"
            )
    return DONE


def _read_hold_out(text: str) -> tuple[str, float | None, str]:
    column, equals, value = text.partition("=")
    if not equals or not column or not value:
        raise UserError(f"--hold-out {text}: not COLUMN=SHARE or COLUMN=VALUE, such as sector=0.1 or sector=mining")
    try:
        share = float(value)
    except ValueError:
        return column, None, value
    return (column, share, value) if 0 < share < 1 else (column, None, value)


def _choose_split(
    values: dict[str, Any],
    shares: dict[str, float],
    held: list[tuple[str, float | None, str]],
    group: str | None,
    seed: int,
) -> str:
    """The split of a row follows from its values alone, so that no row needs another."""
    for column, share, wanted in held:
        value = spell(read_column(values, column))
        if value == wanted if share is None else share_of(seed, f"{column}\x00{value}") < share:
            return f"test_{column.strip('@')}_ood"
    key = str(read_column(values, group)) if group else str(fingerprint(read_dialogue(values).asked))
    place, reached = share_of(seed + 1, key), 0.0
    for name, share in shares.items():
        reached += share
        if place < reached:
            return name
    return next(reversed(shares))


# -- upsample, mix, wrap -----------------------------------------------------------------------------------------------


def make_upsample_parser() -> Any:
    parser = make_tool_parser("upsample", "Repeat rare rows of training, each copy marked.", UPSAMPLE)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--column", required=True, help="the column whose rare values are repeated")
    parser.add_argument("--value", action="append", default=[], help="the values to repeat (repeatable)")
    parser.add_argument("--except", dest="but", action="append", default=[], help="repeat all values but these")
    parser.add_argument("--share", type=float, required=True, help="share of the repeated rows in the result, below 1")
    add_seed(parser)
    add_json(parser)
    return parser


def run_upsample(options: argparse.Namespace) -> int:
    if not 0 < options.share < 1:
        raise UserError(f"--share {options.share:g}: a share above 0 and below 1 is allowed")
    if bool(options.value) == bool(options.but):
        raise UserError("upsample: give either --value or --except, to say which rows are repeated")

    def is_rare(values: dict[str, Any]) -> bool:
        value = spell(read_column(values, options.column))
        return value in options.value if options.value else value not in options.but

    rare = rows = 0
    for record in read_records(options.sources):
        rows, rare = rows + 1, rare + is_rare(_good(record))
    if not rare:
        raise UserError(
            f"--column {options.column}: there is no row to repeat; python -m grpo.data stats --by shows its values"
        )
    wanted = max(rare, round(options.share / (1 - options.share) * (rows - rare)))
    rng, done = random.Random(options.seed), 0
    extra = set(rng.sample(range(rare), wanted % rare))
    with writing(options.out) as write:
        for record in read_records(options.sources):
            write(record.line())
            if not is_rare(values := _good(record)):
                continue
            for copy in range(1, wanted // rare + (done in extra)):
                row_id = str(values.get("id", record.number))
                write(_as_line({**values, "id": f"{row_id}~{copy}", "upsampled_from": row_id}))
            done += 1
    share = wanted / (rows - rare + wanted)
    if options.json:
        print_json({"rows": rows - rare + wanted, "copies": wanted - rare, "share": share, "share_before": rare / rows})
    else:
        print(f"{options.out}: {wanted - rare:,} copies marked upsampled_from; share {rare / rows:.2%} -> {share:.2%}")
    return DONE


def make_mix_parser() -> Any:
    parser = make_tool_parser("mix", "Draw rows from several sources in given shares, such as a replay mix.", MIX)
    parser.add_argument("--part", action="append", required=True, metavar="SOURCE=SHARE", help="repeatable")
    parser.add_argument("--rows", type=int, help="rows of the result (default: as many as no part needs a row twice)")
    add_out(parser)
    add_seed(parser)
    add_json(parser)
    return parser


def run_mix(options: argparse.Namespace) -> int:
    parts = []
    for text in options.part:
        source, _, number = text.rpartition("=")
        try:
            parts.append((source, float(number)))
        except ValueError:
            raise UserError(f"--part {text}: not SOURCE=SHARE, such as weak.jsonl=0.7") from None
    if not all(share > 0 for _, share in parts):
        raise UserError("--part: shares above 0 are allowed")
    total = sum(share for _, share in parts)
    sizes = [sum(1 for _ in read_records([source])) for source, _ in parts]
    rows = options.rows or int(min(size * total / share for size, (_, share) in zip(sizes, parts, strict=True)))
    wanted = [round(rows * share / total) for _, share in parts]
    for (source, _), size, count in zip(parts, sizes, wanted, strict=True):
        if count > size:
            raise UserError(
                f"--part {source}: {count:,} rows are asked for and it has {size:,}; lower --rows, or upsample it"
            )
    rng = random.Random(options.seed)
    with writing(options.out) as write, tempfile.TemporaryFile(dir=options.out.parent) as drawn:
        # Where each drawn row begins and ends: of the rows themselves one at a time is in memory.
        ends = array("Q", [0])
        for line in _draw(parts, sizes, wanted, rng):
            drawn.write(line)
            ends.append(ends[-1] + len(line))
        order = array("Q", range(len(ends) - 1))
        rng.shuffle(order)
        for place in order:
            drawn.seek(ends[place])
            write(drawn.read(ends[place + 1] - ends[place]))
    found = {source: count for (source, _), count in zip(parts, wanted, strict=True)}
    if options.json:
        print_json({"rows": sum(wanted), "parts": found})
    else:
        print(
            f"{options.out}: {sum(wanted):,} rows, "
            + ", ".join(f"{count:,} of {name}" for name, count in found.items())
        )
    return DONE


def _draw(parts: list[tuple[str, float]], sizes: list[int], wanted: list[int], rng: random.Random) -> Iterator[bytes]:
    """So many rows of each part, every choice of them equally likely, marked and with ids that no other has."""
    seen: set[int] = set()
    for (source, _), size, count in zip(parts, sizes, wanted, strict=True):
        for place, record in enumerate(read_records([source])):
            # Knuth's selection sampling: a row is taken with the chance of those still needed among those still to come.
            if rng.random() * (size - place) >= count:
                continue
            count -= 1
            values = _good(record)
            row_id = str(values.get("id", record.number))
            if hash(row_id) in seen:
                row_id = f"{Path(source).stem}-{record.number}-{row_id}"
            seen.add(hash(row_id))
            yield _as_line({**values, "id": row_id, "mixed_from": source})


def make_wrap_parser() -> Any:
    parser = make_tool_parser("wrap", "Make multi-turn rows: another row's conversation before the question.", WRAP)
    add_sources(parser)
    add_out(parser)
    parser.add_argument("--rows", type=int, required=True, help="multi-turn rows to make")
    parser.add_argument(
        "--turns", type=int, default=2, help="questions of a conversation, the last one answered (default: 2)"
    )
    parser.add_argument("--group", metavar="COLUMN", help="take all turns from rows of one value")
    add_seed(parser)
    add_json(parser)
    return parser


def run_wrap(options: argparse.Namespace) -> int:
    if options.turns < 2 or options.rows < 1:
        raise UserError("wrap: --turns of 2 or more and --rows of 1 or more are allowed")
    sizes: Counter[str] = Counter(group for group, _ in _read_wrappable(options.sources, options.group))
    usable = [group for group, size in sizes.items() if size >= options.turns]
    if not usable:
        raise UserError(f"wrap: no group has {options.turns} rows of messages; give more rows, or leave --group out")
    rng, weights = random.Random(options.seed), [sizes[group] for group in usable]
    drawn = []
    for _ in range(options.rows):
        group = rng.choices(usable, weights=weights)[0]
        drawn.append([(group, place) for place in rng.sample(range(sizes[group]), options.turns)])
    # A second reading keeps the rows that were drawn, and no others.
    needed, kept, met = {key for keys in drawn for key in keys}, {}, Counter[str]()
    for group, values in _read_wrappable(options.sources, options.group):
        if (key := (group, met[group])) in needed:
            kept[key] = values
        met[group] += 1
    with writing(options.out) as write:
        for number, keys in enumerate(drawn, 1):
            chosen = [kept[key] for key in keys]
            first, last = chosen[0]["messages"], chosen[-1]
            turns = [turn for turn in first if turn.get("role") == "system"]
            for row in chosen:
                turns += [turn for turn in row["messages"] if turn.get("role") != "system"]
            of = [str(row.get("id", "")) for row in chosen]
            write(_as_line({**last, "id": f"multi-{number:05d}", "messages": turns, "wrapped_from": of}))
    if options.json:
        print_json({"rows": options.rows, "turns": options.turns})
    else:
        print(f"{options.out}: {options.rows:,} rows of {options.turns} questions each, marked wrapped_from")
    return DONE


def _read_wrappable(sources: list[str], group: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows that have messages, whatever form they came in, each with the value of its group."""
    for record in read_records(sources):
        values = unify_form(_good(record))
        if "messages" not in values and isinstance(values.get("prompt"), list):
            answer = {"role": "assistant", "content": values.get("reference") or ""}
            values = {key: value for key, value in values.items() if key not in ("prompt", "reference")} | {
                "messages": [*values["prompt"], answer]
            }
        if isinstance(values.get("messages"), list) and len(values["messages"]) >= 2:
            yield str(read_column(values, group)) if group else "", values
