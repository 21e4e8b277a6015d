"""The tables of a report as CSV: RFC 4180, numbers with a point, no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rewards.statistics.estimates import Estimate

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


def make_exports(view: Mapping[str, Any]) -> dict[str, str]:
    """CSV texts by the name of their table: tasks, rewards, states, cut_off, curves, events, probes, plan."""
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "tasks": [_flatten_task(row) for row in view.get("tasks") or ()],
        "rewards": [row for function in view.get("functions") or () for row in _flatten_function(function)],
        "states": [
            {"evaluation": stage, **{key: value for key, value in counts.items() if key != "repairs"}}
            for stage, counts in (view.get("states") or {}).items()
        ],
        "cut_off": [
            {"task": row["task"], **{
                f"{stage}_{key}": getattr(row.get(stage), key, None)
                for stage in ("before", "warmup", "final") for key in ("completions", "truncated", "repeated")
            }}
            for row in view.get("cut_off") or ()
        ],
        "curves": [
            {"curve": curve.name, "step": point.step, "mean": point.mean, "low": point.low, "high": point.high, "n": point.n}
            for curve, _ in view.get("charts") or ()
            for point in curve.points
        ] + [
            {"curve": line.name, "step": step, "mean": value}
            for line, _ in view.get("lines") or ()
            for step, value in line.values
        ],
        "events": list(view.get("events") or ()),
        "probes": [
            {"task": row["task"], **{name: value for cell in row["cells"] for name, value in _flatten_probe(cell)}}
            for row in (view.get("audit") or {}).get("probes") or ()
        ],
        "plan": list(view.get("plan_rows") or ()),
    }  # fmt: skip
    return {name: write_csv(rows) for name, rows in tables.items() if rows}


def write_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows with a head of all their keys in the order they first come."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(heads)
    for row in rows:
        writer.writerow([_make_cell(row.get(head)) for head in heads])
    return out.getvalue()


def _make_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_DANGEROUS):
        return f"'{value}"
    return value


def _flatten_task(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {"task": row["task"]}
    for key in ("before", "warmup", "best", "final", "change"):
        estimate = row.get(key)
        for part in ("mean", "low", "high", "n"):
            flat[f"{key}_{part}"] = getattr(estimate, part) if isinstance(estimate, Estimate) else None
    sft = row.get("sft")
    flat["further_sft"] = sft.mean if isinstance(sft, Estimate) else None
    flat |= {
        f"further_sft_{part}": getattr(sft, part) if isinstance(sft, Estimate) else None
        for part in ("low", "high", "n")
    }
    return flat


def _flatten_probe(cell: Mapping[str, Any]) -> list[tuple[str, Any]]:
    name = cell["name"]
    return [(name, cell["value"]), *((f"{name}_{part}", cell.get(part)) for part in ("low", "high", "n"))]


def _flatten_ends(row: Mapping[str, Any]) -> dict[str, Any]:
    """The intervals of a function or part after the warm-up and at the end, and their n."""
    return {
        f"{stage}_{part}": getattr(estimate, part)
        if isinstance(estimate := row[f"{stage}_estimate"], Estimate)
        else None
        for stage in ("warmup", "final")
        for part in ("low", "high", "n")
    }


def _flatten_function(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    base = {
        "function": row["name"], "version": "/".join(row["versions"]), "part": "", "n": row["n"], "warmup": row["warmup"],
        "final": row["final"], "errors": row["errors"], "seconds": row["seconds"], **_flatten_ends(row),
    }  # fmt: skip
    parts = [
        {
            "function": row["name"],
            "version": base["version"],
            "part": part["name"],
            "warmup": part["warmup"],
            "final": part["final"],
            **_flatten_ends(part),
        }
        for part in row["parts"]
    ]
    return [base, *parts]
