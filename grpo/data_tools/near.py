"""Near duplicates of a data set: which row each row nearly repeats, for `recompensa data dedup --near`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import orjson

from grpo.data.records import DataRecord, read_records
from grpo.data_tools.conversation import read_dialogue
from grpo.data_tools.filter import report
from grpo.data_tools.options import writing
from rewards.audit.near_duplicates import THRESHOLDS, group_near_duplicates
from rewards.errors import UserError
from rewards.screen.command_line import DONE
from rewards.types import Example


def run_near_dedup(options: argparse.Namespace) -> int:
    """Keep the first row of each group of near duplicates.

    The texts are held in memory, unlike in the other commands: about their own size and 1 KB a row.
    """
    threshold = options.near
    if not THRESHOLDS[0] <= threshold <= 1:
        raise UserError(f"--near {threshold:g}: a similarity from {THRESHOLDS[0]:g} to 1 is allowed")
    examples = []
    for record in read_records(options.sources):
        dialogue = read_dialogue(_values(record))
        text = dialogue.asked if options.by == "prompt" else f"{dialogue.asked}\n{dialogue.answer}"
        examples.append(Example(record.where, "", [{"role": "user", "content": text}], None))

    def say(done: int) -> None:
        if done and sys.stderr.isatty():
            print(f"\rcompared {done:,} of {len(examples):,}", end="", file=sys.stderr, flush=True)

    groups = group_near_duplicates(examples, threshold, say)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    kept, reasons = 0, Counter[str]()
    what = "prompt" if options.by == "prompt" else "prompt and answer"
    with writing(options.out) as write, writing(options.removed) as remove:
        for place, record in enumerate(read_records(options.sources)):
            if groups[place] == place:
                kept += 1
                write(record.line())
                continue
            reason = f"nearly the {what} of an earlier row"
            reasons[reason] += 1
            remove(
                orjson.dumps(
                    {**_values(record), "removed_because": [reason], "removed_from": record.where,
                     "duplicate_of": examples[groups[place]].id}
                ) + b"\n"
            )  # fmt: skip
    report(kept, reasons, options.out, as_json=options.json)
    return DONE


def _values(record: DataRecord) -> dict[str, object]:
    if record.values is None:
        raise UserError(f"{record.where}: {record.problem}; python -m grpo.data validate lists all such rows")
    return record.values
