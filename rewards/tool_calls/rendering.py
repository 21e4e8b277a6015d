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


def _write_qwen(call: RecordedCall) -> str:
    inside = "".join(f"<parameter={key}>\n{_bare(value)}\n</parameter>\n" for key, value in call.arguments.items())
    return f"<tool_call>\n<function={call.name}>\n{inside}</function>\n</tool_call>"


def _write_invoke(call: RecordedCall, prefix: str = "") -> str:
    inside = "".join(
        f'<{prefix}parameter name="{key}">{_bare(value)}</{prefix}parameter>\n' for key, value in call.arguments.items()
    )
    return f'<{prefix}invoke name="{call.name}">\n{inside}</{prefix}invoke>'


def _write_dsml(call: RecordedCall) -> str:
    inside = "".join(
        f'<｜DSML｜parameter name="{key}" string="{str(isinstance(value, str)).lower()}">{_bare(value)}</｜DSML｜parameter>\n'
        for key, value in call.arguments.items()
    )
    return f'<｜DSML｜invoke name="{call.name}">\n{inside}</｜DSML｜invoke>'


def _write_glm(call: RecordedCall) -> str:
    inside = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{_bare(value)}</arg_value>\n" for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}\n{inside}</tool_call>"


def _write_python(call: RecordedCall) -> str:
    return f"{call.name}({', '.join(f'{key}={value!r}' for key, value in call.arguments.items())})"


def _write_olmo(call: RecordedCall) -> str:
    return f"{call.name}({', '.join(f'{key}={_json(value)}' for key, value in call.arguments.items())})"


def _name_and_json(before: str, between: str, after: str = "") -> Callable[[RecordedCall], str]:
    return lambda call: f"{before}{call.name}{between}{_json(dict(call.arguments))}{after}"


def _list(key: str = "arguments") -> Writer:
    return lambda calls: _json([_plain(call, key) for call in calls])


def _around(before: str, write: Writer, after: str = "") -> Writer:
    return lambda calls: before + write(calls) + after


def _write_harmony(calls: list[RecordedCall]) -> str:
    start = "<|start|>assistant"
    text = start.join(
        f"<|channel|>commentary to=functions.{call.name} <|constrain|>json<|message|>{_json(dict(call.arguments))}<|call|>"
        for call in calls
    )
    return text


def _write_kimi(calls: list[RecordedCall]) -> str:
    inside = "".join(
        f"<|tool_call_begin|>functions.{call.name}:{place}<|tool_call_argument_begin|>{_json(dict(call.arguments))}"
        "<|tool_call_end|>"
        for place, call in enumerate(calls)
    )
    return f"<|tool_calls_section_begin|>{inside}<|tool_calls_section_end|>"


def _gemma_value(value: Any, quote: str) -> str:
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_gemma_value(each, quote)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(_gemma_value(each, quote) for each in value) + "]"
    return _json(value)


def _write_gemma(before: str, quote: str, after: str) -> Writer:
    return _each(lambda call: f"{before}call:{call.name}{_gemma_value(call.arguments, quote)}{after}", between="")


_PYTHON_LIST = _each(_write_python, "[", "]", ", ")

DIALECTS: dict[str, Writer] = {
    "hermes": _each(lambda call: f"<tool_call>\n{_json(_plain(call))}\n</tool_call>"),
    "json": _write_json,
    "list": _list(),
    "fence": lambda calls: f"```json\n{_write_json(calls)}\n```",
    "openai": _write_openai,
    "function_call": _each(
        lambda call: _json({"function_call": {"name": call.name, "arguments": _json(dict(call.arguments))}})
    ),
    "qwen3_coder": _each(_write_qwen),
    "invoke": _each(_write_invoke, "<function_calls>\n", "\n</function_calls>"),
    "minimax_m2": _each(_write_invoke, "<minimax:tool_call>\n", "\n</minimax:tool_call>"),
    "minimax_m1": _each(lambda call: _json(_plain(call)), "<tool_calls>\n", "\n</tool_calls>"),
    "step3": _around(
        "<｜tool_calls_begin｜>",
        _each(
            lambda call: (
                f"<｜tool_call_begin｜>function<｜tool_sep｜>{_write_invoke(call, 'steptml:')}<｜tool_call_end｜>"
            ),
            between="<｜tool_sep｜>",
        ),
        "<｜tool_calls_end｜>",
    ),
    "glm4": _each(_write_glm),
    "llama3": _each(lambda call: _json(_plain(call, "parameters")), "<|python_tag|>", between="; "),
    "llama3_function": _each(_name_and_json("<function=", ">", "</function>")),
    "pythonic": _PYTHON_LIST,
    "llama4": _around("<|python_start|>", _PYTHON_LIST, "<|python_end|>"),
    "lfm2": _around("<|tool_call_start|>", _PYTHON_LIST, "<|tool_call_end|>"),
    "olmo3": _each(_write_olmo, "<function_calls>", "</function_calls>"),
    "gemma": _each(_write_python, "```tool_code\n", "\n```"),
    "functiongemma": _write_gemma("<start_function_call>", "<escape>", "<end_function_call>"),
    "gemma4": _write_gemma("<|tool_call>", '<|"|>', "<tool_call|>"),
    "mistral": _around("[TOOL_CALLS] ", _list()),
    "mistral_v11": _each(_name_and_json("[TOOL_CALLS]", ""), between=""),
    "mistral_v13": _each(_name_and_json("[TOOL_CALLS]", "[ARGS]"), between=""),
    "deepseek_v3": _each(
        _name_and_json("<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n", "\n```<｜tool▁call▁end｜>"),
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
    ),
    "deepseek_v31": _each(
        _name_and_json("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁calls▁end｜>",
        "",
    ),
    "deepseek_v32": _each(_write_dsml, "<｜DSML｜function_calls>\n", "\n</｜DSML｜function_calls>"),
    "kimi_k2": _write_kimi,
    "harmony": _write_harmony,
    "react": _each(_name_and_json("Action: ", "\nAction Input: ")),
    "granite": _around("<|tool_call|> ", _list()),
    "granite_31": _around("<tool_call> ", _list()),
    "granite_20b": _each(lambda call: f"<function_call> {_json(_plain(call))}"),
    "phi4_mini": _around("functools", _list()),
    "internlm2": _each(lambda call: f"<|action_start|><|plugin|>\n{_json(_plain(call, 'parameters'))}<|action_end|>"),
    "nemotron": _around("<TOOLCALL>", _list(), "</TOOLCALL>"),
    "cohere": _around(
        "<|START_ACTION|>",
        lambda calls: _json(
            [
                {"tool_call_id": str(place), "tool_name": call.name, "parameters": dict(call.arguments)}
                for place, call in enumerate(calls)
            ]
        ),
        "<|END_ACTION|>",
    ),
    "apertus": _around(
        "<|tools_prefix|>",
        lambda calls: _json([{call.name: dict(call.arguments)} for call in calls]),
        "<|tools_suffix|>",
    ),
}
"""What writes each dialect, by its name. Those in tags or in Python cannot write every argument; JSON can."""
