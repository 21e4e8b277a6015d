"""Rows of other trainers brought into the one form that is read: prompt/completion pairs and Alpaca's three columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rewards.row_forms.conversations import FORMS

_OWN = ("prompt", "reference")


def unify_form(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with its conversation under `messages`, where it came as a pair or as Alpaca has it; else as it is.

    A pair is `prompt` and `completion` without a `reference`, each a text or a list of messages. Alpaca's columns are
    `instruction`, `output` and, where it is not empty, `input`. All other columns are kept.
    """
    if any(form in row for form in FORMS) or "reference" in row:
        return row
    if "prompt" in row and "completion" in row:
        asked, answered = _as_turns(row["prompt"], "user"), _as_turns(row["completion"], "assistant")
        if asked is None or answered is None:
            return row
        return {**_without(row, "prompt", "completion"), "messages": [*asked, *answered]}
    if isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        given = row.get("input")
        asked_for = row["instruction"]
        if isinstance(given, str) and given.strip():
            asked_for = f"{asked_for}\n\n{given}"
        system = row.get("system")
        turns = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
        turns += [{"role": "user", "content": asked_for}, {"role": "assistant", "content": row["output"]}]
        return {**_without(row, "instruction", "input", "output", "system"), "messages": turns}
    return row


def name_form(row: Mapping[str, Any]) -> str:
    """What a row's form is called: rows, messages, sharegpt, pair, alpaca, or unknown."""
    if "messages" in row:
        return "messages"
    if "conversations" in row:
        return "sharegpt"
    if all(key in row for key in _OWN):
        return "rows"
    if "prompt" in row and "completion" in row:
        return "pair"
    return "alpaca" if "instruction" in row and "output" in row else "unknown"


def _as_turns(value: Any, role: str) -> list[Any] | None:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return value if isinstance(value, list) and value else None


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}
