"""A tool call as it was read, and calls written as JSON objects: names and arguments under the keys that APIs use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

MAXIMUM_CALLS = 256
_MOST_WRAPPERS = 6

NAME = re.compile(r"[\w.:/-]{1,200}\Z")

_NAMES = ("name", "tool_name", "toolName", "tool", "function_name", "recipient_name", "api_name", "api", "func")
_ARGUMENTS = (
    "arguments", "parameters", "args", "input", "kwargs", "params", "tool_input", "tool_arguments", "tool_params", "tool_parameters", "tool_args",
)  # fmt: skip
_ACTIONS = ("action", "command", "method")
"""Keys that name a function where arguments stand beside them; a record may have the last two as well."""

_COMPANIONS = frozenset(
    {
        *_NAMES,
        *_ARGUMENTS,
        "function",
        "id",
        "call_id",
        "tool_call_id",
        "type",
        "index",
        "status",
        "action",
        "action_input",
        "command",
        "method",
        "toolUseId",
        "toolCallId",
        "server_name",
    }
)
_REMARKS = frozenset(
    (
        "thought", "thoughts", "reasoning", "reasoning_content", "rationale", "explanation", "analysis", "plan", "comment", "note",
        "role", "content", "pensamento", "raciocinio", "justificativa", "explicacao",
    )
)  # fmt: skip
"""Under which a text, or nothing, stands beside a call: what the model thinks of it."""

_WRAPPERS = (
    "tool_calls",
    "function_calls",
    "calls",
    "tools",
    "tool_uses",
    "function_call",
    "functionCall",
    "tool_call",
    "toolUse",
    "toolUses",
    "tool_use",
    "actions",
    "steps",
    "choices",
    "message",
    "candidates",
    "output",
    "content",
    "parts",
    "command",
)
_NOTHING = frozenset(("", "null", "none"))
_ANSWERS = frozenset(("message", "content"))
"""Keys of the one answer in a list of them."""

_BESIDE = frozenset(("text", "message", "reasoning", "thinking", "output_text"))
"""Types of the items that stand beside calls in the answers of APIs."""


class NotACallError(Exception):
    """What stands there is not a call of this notation."""


class Call(NamedTuple):
    """One call: `typed` is False where the dialect writes every argument as text; `clean` is False for a guessed reading.

    `repaired` tells of JSON that was mended to be read, `surplus` counts the members around the call that belong to no
    dialect. `name_only`: a bare object with a name and no arguments, or of one name alone, `{"f": {"a": 1}}`, which may be a call or
    a record of another kind.
    `allowed`, of a reference alone, holds the values that each argument may have.
    """

    name: str
    arguments: dict[str, Any]
    typed: bool = True
    clean: bool = True
    repaired: bool = False
    surplus: int = 0
    name_only: bool = False
    allowed: Mapping[str, list[Any]] | None = None


class CallReading(NamedTuple):
    """The calls of a text in order, and how many more were meant but cannot be read; `notation` is a marker nobody knows."""

    calls: tuple[Call, ...]
    broken: int = 0
    notation: str = ""


def list_calls(value: Any, marked: bool = False) -> tuple[list[Call], int]:
    """The calls of one JSON value, and the number of items beside them that are none.

    `marked`: the value stands where only a call can stand, so that a name alone is one.
    """
    value = _unwrap(value)
    items = _flatten(value if isinstance(value, list) else [value])
    calls, others = [], 0
    for item in items[:MAXIMUM_CALLS]:
        call = read_object(item, marked)
        if call is None:
            call = _read_keyed(item, marked)
        if call is None:
            others += 1
        else:
            calls.append(call)
    return calls, others + max(0, len(items) - MAXIMUM_CALLS)


def _flatten(items: list[Any]) -> list[Any]:
    """The items without their wrappers, and without the texts and thoughts beside calls."""
    flat: list[Any] = []
    for item in items[: MAXIMUM_CALLS + 1]:
        inner = _unwrap(item)
        flat += inner if isinstance(inner, list) and inner is not item else [inner]
    calls = [
        item
        for item in flat
        if not (
            isinstance(item, dict) and (item.get("type") in _BESIDE or item.keys() == {"text"}) and not _has_name(item)
        )
    ]
    return (calls or flat) + items[MAXIMUM_CALLS + 1 :]


def read_object(item: Any, marked: bool = False) -> Call | None:
    """{"name", "arguments"} and its cousins: `parameters`, `args`, {"function": {...}}, arguments as JSON text."""
    if not isinstance(item, dict):
        return None
    surplus = sum(key not in _COMPANIONS and not _is_remark(key, value) for key, value in item.items())
    if isinstance(item.get("function"), dict) and not _has_name(item):
        item, marked = item["function"], True
    elif item.get("type") in ("function", "function_call", "tool_call", "tool-call", "tool_use"):
        marked = True
    name = next((item[key] for key in _NAMES if isinstance(item.get(key), str)), None)
    if name is None and isinstance(item.get("function"), str):
        name = item["function"]
    if name is None and isinstance(item.get("action"), str) and "action_input" in item:
        return _read_action(item, surplus)
    doubtful = False
    if name is None and any(isinstance(item.get(key), dict) for key in _ARGUMENTS):
        acting = next((key for key in _ACTIONS if isinstance(item.get(key), str)), "")
        name, doubtful = item.get(acting), acting != "action"
    if not name or not name.strip():
        return None
    key = next((key for key in _ARGUMENTS if key in item), None)
    arguments: Any = {} if key is None else item[key]
    if isinstance(arguments, str):
        from rewards.extraction import extract_json

        written = arguments.strip()
        arguments = extract_json(written).value if written.lower() not in _NOTHING else {}
        if arguments is None:
            return None
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return None
    if "recipient_name" in item:
        name = name.strip().removeprefix("functions.")
    return Call(name.strip(), arguments, surplus=surplus, name_only=(doubtful or key is None) and not marked)


def _read_action(item: dict[str, Any], surplus: int) -> Call:
    """LangChain's structured agents; a text is the only argument of a tool that takes one."""
    arguments = item["action_input"]
    if isinstance(arguments, dict):
        return Call(item["action"].strip(), arguments, surplus=surplus)
    return Call(item["action"].strip(), {"input": arguments}, surplus=surplus)


def _is_remark(key: str, value: Any) -> bool:
    return key.lower() in _REMARKS and (value is None or isinstance(value, str))


def _read_keyed(item: Any, marked: bool) -> Call | None:
    """{"f": {"a": 1}}, as Apertus writes calls between its markers, and BFCL asks for them."""
    if isinstance(item, dict) and len(item) == 1:
        ((name, arguments),) = item.items()
        if isinstance(arguments, dict) and NAME.match(name):
            return Call(name, arguments, name_only=not marked)
    return None


def _unwrap(value: Any) -> Any:
    """The list or object of calls inside {"tool_calls": [...]} and its cousins."""
    for _ in range(_MOST_WRAPPERS):
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and _ANSWERS & value[0].keys():
            value = value[0]
        if not isinstance(value, dict) or _has_name(value):
            break
        if value.get("method") == "tools/call" and isinstance(value.get("params"), dict):
            return value["params"]
        inner = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), (list, dict))), None)
        if inner is None:
            break
        value = inner
    return value


def _has_name(value: dict[str, Any]) -> bool:
    return any(isinstance(value.get(key), str) for key in _NAMES)
