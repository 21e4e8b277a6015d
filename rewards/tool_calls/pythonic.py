"""Tool calls written as Python: `f(a=1, b="x")`, alone, in a list, or one a line. Read, never evaluated."""

from __future__ import annotations

import re
from typing import Any

from rewards.tool_calls.calls import MAXIMUM_CALLS, Call, NotACallError

_DEEPEST = 32
_WORDS = {
    "True": True, "False": False, "None": None, "true": True, "false": False, "null": None,
}  # fmt: skip
_SPACE = re.compile(r"(?:\s|#[^\n]*\n)*+")
_CALL = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*|[^\W\d][\w.-]*)\s*\(")
_KEY = re.compile(r"([^\W\d][\w-]*)\s*(?:=(?!=)|:(?![:=]))")
# ToolACE's functions have names such as `Market Trends API`; in a list, before keyword arguments, that is no prose.
_TITLED = re.compile(
    r"([^\W\d][^\[\](){}<>=\"'`,;\n]{0,120}?(?:\s?\([\w .+-]{1,40}\)){0,2})(?<!\s)\((?=\s*(?:\)|[^\W\d][\w-]*\s*=(?!=)))"
)
_BARE_KEY = re.compile(r"([A-Za-z_$][\w$]*)\s*(?=:(?!:))")
# What may follow a text; a quote of its own kind that anything else follows is one inside it.
_FOLLOWS = re.compile(
    r"\s*(?:[)\]}]|,\s*(?:[A-Za-z_]\w*\s*[=:]|[\"'\[{(\d)\]}-]|(?:True|False|None|true|false|null)\b)|:\s|\Z)"
)
_ENDS = (",", ")", "]", "}", ":", "")
_LONGEST_MENDED = 2_000
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)(?![\w.])")
_WORD = re.compile(r"[A-Za-z]+(?!\w)")
_TEXT = re.compile(
    r"[rRbBuU]{0,2}(?:\"\"\"(?P<a>(?:[^\\]|\\.)*?)\"\"\"|'''(?P<b>(?:[^\\]|\\.)*?)'''"
    r"|\"(?P<c>(?:[^\"\\]|\\.)*+)\"|'(?P<d>(?:[^'\\]|\\.)*+)')",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "\n": ""}
_SEPARATORS = re.compile(r"[\s,;]*+")


def starts_call(text: str, place: int) -> bool:
    """Whether a call, or a list of them, may start at `place`."""
    if text[place : place + 1] == "[":
        place = _skip(text, place + 1)
        return (_CALL.match(text, place) or _TITLED.match(text, place)) is not None
    return _CALL.match(text, place) is not None


def read_pythonic(text: str, place: int) -> tuple[list[Call], int] | None:
    """The list of calls that starts at `place`, or the calls that follow one another there, and where they end.

    None where it is not a call of keyword arguments; `print(f(a=1))` is the call inside.
    """
    try:
        if text[place : place + 1] != "[":
            return _read_row(text, place)
        calls: list[Call] = []
        place = _skip(text, place + 1)
        while len(calls) < MAXIMUM_CALLS:
            call, place = _read_call(text, place, titled=True)
            calls.append(call)
            place = _skip(text, place)
            mark = text[place : place + 1]
            if mark == ",":
                place = _skip(text, place + 1)
                mark = text[place : place + 1]
            elif mark != "]":
                return None
            if mark == "]":
                return calls, place + 1
    except NotACallError:
        return None
    return None


def _read_row(text: str, place: int) -> tuple[list[Call], int]:
    calls: list[Call] = []
    end = place
    while len(calls) < MAXIMUM_CALLS and _CALL.match(text, place):
        try:
            call, end = _read_call(text, place)
        except NotACallError:
            if not calls:
                raise
            break
        calls.append(call)
        place = _SEPARATORS.match(text, end).end()  # type: ignore[union-attr]
    if not calls:
        raise NotACallError
    return calls, end


def _skip(text: str, place: int) -> int:
    return _SPACE.match(text, place).end()  # type: ignore[union-attr]


def _read_call(text: str, place: int, titled: bool = False, depth: int = 0) -> tuple[Call, int]:
    """`titled`: a name of several words is one; `depth`: how many calls such as `print` stand around this one."""
    if depth > _DEEPEST:
        raise NotACallError
    mended: list[int] = []
    plain = _CALL.match(text, place)
    match = plain or (_TITLED.match(text, place) if titled else None)
    if match is None:
        raise NotACallError
    name, place = match[1], _skip(text, match.end())
    if name in ("print", "final_answer") and _CALL.match(text, place):
        call, place = _read_call(text, place, depth=depth + 1)
        place = _skip(text, place)
        if text[place : place + 1] != ")":
            raise NotACallError
        return call, place + 1
    arguments: dict[str, Any] = {}
    if text.startswith("**{", place):
        place += 2
    if text[place : place + 1] == "{":
        # One object of all arguments, as TypeScript would have it.
        found, place = _read_container(text, place, 0, mended)
        place = _skip(text, place)
        if not isinstance(found, dict) or text[place : place + 1] != ")":
            raise NotACallError
        arguments, name = found, name.removeprefix("functions.")
    while text[place : place + 1] != ")":
        key = _KEY.match(text, place)
        if key is None or key[1] in arguments:
            raise NotACallError
        arguments[key[1]], place = _read_value(text, _skip(text, key.end()), 0, mended)
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != ")":
            raise NotACallError
    # `tool.call(a=1)` is how Llama calls its built-in tools, `default_api.tool(a=1)` how Gemini calls all of them.
    name = name.removeprefix("default_api.").removesuffix(".call")
    return Call(name, arguments, repaired=bool(mended), name_only=plain is None and not arguments), place + 1


def _read_value(text: str, place: int, depth: int, mended: list[int]) -> tuple[Any, int]:
    if depth > _DEEPEST:
        raise NotACallError
    mark = text[place : place + 1]
    if mark in ("[", "(", "{"):
        return _read_container(text, place, depth, mended)
    quoted = _TEXT.match(text, place)
    if quoted:
        pieces = [_unescape(quoted)]
        while (quoted_next := _TEXT.match(text, _skip(text, quoted.end()))) is not None:
            pieces.append(_unescape(quoted_next))
            quoted = quoted_next
        if text[(after := _skip(text, quoted.end())) : after + 1] not in _ENDS:
            closed = _close_text(text, place)
            if closed is not None:
                mended.append(place)
                return text[place + 1 : closed], closed + 1
        return "".join(pieces), quoted.end()
    if text.startswith("dict(", place):
        return _read_dict(text, place + 5, depth, mended)
    word = _WORD.match(text, place)
    if word and word[0] in _WORDS:
        return _WORDS[word[0]], word.end()
    number = _NUMBER.match(text, place)
    if number:
        return _read_number(number[0]), number.end()
    raise NotACallError


def _close_text(text: str, place: int) -> int | None:
    """Where the text that opens at `place` ends if quotes stand inside it unescaped; None where it is not a plain one."""
    quote = text[place]
    if quote not in "\"'":
        return None
    at = text.find(quote, place + 1, place + _LONGEST_MENDED)
    while at >= 0 and _FOLLOWS.match(text, at + 1) is None:
        at = text.find(quote, at + 1, place + _LONGEST_MENDED)
    return at if at >= 0 else None


def _read_dict(text: str, place: int, depth: int, mended: list[int]) -> tuple[dict[str, Any], int]:
    """The inside of `dict(a=1)`."""
    pairs: dict[str, Any] = {}
    place = _skip(text, place)
    while text[place : place + 1] != ")":
        key = _KEY.match(text, place)
        if key is None:
            raise NotACallError
        pairs[key[1]], place = _read_value(text, _skip(text, key.end()), depth + 1, mended)
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != ")":
            raise NotACallError
    return pairs, place + 1


def _read_number(written: str) -> int | float:
    digits = written.replace("_", "")
    if digits.lstrip("+-").isdecimal():
        if len(digits) > 4_000:
            raise NotACallError
        return int(digits)
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise NotACallError
    return number


def _read_container(text: str, place: int, depth: int, mended: list[int]) -> tuple[Any, int]:
    opener = text[place]
    closer = {"[": "]", "(": ")", "{": "}"}[opener]
    items: list[Any] = []
    pairs: dict[str, Any] = {}
    place = _skip(text, place + 1)
    while text[place : place + 1] != closer:
        bare = _BARE_KEY.match(text, place) if opener == "{" else None
        item, place = (bare[1], bare.end()) if bare else _read_value(text, place, depth + 1, mended)
        place = _skip(text, place)
        if opener == "{" and text[place : place + 1] == ":":
            value, place = _read_value(text, _skip(text, place + 1), depth + 1, mended)
            pairs[item if isinstance(item, str) else str(item)] = value
            place = _skip(text, place)
        else:
            items.append(item)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != closer:
            raise NotACallError
    if opener == "{" and not items:
        return pairs, place + 1
    if pairs:
        raise NotACallError
    return items, place + 1


def _unescape(quoted: re.Match[str]) -> str:
    text = next(quoted[name] for name in "abcd" if quoted[name] is not None)
    prefix = quoted[0][: quoted[0].index(quoted[0].lstrip("rRbBuU")[0])].lower()
    if "b" in prefix:
        raise NotACallError
    return text if "r" in prefix or "\\" not in text else _ESCAPE.sub(_read_escape, text)


def _read_escape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        number = int(code[1:], 16)
        return chr(number) if number < 0x110000 else match[0]
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _ESCAPED.get(code, code if code in "\\'\"" else match[0])
