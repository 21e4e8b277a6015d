"""Tables as data: what stands in each row and cell, whatever they are written as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grpo.compare.differences import find_difference, judge
from grpo.compare.recorded import ALL, CROSSED, RecordedRun, kind_of
from rewards.errors import UserError
from rewards.statistics.changes import Cell
from rewards.statistics.estimates import Estimate, interval_of, stratify

PAPER = ("parse", "field_f1", "key_f1", "exact")
RAW = ("field_f1", "raw_field_f1", "exact", "raw_exact", "kpi_present", "kpi")
BY = {"split": "split", "layer": "target_layer", "task": "task"}


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell: a mean or a change with n and its 95 % interval; the ends are None where n or std is not known."""

    value: float
    n: int | None
    low: float | None
    high: float | None
    signed: bool = False
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class PaperTable:
    """`rows` are (labels, figures): as many labels as `heads`, as many figures (or None) as `columns`."""

    name: str
    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[TableCell | None, ...]], ...]

    def to_json(self) -> dict[str, Any]:
        """The table as `--format json` writes it."""
        return {
            "name": self.name,
            "title": self.title,
            "rows": [
                {
                    **dict(zip(self.heads, labels, strict=True)),
                    **{
                        column: None
                        if figure is None
                        else {"value": figure.value, "n": figure.n, "low": figure.low, "high": figure.high}
                        | ({"verdict": figure.verdict} if figure.verdict else {})
                        for column, figure in zip(self.columns, figures, strict=True)
                    },
                }
                for labels, figures in self.rows
            ],
        }


def make_tables(runs: Sequence[RecordedRun], metrics: Sequence[str] = (), by: Sequence[str] = ()) -> list[PaperTable]:
    """The tables that the runs have numbers for: over all and by each of `by` (split, layer, task; all that divide the rows),
    split x layer, normalised beside raw, and changes from the first run. Raises UserError for a metric that no run has."""
    known = list(dict.fromkeys(metric for run in runs for _, metric in run.cells))
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise UserError(f"--metric: {', '.join(unknown)}: no run has it; there are: {', '.join(sorted(known))}")
    chosen = tuple(metrics) or tuple(name for name in PAPER if name in known) or ("reward",)
    tables = [_tabulate("overall", "Over all rows", runs, "", chosen)]
    for name in by or _list_kinds(runs):
        if any(kind_of(group) == BY[name] for run in runs for group, _ in run.cells):
            tables.append(_tabulate(f"by_{name}", f"By {name}", runs, BY[name], chosen))
    crossed = [_cross(run, chosen) for run in runs]
    tables += [table for table in crossed if table is not None]
    raw = tuple(name for name in RAW if name in known)
    if not metrics and len(raw) > 2:
        tables.append(_tabulate("raw", "Normalised beside raw", runs, "", raw))
    if len(runs) > 1:
        tables += _list_changes(runs, chosen, by)
    return tables


def _list_kinds(runs: Sequence[RecordedRun]) -> list[str]:
    """The kinds of rows of a table; tasks are left out where they are the layers."""
    named = {
        kind: {group.partition(":")[2] for run in runs for group, _ in run.cells if kind_of(group) == kind}
        for kind in BY.values()
    }
    return [
        name for name, kind in BY.items() if named[kind] and (name != "task" or named[kind] != named["target_layer"])
    ]


def find_cell(run: RecordedRun, group: str, metric: str) -> TableCell | None:
    """A mean with its interval, the one that every other command gives for it; None where the run has no such cell.

    Over all rows only the noise within the tasks counts, as their shares are fixed.
    """
    cell = run.cells.get((group, metric))
    if cell is None:
        return None
    estimate = _estimate(cell)
    if group == ALL and run.rows:
        tasks = {
            name: _estimate(other)
            for (name, measured), other in run.cells.items()
            if measured == metric and kind_of(name) == "task"
        }
        estimate = stratify({ALL: estimate, **tasks})
    return TableCell(cell.value, cell.n, estimate.low, estimate.high)


def _estimate(cell: Cell) -> Estimate:
    if cell.n == 1:
        return Estimate(cell.value, 1, None, 0.0, 1.0)
    if not cell.n or cell.std is None:
        return Estimate(cell.value, cell.n or 0, None, None, None)
    return interval_of(cell.value, cell.n, cell.std)


def _tabulate(name: str, title: str, runs: Sequence[RecordedRun], kind: str, metrics: tuple[str, ...]) -> PaperTable:
    groups = _list_groups(runs, kind) if kind else [ALL]
    rows = []
    for group in groups:
        for run in runs:
            figures = tuple(find_cell(run, group, metric) for metric in metrics)
            if any(figures):
                labels = (run.name,) if group == ALL else (group.partition(":")[2], run.name)
                rows.append((labels, figures))
    return PaperTable(name, title, ("run",) if not kind else (kind, "run"), metrics, tuple(rows))


def _cross(run: RecordedRun, metrics: tuple[str, ...]) -> PaperTable | None:
    """Layers down, splits across, of one run and one metric: the field F1 where it is measured."""
    metric = "field_f1" if "field_f1" in metrics else metrics[0]
    cells = {
        tuple(group.partition(":")[2].split(" x ", 1)): find_cell(run, group, metric)
        for group, name in run.cells
        if kind_of(group) == CROSSED and name == metric
    }
    if not cells:
        return None
    splits = sorted({split for split, _ in cells}, key=_order_split)
    rows = tuple(
        ((layer,), tuple(cells.get((split, layer)) for split in splits))
        for layer in sorted({layer for _, layer in cells})
    )
    title = f"{metric} of {run.name}, split x layer"
    return PaperTable(f"split_x_layer_{run.name}", title, ("layer",), tuple(splits), rows)


def _list_changes(runs: Sequence[RecordedRun], metrics: tuple[str, ...], by: Sequence[str]) -> list[PaperTable]:
    """What changed from the first run to each other one, paired by example; corrected for the number of tests (Holm)."""
    first, tables = runs[0], []
    kinds = [BY[name] for name in by or ("split", "layer")]
    for run in runs[1:]:
        groups = [ALL, *(group for kind in kinds for group in _list_groups([first, run], kind))]
        found = [
            difference
            for group in groups
            for metric in metrics
            if (difference := find_difference(first, run, group, metric, 0.95)) is not None
        ]
        judged = {(each.group, each.metric): each for each in judge(found, "holm", 0.05)}
        rows = []
        for group in groups:
            figures = [
                TableCell(d.change.mean, d.change.n, d.change.low, d.change.high, signed=True, verdict=d.verdict)
                if (d := judged.get((group, metric))) is not None
                else None
                for metric in metrics
            ]
            if any(figures):
                rows.append(((group.partition(":")[2] or ALL,), tuple(figures)))
        title = f"{run.name} minus {first.name}"
        tables.append(PaperTable(f"changes_{run.name}", title, ("group",), metrics, tuple(rows)))
    return tables


def _list_groups(runs: Sequence[RecordedRun], kind: str) -> list[str]:
    found = {group for run in runs for group, _ in run.cells if kind_of(group) == kind}
    return sorted(found, key=lambda group: _order_split(group.partition(":")[2]))


_SPLITS = (
    "validation",
    "test_in_distribution",
    "test_template_ood",
    "test_use_case_ood",
    "test_sector_ood",
    "test_adversarial",
)


def _order_split(name: str) -> tuple[int, str]:
    """The paper's order of its splits; any other name by itself, after them."""
    return (_SPLITS.index(name) if name in _SPLITS else len(_SPLITS)), name
