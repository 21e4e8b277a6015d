"""Rows of other trainers brought into the one form that is read: pairs, Alpaca's columns, preferences, xLAM's calls, verl's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rewards.row_forms.conversations import FORMS
from rewards.row_forms.transcripts import unify_transcript

_OWN = ("prompt", "reference")


def unify_form(row: dict[str, Any]) -> dict[str, Any]:
    """The same row with its conversation under `messages`, where it came in another trainer's columns; else as it is.

    A pair is `prompt` and `completion` without a `reference`, each a text or a list of messages. Alpaca's columns are
    `instruction`, `output` and, where it is not empty, `input`. Of a preference (`chosen` and `rejected`, with a `prompt`, a
    conversation that ends with the question, or both whole conversations; OpenAI's `preferred_output`) what was chosen is
    the answer. xLAM's `query`, `answers` and `tools` are a question and its calls, verl's `prompt` and
    `reward_model` a question and its `ground_truth`, Glaive's `chat` a conversation in one text. All other columns are kept, and an `id`
    that is a whole number becomes a text.
    """
    if "reference" in row:
        return row
    if "chosen" in row and "rejected" in row:
        return _unify_preference(row)
    if any(form in row for form in FORMS):
        return row
    if "preferred_output" in row and isinstance(row.get("input"), dict):
        given = row["input"]
        asked, answered = given.get("messages"), row["preferred_output"]
        if isinstance(asked, list) and isinstance(answered, list) and asked and answered:
            tools = {"tools": given["tools"]} if given.get("tools") else {}
            return {**_without(row, "input", "preferred_output"), **tools, "messages": [*asked, *answered]}
    truth = read_ground_truth(row.get("reward_model"))
    asked = _as_turns(row.get("prompt"), "user")
    if asked is not None and truth is not None and "completion" not in row:
        answer = truth if isinstance(truth, str) else json.dumps(truth, ensure_ascii=False)
        return {**_without(row, "prompt"), "messages": [*asked, {"role": "assistant", "content": answer}]}
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
    if isinstance(row.get("query"), str) and "answers" in row and "tools" in row:
        return _unify_calls(row)
    return unify_transcript(row)


def read_ground_truth(value: Any) -> Any:
    """What verl keeps under `reward_model`: `{"style": "rule", "ground_truth": ...}`; None for anything else."""
    return value.get("ground_truth") if isinstance(value, Mapping) and "ground_truth" in value else None


def name_form(row: Mapping[str, Any]) -> str:
    """What a row's form is called: rows, messages, sharegpt, preference, pair, verl, alpaca, xlam, glaive, or unknown."""
    if ("chosen" in row and "rejected" in row) or "preferred_output" in row:
        return "preference" if row is not unify_form(dict(row)) and "messages" in unify_form(dict(row)) else "unknown"
    if "messages" in row:
        return "messages"
    if "conversations" in row:
        return "sharegpt"
    if all(key in row for key in _OWN):
        return "rows"
    if "prompt" in row and "completion" in row:
        return "pair"
    if "prompt" in row and read_ground_truth(row.get("reward_model")) is not None:
        return "verl"
    if "instruction" in row and "output" in row:
        return "alpaca"
    if "query" in row and "answers" in row and "tools" in row:
        return "xlam"
    return "glaive" if "messages" in unify_transcript(dict(row)) else "unknown"


def _unify_preference(row: dict[str, Any]) -> dict[str, Any]:
    """What was chosen as the answer; the row as it is where nothing says what was asked, or a conversation is whole already."""
    form = next((name for name in (*FORMS, "prompt") if name in row), None)
    asked = _as_turns(row[form], "user") if form else []
    chosen = row["chosen"]
    answered = [chosen] if isinstance(chosen, dict) else _as_turns(chosen, "assistant")
    if asked is None or answered is None or (not asked and len(answered) < 2):
        return row
    if form in FORMS and (not isinstance(row[form], list) or _speaker(asked[-1]) in ("assistant", "gpt")):
        return row
    # Both whole conversations, prompt and all, stand in many sets beside the prompt.
    turns = answered if answered[: len(asked)] == asked else [*asked, *answered]
    return {**_without(row, *filter(None, (form, "chosen"))), "messages": turns}


def _unify_calls(row: dict[str, Any]) -> dict[str, Any]:
    calls = row["answers"]
    if isinstance(calls, str):
        try:
            calls = json.loads(calls)
        except (ValueError, RecursionError):
            return row
    if not isinstance(calls, list) or not all(isinstance(call, dict) and "name" in call for call in calls):
        return row
    answer = {"content": None, "tool_calls": calls} if calls else {"content": "[]"}
    turns = [{"role": "user", "content": row["query"]}, {"role": "assistant", **answer}]
    return {**_without(row, "query", "answers"), "messages": turns}


def _speaker(turn: Any) -> Any:
    return (turn.get("role") or turn.get("from")) if isinstance(turn, dict) else None


def _as_turns(value: Any, role: str) -> list[Any] | None:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return value if isinstance(value, list) and value else None


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The other columns; a number as an id is its digits, as the sets of others number their rows."""
    kept = {key: value for key, value in row.items() if key not in names}
    if type(kept.get("id")) is int:
        kept["id"] = str(kept["id"])
    return kept
