"""A conversation as turns of role and text, whichever convention wrote it, and cut into what is asked and the answer.

Read are `messages` (role and content, tool calls beside or instead of it) and ShareGPT's `conversations` (from and value).
A call becomes text in the dialect `hermes` of rewards.tool_calls, which the reward tool_call reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rewards.tool_calls import render_calls

ROLES = ("system", "user", "assistant", "tool")
FORMS = ("messages", "conversations")
"""The columns that hold a whole conversation."""

MEDIA = ("images", "image", "videos", "video", "audios", "audio")
"""Columns of files that turns show by a mark such as <image>."""
_PICTURE = re.compile(r"<(?:image|video|audio)>")

TOOL_COLUMNS = ("tools", "functions")
_ALSO = {"developer": "system", "function": "tool"}
SHAREGPT_ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "bot": "assistant", "model": "assistant", "tool": "tool", "observation": "tool", "function_response": "tool",
    "function": "tool", "function_call": "assistant",
}  # fmt: skip
_KEPT = ("name", "tool_call_id")
_TEXT_PARTS = ("text", "input_text", "output_text")

Turn = dict[str, str]


def read_turns(turns: Any, where: str, problems: list[str]) -> list[Turn]:
    """The turns with `role`, `content` and nothing but text in them; what is wrong is added to `problems`, a line each."""
    if not isinstance(turns, list) or not turns:
        problems.append(f"{where}: a list of at least one message is allowed, not {kind_of(turns)}")
        return []
    return [_read_turn(turn, f"{where}[{index}]", problems) for index, turn in enumerate(turns)]


def cut_conversation(
    row: Mapping[str, Any], form: str, where: str, problems: list[str]
) -> tuple[list[Turn], str | None] | None:
    """The prompt and the reference of a row that has one of `FORMS`; None, and lines in `problems`, where it has none.

    The last turn must be the assistant's: its text, its calls, or both are the reference. Functions that the row lists
    under `tools` are told in the system turn, unless that names them all.
    """
    found: list[str] = []
    given = row[form]
    turns = read_turns(given, f"{where}: {form}", found)
    if not found and (len(turns) < 2 or turns[-1]["role"] != "assistant"):
        found.append(f"{where}: {form}: the last turn must be the assistant's, with a prompt before it")
    if not found and not turns[-1]["content"]:
        found.append(
            f"{where}: {form}[{len(turns) - 1}]: the answer is empty; give its content, or its calls under tool_calls"
        )
    system = row.get("system")
    if (
        form == "conversations"
        and isinstance(system, str)
        and system.strip()
        and turns
        and turns[0]["role"] != "system"
    ):
        turns = [{"role": "system", "content": system}, *turns]
    shown = next((name for name in MEDIA if row.get(name)), None)
    if shown is not None and any(_PICTURE.search(turn["content"]) for turn in turns):
        found.append(f"{where}: {shown}: the turns contain more than text, and only text is read; leave such rows out")
    prompt = tell_tools(turns[:-1], row, where, found)
    problems += found
    return None if found else (prompt, turns[-1]["content"])


def tell_tools(prompt: list[Turn], row: Mapping[str, Any], where: str, problems: list[str]) -> list[Turn]:
    """The prompt with the functions of the row's `tools` in its system turn; as it is where it names them all already."""
    column = next((name for name in TOOL_COLUMNS if row.get(name)), None)
    if column is None:
        return prompt
    tools = row[column]
    if isinstance(tools, str):
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError):
            problems.append(f"{where}: {column}: neither a list of functions nor JSON text of one")
            return prompt
    described = [inside for tool in tools if (inside := _inside(tool))] if isinstance(tools, list) else []
    if not isinstance(tools, list) or len(described) < len(tools):
        problems.append(f"{where}: {column}: a list of functions is allowed, each an object with a name")
        return prompt
    system = prompt[0]["content"] if prompt and prompt[0]["role"] == "system" else ""
    if all(tool["name"] in system for tool in described):
        return prompt
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in described)
    told = (
        f"Functions that can be called, one a line:\n<tools>\n{lines}\n</tools>\n"
        'Write each call as\n<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call>'
    )
    rest = prompt[1:] if system else prompt
    return [{"role": "system", "content": f"{system}\n\n{told}".lstrip()}, *rest]


def _read_turn(turn: Any, where: str, problems: list[str]) -> Turn:
    nothing = {"role": "", "content": ""}
    if not isinstance(turn, dict):
        problems.append(f"{where}: an object with role and content is allowed, not {kind_of(turn)}")
        return nothing
    if "from" in turn and "role" not in turn:
        return _read_sharegpt(turn, where, problems)
    role = turn.get("role")
    role = _ALSO.get(role, role) if isinstance(role, str) else role
    if role not in ROLES:
        problems.append(f"{where}.role: {role!r} is not one of {', '.join(ROLES)}")
    calls = _read_calls(turn, role, where, problems)
    given = turn.get("content")
    if given is None and (turn.get("tool_calls") or turn.get("function_call")):
        given = ""
    content = _read_content(given, f"{where}.content", problems, answers=role == "assistant")
    text = "\n".join(filter(None, (content.rstrip() if calls else content, calls)))
    kept = {key: turn[key] for key in _KEPT if isinstance(turn.get(key), str)}
    return {"role": str(role), "content": text, **kept}


def _read_sharegpt(turn: Mapping[str, Any], where: str, problems: list[str]) -> Turn:
    said, value = turn["from"], turn.get("value")
    role = SHAREGPT_ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        problems.append(f"{where}.from: {said!r} is not one of {', '.join(SHAREGPT_ROLES)}")
    if not isinstance(value, str):
        problems.append(f"{where}.value: a string is allowed, not {kind_of(value)}")
        return {"role": "", "content": ""}
    if said == "function_call":
        try:
            call = json.loads(value)
            value = render_calls(call if isinstance(call, list) else [call])
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}.value: not a call that can be read ({error})")
    return {"role": str(role), "content": value}


def _read_calls(turn: Mapping[str, Any], role: Any, where: str, problems: list[str]) -> str:
    """The turn's calls as text; an empty text where it makes none."""
    key = next((name for name in ("tool_calls", "function_call") if turn.get(name)), None)
    if key is None:
        return ""
    given = turn[key]
    if role != "assistant":
        problems.append(f"{where}.{key}: belongs to an assistant turn, not to {role!r}")
    calls = given if isinstance(given, list) else [given]
    try:
        return render_calls(calls)
    except (ValueError, RecursionError) as error:
        problems.append(f"{where}.{error}")
        return ""


def _read_content(content: Any, where: str, problems: list[str], *, answers: bool) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        advice = "; an answer needs content or tool_calls" if answers and content is None else ""
        problems.append(f"{where}: a string is allowed, not {kind_of(content)}{advice}")
        return ""
    texts = []
    for index, part in enumerate(content):
        text = (
            part.get("text", part.get("value"))
            if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS
            else part
        )
        if isinstance(text, str):
            texts.append(text)
            continue
        said = f"a part of type {part.get('type')!r}" if isinstance(part, dict) else kind_of(part)
        problems.append(f"{where}[{index}]: {said}; only text is read")
    return "".join(texts)


def _inside(tool: Any) -> dict[str, Any] | None:
    """The description of a function, out of its wrapper `{"type": "function", "function": {...}}`; None where it is none."""
    inside = tool.get("function", tool) if isinstance(tool, dict) else None
    return inside if isinstance(inside, dict) and isinstance(inside.get("name"), str) and inside["name"] else None


def kind_of(value: Any) -> str:
    """The JSON name of a value's type, for messages."""
    if value is None:
        return "null"
    names = {"bool": "true/false", "int": "number", "float": "number", "str": "text", "list": "list", "dict": "object"}
    name = names.get(type(value).__name__, type(value).__name__)
    return f"an empty {name}" if isinstance(value, str | list | dict) and not value else name
