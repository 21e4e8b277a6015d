"""The audit of a run as the report shows it: what was checked before training, and what came of each check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grpo.report.run_files import as_list, as_mapping, is_number
from grpo.report.tables import flatten
from rewards.audit.probes import is_overpaid
from rewards.screen.harmless_text import make_label

_SHOWN = 12
# What a probe puts in the place of an answer, in the order of how much it should be paid.
PROBES = (
    ("gold", "the reference itself"),
    ("changed", "the reference with every second value changed"),
    ("part", "a part of the reference"),
    ("other", "another row's reference"),
    ("noise", "noise"),
    ("empty", "nothing"),
)
_SHOWN_APART = frozenset(
    {
        "passed",
        "references",
        "without_reference",
        "gold_failures",
        "errors",
        "warnings",
        "probes",
        "reward_versions",
        "reward_identities",
        "reward_changes",
    }
)


def make_audit(audit: Mapping[str, Any]) -> dict[str, Any]:
    """The audit as plain values: `passed`, `references`, messages, the table of probes, and all else in `rows`."""
    if not audit:
        return {}
    failures = as_list(audit.get("gold_failures"))
    return {
        "passed": audit["passed"] if isinstance(audit.get("passed"), bool) else None,
        "references": audit["references"] if is_number(audit.get("references")) else None,
        "without_reference": audit["without_reference"] if is_number(audit.get("without_reference")) else None,
        "failures": [make_label(item, 300) for item in failures[:_SHOWN]],
        "more_failures": max(0, len(failures) - _SHOWN),
        "errors": _say(audit.get("errors")),
        "warnings": _say(audit.get("warnings")),
        "probes": _make_probes(as_mapping(audit.get("probes"))),
        "rows": flatten({key: value for key, value in audit.items() if key not in _SHOWN_APART}, compact=True)[:80],
    }


def _make_probes(probes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a task; a cell is alarming by the very rule that the audit warns by."""
    rows = []
    for task, values in probes.items():
        values = as_mapping(values)
        cells = [
            {
                "name": name,
                "value": values[name] if is_number(values.get(name)) else None,
                **_find_ends(as_mapping(as_mapping(values.get("estimates")).get(name))),
                "alarm": _is_alarming(name, values),
            }
            for name, _ in PROBES
        ]
        rows.append({"task": make_label(task, 60), "cells": cells})
    return rows


def _find_ends(found: Mapping[str, Any]) -> dict[str, Any]:
    """n and interval of a probe; None each in an audit that did not keep them."""
    return {key: found[key] if is_number(found.get(key)) else None for key in ("n", "low", "high")}


def _is_alarming(name: str, values: Mapping[str, Any]) -> bool:
    value, gold = values.get(name), values.get("gold")
    if not is_number(value):
        return False
    if name == "gold":
        return value < 0.999
    return is_number(gold) and is_overpaid(name, value, gold)


def _say(lines: Any) -> list[str]:
    return [make_label(line, 400) for line in as_list(lines)[:_SHOWN]]
