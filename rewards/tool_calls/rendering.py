"""Tool calls as text, in the dialects that models write: references from recorded calls, and what the reader is tested on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class RecordedCall(NamedTuple):
    """A call as an API records it: the name, and the arguments as an object."""

    name: str
    arguments: Mapping[str, Any]


def render_calls(calls: Iterable[Any], dialect: str = "hermes") -> str:
    """The text that a model would write for these calls in a dialect of `DIALECTS`; `[]` for no calls at all.

    A call is an entry of an OpenAI message's `tool_calls`, its older `function_call`, or {"name", "arguments"}, where the
    arguments are an object or JSON text of one. Raises ValueError for a call without a name or with other arguments, and
    KeyError for a dialect that is not in `DIALECTS`.
    """
    write = DIALECTS[dialect]
    recorded = [read_recorded(call, place) for place, call in enumerate(calls)]
    return write(recorded) if recorded else "[]"


def read_recorded(call: Any, place: int = 0) -> RecordedCall:
    """One entry of `tool_calls` with its arguments as an object; `place` is named in the ValueError of a broken one."""
    where = f"tool_calls[{place}]"
    if not isinstance(call, Mapping):
        raise ValueError(f"{where}: {type(call).__name__} is not a call; expected an object with `function`")
    inside = call.get("function", call)
    if not isinstance(inside, Mapping):
        raise ValueError(f"{where}.function: {type(inside).__name__}; expected an object with `name` and `arguments`")
    name, arguments = inside.get("name"), inside.get("arguments")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"{where}: has no name; a call needs `name` and `arguments`")
    if isinstance(arguments, str) and arguments.strip():
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise ValueError(f"{where}: the arguments of {name} are not JSON; expected the text of an object") from None
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{where}: the arguments of {name} are a {type(arguments).__name__}; expected an object")
    return RecordedCall(name.strip(), arguments)


Writer = Callable[[list[RecordedCall]], str]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _plain(call: RecordedCall, key: str = "arguments") -> dict[str, Any]:
    return {"name": call.name, key: dict(call.arguments)}


def _bare(value: Any) -> str:
    """A value of a dialect without types: texts stand for themselves."""
    return value if isinstance(value, str) else _json(value)


def _each(write: Callable[[RecordedCall], str], before: str = "", after: str = "", between: str = "\n") -> Writer:
    return lambda calls: before + between.join(write(call) for call in calls) + after


def _write_json(calls: list[RecordedCall]) -> str:
    return _json([_plain(call) for call in calls] if len(calls) > 1 else _plain(calls[0]))


def _write_openai(calls: list[RecordedCall]) -> str:
    return _json(
        {
            "tool_calls": [
                {
                    "id": f"call_{place}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": _json(dict(call.arguments))},
                }
                for place, call in enumerate(calls)
            ]
        }
    )


def _write_markup(call: RecordedCall) -> str:
    inside = "".join(f"<parameter={key}>\n{_bare(value)}\n</parameter>\n" for key, value in call.arguments.items())
    return f"<tool_call>\n<function={call.name}>\n{inside}</function>\n</tool_call>"


DIALECTS: dict[str, Writer] = {
    "hermes": _each(lambda call: f"<tool_call>\n{_json(_plain(call))}\n</tool_call>"),
    "json": _write_json,
    "fence": lambda calls: f"```json\n{_write_json(calls)}\n```",
    "openai": _write_openai,
    "qwen3_coder": _each(_write_markup),
}
"""What writes each dialect, by its name."""
