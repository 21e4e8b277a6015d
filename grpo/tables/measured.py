"""Recorded runs with every metric of their answers: what a run did not store is measured from its completions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path

import orjson

from grpo.compare.reading import make_cells, read_recorded
from grpo.compare.recorded import CROSSED, SPLIT_COLUMNS, Key, RecordedRun, Row
from grpo.evaluate.metrics import Measurer
from rewards.rows import make_example
from rewards.types import Completion

MARK = "parse"
"""A metric that rows of `recompensa evaluate` have and rows of a run have not."""


def read_measured(arguments: Sequence[str], stage: str | None = None) -> list[RecordedRun]:
    """The runs that the arguments name, as a comparison reads them, with the metrics of an evaluation and groups by
    split x layer. Raises UserError with everything that cannot be read."""
    return [_with_groups(_measure(run)) for run in read_recorded(arguments, stage)]


def _measure(run: RecordedRun) -> RecordedRun:
    if not run.rows or any(MARK in row.values for row in run.rows.values()):
        return run
    measurer, place = Measurer(), Path(run.place)
    samples: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number, line in enumerate(place.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        row = orjson.loads(line)
        example = make_example(row, f"{place}:{number}", number, None)
        found = measurer.measure(example, Completion.from_row(row), row.get("scores"))
        for metric, value in found.items():
            samples[str(row["task"]), str(row["id"])][metric].append(value)
    rows = {
        key: replace(row, values={**row.values, **{name: fsum(v) / len(v) for name, v in samples[key].items()}})
        for key, row in run.rows.items()
    }
    return replace(run, rows=rows, cells=make_cells(rows))


def _with_groups(run: RecordedRun) -> RecordedRun:
    if not run.rows:
        return run
    rows = {key: replace(row, groups=(*row.groups, *_cross(row))) for key, row in run.rows.items()}
    return replace(run, rows=rows, cells=make_cells(rows))


def _cross(row: Row) -> list[str]:
    named = dict(group.split(":", 1) for group in row.groups)
    if not all(kind in named for kind in SPLIT_COLUMNS):
        return []
    return [f"{CROSSED}:{' x '.join(named[kind] for kind in SPLIT_COLUMNS)}"]
