"""Rows that a run could not use, taken out of a file line by line, each with its reasons; the others stay as they are."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.audit.near_duplicates import THRESHOLDS, find_near_duplicates
from rewards.audit.references import gold_self_test
from rewards.errors import UserError
from rewards.rows import Parsed
from rewards.types import Example
from rewards.writing.files import replacing

if TYPE_CHECKING:
    from rewards.host.scoring import RewardHost


class Dropped(NamedTuple):
    """A line that is left out: its number in the file, what stands there, and why."""

    number: int
    raw: bytes
    reasons: list[str]

    def to_json(self) -> dict[str, Any]:
        """`row` is the line's JSON; where it is none, `text` holds the line."""
        found: dict[str, Any] = {"line": self.number, "reasons": self.reasons}
        try:
            return {**found, "row": json.loads(self.raw)}
        except (ValueError, RecursionError):
            return {**found, "text": self.raw.decode("utf-8", "replace").rstrip("\n")}


def choose_dropped(
    host: RewardHost, parsed: Sequence[Parsed], held_out: Sequence[Example] = ()
) -> tuple[list[Parsed], list[Dropped]]:
    """The lines that are kept and those that are left out, both in the file's order.

    Left out is what the reader refuses, what does not earn full reward as its own answer, and what a held-out row repeats:
    the same prompt, or nearly so with the same answer.
    """
    reasons: dict[int, list[str]] = {line.number: list(line.problems) for line in parsed if line.problems}
    usable = {line.example.id: line for line in parsed if line.example is not None}
    rows = [line.example for line in usable.values() if line.example is not None]
    unfit: dict[str, list[str]] = defaultdict(list)
    for failure in gold_self_test(host, [row for row in rows if row.reference is not None]):
        unfit[failure.example_id].append(str(failure))
    for pair in find_near_duplicates(rows, held_out):
        if pair.similarity == 1.0 or (pair.same_answer and pair.similarity >= THRESHOLDS[1]):
            unfit[pair.train.id].append(
                f"held-out row '{pair.held_out.id}' has this prompt (similarity {pair.similarity:.2f})"
            )
    for example_id, lines in unfit.items():
        reasons[usable[example_id].number] = lines
    kept = [line for line in parsed if line.number not in reasons]
    return kept, [Dropped(line.number, line.raw, reasons[line.number]) for line in parsed if line.number in reasons]


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """The lines as a file that appears whole or not at all; raises UserError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, settle=True) as file:
            file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in lines)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
