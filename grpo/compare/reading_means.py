"""Runs of which only means were recorded: a JSON file with value, n and std by group and metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import fsum, isfinite, sqrt
from pathlib import Path
from typing import Any, TypeGuard

import orjson

from grpo.compare.recorded import ALL, KINDS, RecordedRun, kind_of
from rewards.errors import UserError
from rewards.statistics.changes import Cell, largest_std

FORM = '{"name": ..., "results": {"all": {"field_f1": {"value": 0.79, "n": 1455, "std": 0.2}}, "split:ood": ...}}'
_OWN_KEYS = {"value", "n", "std"}


def read_means(path: Path) -> list[RecordedRun]:
    """The runs of a file; UserError with everything wrong in it.

    The file holds one run, a list of runs, or an object with `runs`. Groups are `all`, or `task:`, `split:` or
    `target_layer:` and a name; a bare name is a split, or what the run's `by` says. A number alone is a value without n.
    Without std the largest is taken that values in 0..1 can have, so that no interval is too narrow. Where `all` is
    missing it follows from the groups of one kind, if they have n.
    """
    try:
        content = orjson.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    entries = content.get("runs", [content]) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: no runs in it; write {FORM}")
    problems: list[str] = []
    runs = [_read_entry(path, entry, number, len(entries), problems) for number, entry in enumerate(entries)]
    if problems:
        raise UserError(problems)
    return runs


def _read_entry(path: Path, entry: Any, number: int, count: int, problems: list[str]) -> RecordedRun:
    where = str(path) if count == 1 else f"{path}: runs[{number}]"
    usual = path.parent.name if path.name in ("results.json", "evaluation.json") else path.stem
    if not isinstance(entry, dict) or not isinstance(entry.get("results"), dict) or not entry["results"]:
        problems.append(f"{where}: no results in it; write {FORM}")
        return RecordedRun(usual, where)
    by = entry.get("by", "split")
    if by not in KINDS:
        problems.append(f"{where}: by: {by!r}; allowed: {', '.join(KINDS)}")
        by = "split"
    cells: dict[tuple[str, str], Cell] = {}
    for name, metrics in entry["results"].items():
        group = name if name == ALL or (kind_of(name) in KINDS and ":" in name) else f"{by}:{name}"
        if not isinstance(metrics, dict):
            problems.append(f"{where}: results.{name}: not an object of metrics; write {FORM}")
            continue
        for metric, written in metrics.items():
            cell = _read_cell(f"{where}: results.{name}.{metric}", written, problems)
            if cell is not None:
                cells[group, metric] = cell
    _add_totals(cells)
    known = {key: value for key in ("versions", "settings") if isinstance(value := entry.get(key), dict)}
    name = str(entry.get("name") or (usual if count == 1 else f"{usual} {number + 1}"))
    return RecordedRun(
        name,
        where,
        cells=cells,
        versions={key: str(value) for key, value in known["versions"].items()} if "versions" in known else None,
        rewards=entry.get("rewards") if isinstance(entry.get("rewards"), dict) else None,
        settings=known.get("settings"),
    )


def _read_cell(where: str, written: Any, problems: list[str]) -> Cell | None:
    if written is None:
        return None
    given = written if isinstance(written, Mapping) else {"value": written}
    value, n, std = given.get("value"), given.get("n"), given.get("std")
    if value is None and isinstance(written, Mapping) and "value" in given:
        return None
    found = []
    if not _is_number(value) or not 0.0 <= value <= 1.0:
        found.append(f"{where}: value {value!r}; write a share in 0..1 (71.4 % is 0.714)")
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        found.append(f"{where}: n {n!r}; write the number of examples, 1 or more, or leave it out")
    if std is not None and (not _is_number(std) or not 0.0 <= std <= 1.0):
        found.append(f"{where}: std {std!r}; write the standard deviation of the examples' values, in 0..1")
    problems += found
    if found:
        return None
    mean = float(value or 0.0)
    if std is None and n is not None and n > 1:
        return Cell(mean, n, largest_std(mean, n), bounded=True)
    return Cell(mean, n, None if std is None else float(std))


def _add_totals(cells: dict[tuple[str, str], Cell]) -> None:
    """Add `all` where it is missing: the mean and the spread over the groups of the first kind that all have n."""
    by_metric: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for (group, metric), cell in cells.items():
        if group != ALL:
            by_metric[metric][kind_of(group)].append(cell)
    for metric, kinds in by_metric.items():
        if (ALL, metric) in cells:
            continue
        for kind in KINDS:
            parts = kinds.get(kind, [])
            if parts and all(cell.n for cell in parts):
                cells[ALL, metric] = _pool(parts)
                break


def _pool(parts: list[Cell]) -> Cell:
    known = [(cell.value, cell.n, cell.std) for cell in parts if cell.n]
    n = sum(count for _, count, _ in known)
    mean = fsum(value * count for value, count, _ in known) / n
    if n < 2 or any(std is None and count > 1 for _, count, std in known):
        return Cell(mean, n, largest_std(mean, n) if n > 1 else None, bounded=True)
    squares = fsum((count - 1) * (std or 0.0) ** 2 + count * (value - mean) ** 2 for value, count, std in known)
    return Cell(mean, n, sqrt(squares / (n - 1)), bounded=any(cell.bounded for cell in parts))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
