"""Reading tool calls out of a text, in any of the dialects in which models write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import orjson

from rewards.answers import UNSAID, read_answer, skip_reasoning
from rewards.types import Completion

MAXIMUM_TEXT = 60_000
"""Characters that are read; real calls are far shorter."""

MAXIMUM_CALLS = 256

_NAMES = ("name", "tool_name", "tool", "function_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input", "kwargs", "tool_input")
_COMPANIONS = frozenset({*_NAMES, *_ARGUMENTS, "function", "id", "call_id", "type", "index"})
_WRAPPERS = ("tool_calls", "function_calls", "calls", "tools")

# Neither end of a fence stands inside a text of JSON: there a line break is written as an escape.
_FENCE = re.compile(
    r"(?<![^\s:>])```[ \t]*[\w+-]*(?:[ \t]*\n(?P<block>.*?)(?:\n[ \t]*```|```[ \t]*(?=\n|\Z)|\Z)|(?P<inline>[^\n]*?)```)",
    re.DOTALL,
)
_TAGGED = re.compile(r"<(tool_call|function_call)>(.*?)(?:</\1>|(?=<\1>)|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"<function=", re.IGNORECASE)
_PARAMETER = re.compile(r"<parameter=([^<>\n]{1,200})>(.*?)(?:</parameter>|(?=<parameter=|</function>)|\Z)", re.DOTALL)
_FUNCTION_END = "</function>"
_NAME = re.compile(r"[\w.:/-]{1,200}\Z")
_LAST_NAME = re.compile(r"(?:<?function=)?([A-Za-z_][\w.-]{0,199})\s*>?\s*\Z")


class Call(NamedTuple):
    """One call: `typed` is False where the dialect writes every argument as text; `clean` is False for a guessed reading.

    `surplus` counts the members around the call that belong to no dialect.
    """

    name: str
    arguments: dict[str, Any]
    typed: bool = True
    clean: bool = True
    repaired: bool = False
    surplus: int = 0


class CallReading(NamedTuple):
    """The calls of a text in order, and how many more were meant but cannot be read."""

    calls: tuple[Call, ...]
    broken: int = 0


def read_calls(text: str) -> CallReading:
    """Every call of a text, whichever dialects it mixes.

    `<tool_call>` with JSON or with markup in it; `<function=name><parameter=k>v</parameter></function>`, with or without
    its opening tags; a fence with JSON; JSON that stands alone. JSON may be written as Python, in one object, a list, or
    one after the other. Reasoning that ended is skipped.
    """
    text = text[:MAXIMUM_TEXT]
    whole = _read_whole(text)
    if whole is None and "think>" in text:
        text = skip_reasoning(text)
        whole = _read_whole(text)
    if whole is not None:
        return whole
    found = _Found()
    if "<tool_call>" in text or "<function_call>" in text:
        text = _TAGGED.sub(lambda match: _take(found, _read_tagged(match)), text)
    if _has_markup(text):
        _take(found, _read_markup(text))
        text = _leave_markup_out(text)
    if "```" in text:
        text = _FENCE.sub(lambda match: _take(found, _read_json(_inside(match), bool(found.calls))), text)
    if "{" in text:
        _take(found, _read_json(text, bool(found.calls)))
    return CallReading(tuple(found.calls[:MAXIMUM_CALLS]), found.broken + max(0, len(found.calls) - MAXIMUM_CALLS))


class _Found:
    """What has been read so far."""

    __slots__ = ("broken", "calls")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.broken = 0


def _take(found: _Found, reading: CallReading) -> str:
    """Add a reading; the line break that stands in the text for what was read."""
    found.calls.extend(reading.calls)
    found.broken += reading.broken
    return "\n"


def _read_whole(text: str) -> CallReading | None:
    """The calls of a text that is strict JSON as a whole, or one fence of it: what its texts say is no call. Else None."""
    text = text.strip()
    fence = _FENCE.fullmatch(text) if text.startswith("```") else None
    if fence is not None:
        text = _inside(fence).strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        orjson.loads(text)
    except ValueError:
        return None
    return _read_json(text, False)


def _inside(fence: re.Match[str]) -> str:
    return fence["block"] or fence["inline"] or ""


def _read_tagged(match: re.Match[str]) -> CallReading:
    """The inside of one `<tool_call>`: markup or JSON; a tag without a call in it is a broken call."""
    inside, closed = match[2], match[0].endswith(f"</{match[1]}>")
    is_json = inside.lstrip().startswith(("{", "["))
    reading = _read_markup(inside) if not is_json and _has_markup(inside) else _read_json(inside, False)
    calls = reading.calls if closed else tuple(call._replace(clean=False) for call in reading.calls)
    return CallReading(calls, reading.broken or int(not calls))


def _has_markup(text: str) -> bool:
    return "<parameter=" in text or _FUNCTION.search(text) is not None


def _read_markup(text: str) -> CallReading:
    """`<function=name>...</function>` blocks, each ended by its closing tag or the next block."""
    calls = [_read_block(block) for block in islice(_markup_blocks(text), MAXIMUM_CALLS)]
    return CallReading(tuple(call for call in calls if call), calls.count(None))


def _leave_markup_out(text: str) -> str:
    """What stands before, between and after the blocks of markup."""
    pieces = []
    for piece in text.split(_FUNCTION_END):
        opened, parameter = _FUNCTION.search(piece), piece.find("<parameter=")
        starts = [at for at in (opened.start() if opened else -1, parameter) if at >= 0]
        pieces.append(piece[: min(starts, default=len(piece))])
    return "\n".join(pieces)


def _markup_blocks(text: str) -> Iterator[str]:
    for piece in text.split(_FUNCTION_END):
        starts = [match.start() for match in _FUNCTION.finditer(piece)]
        if starts:
            yield from (piece[at:end] for at, end in zip(starts, [*starts[1:], len(piece)], strict=True))
        elif "<parameter=" in piece:
            yield piece


def _read_block(block: str) -> Call | None:
    head, parameter, _ = block.partition("<parameter=")
    opened = _FUNCTION.match(head)
    if opened:
        name, closed, between = head[opened.end() :].partition(">")
        name, clean = name.strip().strip("\"'"), bool(closed) and not between.strip()
    else:
        # The opening tag is gone, often with the name in it: what is left of it stands last before the arguments.
        found = _LAST_NAME.search(head[-300:])
        name, clean = (found[1] if found else ""), bool(found)
    if name and not _NAME.match(name):
        return None
    if not name and not parameter:
        return None
    arguments: dict[str, Any] = {}
    for match in _PARAMETER.finditer(block):
        key = match[1].strip()
        value = _strip_lines(match[2])
        clean = clean and key not in arguments and match[0].endswith("</parameter>")
        arguments[key] = UNSAID if arguments.get(key, value) != value else value
    return Call(name, arguments, typed=False, clean=clean and bool(name))


def _strip_lines(value: str) -> str:
    """The text between the tags, without the line breaks that only lay it out."""
    value = value.removeprefix("\r\n").removeprefix("\n")
    return value.removesuffix("\n").removesuffix("\r") if "\n" in value else value.rstrip("\n")


def _read_json(text: str, needs_arguments: bool) -> CallReading:
    """The calls of one piece of JSON: one object, a list, objects in a row, or a wrapper such as {"tool_calls": [...]}.

    An object that names no function is an answer of another kind, and no call gone wrong.
    """
    completion = Completion(text)
    reading, answer = completion.extraction, read_answer(completion)
    value = answer.value
    for _ in range(2):
        if isinstance(value, dict) and not _has_name(value):
            value = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), list)), value)
    items = value if isinstance(value, list) else [value]
    kinds = {getattr(repair.kind, "value", repair.kind) for repair in reading.repairs} - {"records"}
    guessed = reading.truncated or any(
        getattr(repair.kind, "structural", False)
        for repair in reading.repairs
        if getattr(repair.kind, "value", repair.kind) != "records"
    )
    calls, broken = [], 0
    for item in items[:MAXIMUM_CALLS]:
        call = _read_object(item, needs_arguments)
        if call is None:
            broken += 1
        else:
            calls.append(call._replace(clean=call.clean and not guessed, repaired=bool(kinds)))
    if len(calls) == 1 and reading.candidates > 1 and _is_repeated(text, reading.span, calls[0]):
        calls *= min(reading.candidates, MAXIMUM_CALLS)
    # Another object beside the call that says otherwise is a call too many.
    return CallReading(tuple(calls), broken + answer.doubted) if calls else CallReading(())


def _is_repeated(text: str, span: tuple[int, int] | None, call: Call) -> bool:
    """Whether the same call stands outside of its span again: the reader of JSON takes equal objects for one answer."""
    from rewards.extraction import extract_json

    start, end = span or (0, len(text))
    for rest in (text[:start], text[end:]):
        other = _read_object(extract_json(rest).value, False) if "{" in rest else None
        if other and (other.name, other.arguments) == (call.name, call.arguments):
            return True
    return False


def _has_name(value: dict[str, Any]) -> bool:
    return any(isinstance(value.get(key), str) for key in _NAMES)


def _read_object(item: Any, needs_arguments: bool) -> Call | None:
    """{"name", "arguments"} and its cousins: `parameters`, `args`, {"function": {...}}, arguments as JSON text."""
    if not isinstance(item, dict):
        return None
    surplus = sum(key not in _COMPANIONS for key in item)
    if isinstance(item.get("function"), dict) and not _has_name(item):
        item = item["function"]
    name = next((item[key] for key in _NAMES if isinstance(item.get(key), str)), None)
    if name is None and isinstance(item.get("function"), str):
        name = item["function"]
    if not name or not name.strip() or (needs_arguments and not any(key in item for key in _ARGUMENTS)):
        return None
    arguments = next((item[key] for key in _ARGUMENTS if key in item), None)
    if isinstance(arguments, str):
        from rewards.extraction import extract_json

        arguments = extract_json(arguments).value if arguments.strip() else None
    if arguments is None:
        return Call(name.strip(), {}, surplus=surplus)
    return Call(name.strip(), arguments, surplus=surplus) if isinstance(arguments, dict) else None
