"""Whether a row is of a usual kind, in which the strict reader would find nothing: what is not certain is left to that reader."""

from __future__ import annotations

from typing import Any

import orjson

from rewards.row_forms.bounds import DEEPEST
from rewards.row_forms.columns import unify_form
from rewards.row_forms.conversations import MEDIA, ROLES, SHAREGPT_ROLES

_LARGEST = 1e18
"""A number beyond this may be a whole one that the fast reader made a float of, or one that no float holds."""
_TURN = frozenset({"role", "content"})
_CALLING = frozenset({*_TURN, "tool_calls", "name", "tool_call_id"})
_SPOKEN = frozenset(SHAREGPT_ROLES) - {"function_call"}


def is_plain(values: dict[str, Any], raw: bytes) -> bool:
    """Whether the strict reader would find nothing in a row; False says only that it has to look. `raw` is the row's JSON."""
    if raw.count(b"{") + raw.count(b"[") > DEEPEST or _has_large_number(values):
        return False
    row = values if "reference" in values else unify_form(values)
    if any(row.get(name) for name in MEDIA):
        return False
    if "functions" in row or not _are_plain_tools(row.get("tools")):
        return False
    task, row_id, database = row.get("task", "default"), row.get("id", "1"), row.get("database", "1")
    if not isinstance(task, str) or task in ("", "all", "mean_reward"):
        return False
    if not (isinstance(row_id, str) and row_id and isinstance(database, str) and database):
        return False
    if "conversations" in row:
        return _is_plain_sharegpt(row)
    if "messages" in row:
        turns = row["messages"]
        if "prompt" in row or "reference" in row or not isinstance(turns, list) or len(turns) < 2:
            return False
        last = turns[-1]
        if not isinstance(last, dict) or last.get("role") != "assistant":
            return False
        if not last.get("content") and not last.get("tool_calls"):
            return False
    else:
        turns, reference = row.get("prompt"), row.get("reference", 0)
        if not isinstance(turns, list) or not turns or "id" not in row or "task" not in row:
            return False
        if not (reference is None or isinstance(reference, str)):
            return False
        if not isinstance(turns[-1], dict) or turns[-1].get("role") == "assistant":
            return False
    return all(map(_is_plain_turn, turns))


def _is_plain_turn(turn: Any) -> bool:
    if type(turn) is not dict or turn.get("role") not in ROLES:
        return False
    if turn.keys() == _TURN:
        return type(turn["content"]) is str
    if not turn.keys() <= _CALLING:
        return False
    calls, content = turn.get("tool_calls"), turn.get("content")
    if not calls:
        return type(content) is str
    if turn["role"] != "assistant" or not (content is None or type(content) is str) or type(calls) is not list:
        return False
    return all(map(_is_plain_call, calls))


def _is_plain_call(call: Any) -> bool:
    """An entry of OpenAI's `tool_calls`: a name, and arguments that are an object or JSON text of one."""
    inside = call.get("function") if type(call) is dict else None
    if type(inside) is not dict or type(name := inside.get("name")) is not str or not name.strip():
        return False
    arguments = inside.get("arguments")
    if type(arguments) is str:
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return False
    return type(arguments) is dict


def _are_plain_tools(tools: Any) -> bool:
    """None, or a list of functions that have a name each."""
    if tools is None:
        return True
    if type(tools) is not list:
        return False
    for tool in tools:
        inside = tool.get("function", tool) if type(tool) is dict else None
        if type(inside) is not dict or type(name := inside.get("name")) is not str or not name:
            return False
    return True


def _is_plain_sharegpt(row: dict[str, Any]) -> bool:
    turns = row["conversations"]
    if "messages" in row or "prompt" in row or "reference" in row or type(turns) is not list or len(turns) < 2:
        return False
    for turn in turns:
        if type(turn) is not dict or "role" in turn or type(turn.get("value")) is not str:
            return False
        if type(said := turn.get("from")) is not str or said not in _SPOKEN:
            return False
    return SHAREGPT_ROLES[turns[-1]["from"]] == "assistant" and turns[-1]["value"] != ""


def _has_large_number(value: Any) -> bool:
    """Whether a value holds a number beyond _LARGEST; as deep as DEEPEST allows."""
    if isinstance(value, int | float):
        return not -_LARGEST < value < _LARGEST
    if isinstance(value, dict):
        return any(type(item) is not str and _has_large_number(item) for item in value.values())
    return isinstance(value, list) and any(type(item) is not str and _has_large_number(item) for item in value)
