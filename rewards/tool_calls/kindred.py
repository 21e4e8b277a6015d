"""Notations that are those of another family with other marks, written with the marks that are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

Replacement = str | Callable[[re.Match[str]], str]


def _open_argument(match: re.Match[str]) -> str:
    said = "true" if match["type"] == "string" else "false"
    return f'<parameter name="{unescape(match["key"])}" string="{said}">'


def _open_call(match: re.Match[str]) -> str:
    return f'<invoke name="{unescape(match["name"])}">'


_KINDRED: tuple[tuple[str, tuple[tuple[re.Pattern[str], Replacement], ...]], ...] = (
    # GigaChat 3.5: DeepSeek V3.2's tags under a name of its own.
    ("｜GCML｜", ((re.compile(r"｜GCML｜"), "｜DSML｜"),)),
    # MiniMax M3 puts a mark before each of its tags.
    ("]<]minimax[>[", ((re.compile(r"\]<\]minimax\[>\["), ""),)),
    # Hunyuan 4: GLM 4.5's tags with a suffix.
    ("<tool_call", ((re.compile(r"<(/?(?:tool_calls?|arg_key|arg_value|think)):\w{1,20}>"), r"<\1>"),)),
    # K2 Horizon: the same with a prefix, and types that the values show anyway.
    (
        "<ifm|",
        (
            (re.compile(r"<ifm\|arg_type>[^<>\n]{0,40}</ifm\|arg_type>"), ""),
            (re.compile(r"<(/?)ifm\|(?=(?:tool_calls?|arg_key|arg_value)>)"), r"<\1"),
        ),
    ),
    # Solar Open 2.
    (
        "<|tool_call:start|>",
        (
            (re.compile(r"<\|tool_call:start\|>"), "<tool_call>"),
            (re.compile(r"<\|tool_call:end\|>"), "</tool_call>"),
            (re.compile(r"<\|tool_arg:start\|>"), "<arg_key>"),
            (re.compile(r"<\|tool_arg:value\|>"), "</arg_key><arg_value>"),
            (re.compile(r"<\|tool_arg:end\|>"), "</arg_value>"),
            (re.compile(r"<\|think:(start|end)\|>"), lambda match: "<think>" if match[1] == "start" else "</think>"),
        ),
    ),
    # PLaMo 3.
    (
        "<|plamo:",
        (
            (re.compile(r"<\|plamo:begin_tool_request:plamo\|>"), "<tool_call>"),
            (re.compile(r"<\|plamo:end_tool_request:plamo\|>"), "</tool_call>"),
            (re.compile(r"<\|plamo:begin_(think):plamo\|>|<\|plamo:begin_tool_(name|arguments):plamo\|>"),
             lambda match: f"<{match[1] or match[2]}>"),
            (re.compile(r"<\|plamo:end_(think):plamo\|>|<\|plamo:end_tool_(name|arguments):plamo\|>"),
             lambda match: f"</{match[1] or match[2]}>"),
            (re.compile(r"<\|plamo:constrain\|>json|<\|plamo:(?:(?:begin|end)_\w{1,30}:plamo|msg|tag)\|>"), ""),
        ),
    ),
    # Kimi K3: tags whose brackets are tokens, typed.
    (
        "<|open|>",
        (
            (re.compile(r'<\|open\|>\s?call tool="(?P<name>[^"\n]{0,200})"[^<>\n]{0,40}<\|sep\|>'), _open_call),
            (re.compile(r'<\|open\|>\s?argument key="(?P<key>[^"\n]{0,200})" type="(?P<type>\w{1,20})"\s?<\|sep\|>'), _open_argument),
            (re.compile(r"<\|close\|>\s?argument\s?<\|sep\|>"), "</parameter>"),
            (re.compile(r"<\|close\|>\s?call\s?<\|sep\|>"), "</invoke>"),
            (re.compile(r"<\|(open|close)\|>\s?think\s?<\|sep\|>"), lambda match: "<think>" if match[1] == "open" else "</think>"),
            (re.compile(r"<\|(?:open|close)\|>\s?(?:tools|response|message)[^<>\n]{0,80}<\|sep\|>"), ""),
        ),
    ),
)  # fmt: skip


def write_known(text: str) -> str:
    """The text with the marks of a family that is read in place of its kin's; most texts as they are."""
    if "<" not in text:
        return text
    for sign, replacements in _KINDRED:
        if sign in text:
            for pattern, replacement in replacements:
                text = pattern.sub(replacement, text)
    return text
