"""Tool calls in tags: `<function=f><parameter=a>1</parameter></function>`, `<invoke name="f">`, `<arg_key>` and `<arg_value>`."""

from __future__ import annotations

import re
from typing import Any

from rewards.answers import CONFLICTING
from rewards.tool_calls.calls import NAME, Call
from rewards.tool_calls.child_tags import read_children
from rewards.tool_calls.values import ValueReader, read_json

_PREFIX = r"(?:[\w-]{1,20}:|｜DSML｜)?"
OPEN = re.compile(
    rf"<(?:function(?:\s*=\s*|\s+name\s*=\s*)|(?:tool|tool_call|function_call)\s+name\s*=\s*|{_PREFIX}invoke\s+name\s*=\s*)(?P<name>[^<>\n]{{0,200}})>",
    re.IGNORECASE,
)
"""The tag that opens a call."""

PARAMETER = re.compile(
    rf"<{_PREFIX}param(?:eter)?(?:\s*=\s*(?P<key>[^<>\n]{{1,200}})|\s+name\s*=\s*(?P<named>\"[^\"\n]{{1,200}}\"|'[^'\n]{{1,200}}')"
    r"(?P<more>[^<>\n]{0,80}))>"
)
_PARAMETER_END = re.compile(rf"</{_PREFIX}param(?:eter)?(?:=[^<>\n]{{1,200}})?>")
END = re.compile(rf"</(?:function|tool|(?:tool|function)_call|{_PREFIX}invoke)>", re.IGNORECASE)
_WRAPPED = re.compile(r"\s*<(?P<tag>parameters|arguments|args|input)>\s*", re.IGNORECASE)
_STRUCTURE = re.compile(
    rf"\s*(?:<{_PREFIX}param(?:eter)?(?:\s*=|\s+name)|</(?:function|tool|{_PREFIX}invoke)>|</?(?:[\w-]+:)?tool_call"
    r"|</?(?:[\w-]+:|｜DSML｜)?function_calls|\Z)",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(
    r"\s*<(?:longcat_)?arg_key>(.{0,200}?)</(?:longcat_)?arg_key>\s*<(?:longcat_)?arg_value>", re.DOTALL
)
_ARGUMENT_END = re.compile(r"</(?:longcat_)?arg_value>")
_AFTER_ARGUMENT = re.compile(r"\s*(?:<(?:longcat_)?arg_key>|</?(?:longcat_)?tool_call>|\Z)")
_LAST_NAME = re.compile(r"(?:<?function=)?([A-Za-z_][\w.-]{0,199})\s*>?\s*\Z")
_STRING_SAID = re.compile(r"string\s*=\s*\"(true|false)\"")
_SPACE = re.compile(r"\s*+")
_BALANCED_ENDS = 64
_LONGEST_OPEN = 20_000
"""Characters in which the end of a value without a closing tag is looked for."""


def read_block(reader: ValueReader, opened: re.Match[str]) -> tuple[Call | None, int]:
    """The call that a tag opens, and where it ends; no call where the name is none."""
    text, place = reader.text, opened.end()
    name = opened["name"].strip().strip("\"'").strip()
    wrapped = _WRAPPED.match(text, place)
    start = wrapped.end() if wrapped else _SPACE.match(text, place).end()  # type: ignore[union-attr]
    if text[start : start + 1] == "{":
        return _read_json_block(reader, name, start, f"</{wrapped['tag']}>" if wrapped else "")
    if text[start : start + 1] == "<" and NAME.match(name):
        inside = _read_children(text, start, wrapped)
        if inside is not None:
            return Call(name, inside[0], typed=not inside[0]), inside[1]
    arguments, typed, clean, place = read_parameters(reader, place)
    if not NAME.match(name):
        return None, place
    return Call(name, arguments, typed=typed, clean=clean), place


def read_nameless(reader: ValueReader, place: int, before: str) -> tuple[Call | None, int]:
    """A call whose opening tag is gone, often with the name in it: what is left of it stands last before the parameters."""
    arguments, typed, clean, end = read_parameters(reader, place)
    found = _LAST_NAME.search(before[-300:])
    return Call(found[1] if found else "", arguments, typed=typed, clean=clean and bool(found)), end


def _read_children(text: str, place: int, wrapped: re.Match[str] | None) -> tuple[dict[str, Any], int] | None:
    """Arguments as tags of their own, inside `<parameters>` or right inside the tag of the call."""
    if wrapped is None:
        closing = END.search(text, place, place + _LONGEST_OPEN)
        return read_children(text, place, closing[0]) if closing and not PARAMETER.match(text, place) else None
    found = read_children(text, place, f"</{wrapped['tag']}>")
    if found is None:
        return None
    after = _SPACE.match(text, found[1]).end()  # type: ignore[union-attr]
    closing = END.match(text, after)
    return found[0], closing.end() if closing else found[1]


def _read_json_block(reader: ValueReader, name: str, place: int, wrapper: str = "") -> tuple[Call | None, int]:
    """Llama 3.1 writes the arguments as JSON inside the tag; `wrapper` is the tag that closes behind them."""
    closed = reader.find(END, place)
    found = reader.any(place, closed.start() if closed else len(reader.text))
    end = found.end if found else place
    if wrapper:
        after = _SPACE.match(reader.text, end).end()  # type: ignore[union-attr]
        end = after + len(wrapper) if reader.text.startswith(wrapper, after) else end
    after = _SPACE.match(reader.text, end).end()  # type: ignore[union-attr]
    closing = END.match(reader.text, after)
    end = closing.end() if closing else end
    if found is None or not isinstance(found.value, dict) or not NAME.match(name):
        return None, closed.end() if closed and found is None else end
    return Call(name, found.value, clean=found.clean, repaired=found.repaired), end


def read_parameters(reader: ValueReader, place: int) -> tuple[dict[str, Any], bool, bool, int]:
    """The parameters from `place` on: arguments, whether they are typed, whether nothing was guessed, and the end."""
    text = reader.text
    arguments: dict[str, Any] = {}
    clean, typed, end = True, True, place
    while True:
        match = reader.find(PARAMETER, place)
        closing = reader.find(END, place, match.start() if match else None)
        following = reader.find(OPEN, place, match.start() if match else None)
        if following and (closing is None or following.start() < closing.start()):
            return arguments, typed and bool(arguments), False, end
        if closing is not None:
            return (
                arguments,
                typed and bool(arguments),
                clean and not text[place : closing.start()].strip(),
                closing.end(),
            )
        if match is None:
            # Nothing more: what follows the last parameter is text again.
            return arguments, typed and bool(arguments), clean and bool(arguments), end
        clean = clean and not text[place : match.start()].strip()
        key = (match["key"] or match["named"][1:-1]).strip().strip("\"'")
        written, place, closed = _read_value(reader, match.end())
        # In `<parameter name="a">text</parameter>` line breaks are the text's own, unless they lay it out.
        stripped = strip_lines(written) if match["key"] or written.startswith(("\n", "\r\n")) else written
        said = _STRING_SAID.search(match["more"] or "")
        value: Any = stripped
        if said is None:
            typed = False
        elif said[1] == "false":
            value = read_json(written.strip())
            value = written if value is CONFLICTING else value
        else:
            value = written
        clean = clean and closed and key not in arguments
        arguments[key] = CONFLICTING if arguments.get(key, value) != value else value
        end = place


def _read_value(reader: ValueReader, start: int) -> tuple[str, int, bool]:
    """A value up to its closing tag: the one that balances the tags inside and stands before another tag of the call."""
    text = reader.text
    first = fitting = None
    place = start
    inner = reader.find(PARAMETER, start)
    opened = 0
    for count in range(_BALANCED_ENDS):
        match = reader.find(_PARAMETER_END, place)
        if match is None:
            break
        first = first or match
        while inner is not None and inner.start() < match.start():
            opened += 1
            inner = reader.find(PARAMETER, inner.end())
        if _STRUCTURE.match(text, match.end()):
            fitting = fitting or match
            if opened == count:
                return text[start : match.start()], match.end(), True
        place = match.end()
    closing = fitting or first
    another = PARAMETER.search(text, start, closing.start() if closing else start + _LONGEST_OPEN)
    if closing is not None and (fitting is not None or another is None):
        return text[start : closing.start()], closing.end(), True
    ends = [match.start() for match in (another, END.search(text, start, start + _LONGEST_OPEN)) if match]
    end = min(ends, default=len(text))
    return text[start:end], end, False


def read_pairs(reader: ValueReader, name: str, place: int) -> tuple[Call, int]:
    """GLM's `<arg_key>` and `<arg_value>`, from `place` on."""
    text = reader.text
    arguments: dict[str, Any] = {}
    clean = True
    while (match := _ARGUMENT.match(text, place)) is not None:
        key, start = match[1].strip(), match.end()
        closing = None
        for count, candidate in enumerate(_ARGUMENT_END.finditer(text, start)):
            closing = closing or candidate
            if _AFTER_ARGUMENT.match(text, candidate.end()):
                closing = candidate
                break
            if count >= _BALANCED_ENDS:
                break
        end = closing.start() if closing else len(text)
        value: Any = strip_lines(text[start:end])
        clean = clean and closing is not None and key not in arguments
        arguments[key] = CONFLICTING if arguments.get(key, value) != value else value
        place = closing.end() if closing else end
    return Call(name, arguments, typed=not arguments, clean=clean), place


def strip_lines(value: str) -> str:
    """The text between the tags, without the line breaks that only lay it out."""
    value = value.removeprefix("\r\n").removeprefix("\n")
    return value.removesuffix("\n").removesuffix("\r") if "\n" in value else value.rstrip("\n")
