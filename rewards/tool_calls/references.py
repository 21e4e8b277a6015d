"""What a row asks to be called: one reference or several that are equally right, in any dialect or in BFCL's notation."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from rewards.answers import CONFLICTING
from rewards.tool_calls.calls import MAXIMUM_CALLS, NAME, Call
from rewards.tool_calls.dialects import read_calls
from rewards.tool_calls.pythonic import starts_call

COLUMN = "references"

_NONE = ("", "[]", "null", "{}")


class Asked(NamedTuple):
    """The calls of one right answer, none where nothing is to be called; `problem` says why it cannot be read."""

    calls: tuple[Call, ...]
    problem: str = ""


def list_asked(reference: str | None, references: Any = None) -> tuple[Asked, ...]:
    """Every right answer of a row: its reference, and each entry of its column `references`."""
    entries = [] if reference is None else [_read_reference(reference)]
    if references is None:
        return tuple(entries)
    if isinstance(references, (str, dict)):
        references = [references]
    try:
        return (*entries, *_read_references(orjson.dumps(references)))
    except (TypeError, ValueError):
        return (*entries, Asked((), "is not JSON; give a list of calls, or of lists of calls"))


@lru_cache(maxsize=1024)
def _read_references(written: bytes) -> tuple[Asked, ...]:
    entries = json.loads(written)
    if not isinstance(entries, list) or not entries:
        return (Asked((), "holds no list; give each right answer as a call, a list of calls, or the text of one"),)
    whole = json.dumps(entries, ensure_ascii=False)
    if _read_allowed(whole):
        # BFCL's list of possible answers holds one entry a call, and all of them are to be called.
        return (_read_reference(whole),)
    return tuple(
        _read_reference(entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)) for entry in entries
    )


@lru_cache(maxsize=4096)
def _read_reference(reference: str) -> Asked:
    text = reference.strip()
    if text in _NONE:
        return Asked(())
    is_json = text.startswith(("{", "[")) and not starts_call(text, 0)
    if is_json:
        allowed = _read_allowed(text)
        if allowed:
            return Asked(allowed)
    reading = read_calls(reference)
    if reading.notation:
        return Asked((), f"{reading.notation} opens no notation that is read; use one of docs/rewards/tool_call.md")
    if reading.broken:
        return Asked((), f"{reading.broken} calls cannot be read; each needs a name and arguments")
    if not reading.calls or any(
        call.name_only and (call.surplus or call.arguments or not is_json) for call in reading.calls
    ):
        return Asked((), 'no call found; write {"name": ..., "arguments": {...}}, a list of them, or []')
    if any(_holds_unsaid(call.arguments) for call in reading.calls):
        return Asked((), "gives an argument two values, or a number that is not one; write each once")
    return Asked(reading.calls)


def _holds_unsaid(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if item is CONFLICTING:
            return True
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _read_allowed(text: str) -> tuple[Call, ...]:
    """BFCL's possible answers, `[{"f": {"a": [1, 2], "b": ["x", ""]}}]`; nothing where it is not one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    items = value if isinstance(value, list) else [value]
    calls = []
    for item in items[:MAXIMUM_CALLS]:
        if not isinstance(item, dict) or len(item) != 1:
            return ()
        ((name, allowed),) = item.items()
        if not NAME.match(name) or not isinstance(allowed, dict):
            return ()
        if not all(isinstance(values, list) for values in allowed.values()) or not any(
            [*allowed.values(), not allowed]
        ):
            return ()
        # An argument without a single value may only be left out.
        calls.append(Call(name, {}, allowed={key: values or [""] for key, values in allowed.items()}))
    return tuple(calls)
