"""Marks of other notations around and in a value, taken away in place: LaTeX's, CDATA's, a diff's, Ruby's symbols."""

from __future__ import annotations

import re
from collections.abc import Callable

from rewards.extraction.repairs import Repair, RepairKind

_TEXTS = {
    '"': re.compile(r"\"(?:[^\"\\\n]|\\.)*+(?P<closed>\")?"),
    "'": re.compile(r"(?<=[:,\[{(\s])'(?:[^'\\\n]|\\.)*+(?P<closed>')?"),
}
_LATEX = re.compile(r"[\"']|(?P<boxed>\\boxed\{(?=\s*\\?[{\[]))|\\(?P<bracket>[{}\[\]])")
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
_DIFF = re.compile(r"```(?:diff|patch)[ \t]*\r?\n(?P<lines>.*?)(?=\n[ \t]*```|\Z)", re.DOTALL)
_DIFF_LINE = re.compile(r"(?m)^(?P<gone>-[^\n]*|\+\+\+ [^\n]*|@@[^\n]*)|^\+")
_SYMBOL = re.compile(r"(?<=[{,(\s]):(?=[^\W\d]\w*\s*=>)")
# Quotes as JSON's own escapes, right behind a bracket.
_CODED_START = re.compile(r"\A[^{\[]*+[{\[]\s*\\u0022")
_CODED = re.compile(r"\\u0022([^\"\\\n]*)\\u0022")
# The colours of a terminal.
_COLOUR = re.compile(r"[\"']|\x1b\[[0-9;]{0,20}[mK]")
_TEX_QUOTES = re.compile(r"(?<!`)``([^`\"'\n]*)''")


def undress(text: str) -> tuple[str, Repair] | None:
    """The text with such marks as blanks, every offset kept, and the first repair; None where there are none."""
    repair: Repair | None = None
    plain = text
    if "\\" in text and ("\\{" in text or "\\[" in text or "\\boxed" in text):
        plain = _take_latex(plain)
        repair = _first_change(text, plain, RepairKind.ESCAPE)
    if "<![CDATA[" in text:
        repair = repair or Repair(RepairKind.WHITESPACE, text.index("<![CDATA["))
        plain = _CDATA.sub(_blank, plain)
    if "```" in text and ("```diff" in text or "```patch" in text):
        after = _DIFF.sub(_apply, plain)
        repair = repair or _first_change(plain, after, RepairKind.COMMENT)
        plain = after
    if "\\u0022" in text and _CODED_START.search(plain) is not None:
        coded = _CODED.search(plain)
        if coded is not None:
            repair = repair or Repair(RepairKind.ESCAPED_DOCUMENT, coded.start())
            plain = _CODED.sub(r'     "\1"     ', plain)
    if "\x1b[" in text:
        after = _replace_outside(_COLOUR, _blank, plain)
        repair = repair or _first_change(plain, after, RepairKind.CONTROL_CHARACTER)
        plain = after
    if "=>" in text:
        symbol = _SYMBOL.search(plain)
        if symbol is not None:
            repair = repair or Repair(RepairKind.BARE_KEY, symbol.start())
            plain = _SYMBOL.sub(" ", plain)
    if "``" in text and "''" in text:
        quotes = _TEX_QUOTES.search(plain)
        if quotes is not None:
            repair = repair or Repair(RepairKind.QUOTE_STYLE, quotes.start())
            plain = _TEX_QUOTES.sub(r' "\1" ', plain)
    return None if repair is None else (plain, repair)


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _first_change(before: str, after: str, kind: RepairKind) -> Repair | None:
    if before == after:
        return None
    return Repair(kind, next(at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new))


def _take_latex(text: str) -> str:
    """Brackets without their backslashes; those of a displayed formula, which open a line, go with them."""
    is_formula = False

    def take(found: re.Match[str]) -> str:
        nonlocal is_formula
        bracket = found["bracket"]
        if found["boxed"] is not None:
            return " " * len(found[0])
        if bracket == "[":
            line = text[max(0, found.start() - 200) : found.start()].rpartition("\n")[2]
            is_formula = not line.strip()
        if bracket in "[]" and is_formula:
            return "  "
        return f" {bracket}"

    return _replace_outside(_LATEX, take, text)


def _replace_outside(marks: re.Pattern[str], put: Callable[[re.Match[str]], str], text: str) -> str:
    """The text with `put` for each mark outside of texts in quotes; `marks` match a quote too.

    Where a text does not close, no quote of its kind does before the end of its line: looking again for each would take
    the square of the length.
    """
    pieces: list[str] = []
    unclosed = dict.fromkeys(_TEXTS, 0)
    at = copied = 0
    while (found := marks.search(text, at)) is not None:
        at = found.end()
        quote = found[0]
        if quote not in _TEXTS:
            pieces += (text[copied : found.start()], put(found))
            copied = at
        elif found.start() >= unclosed[quote]:
            quoted = _TEXTS[quote].match(text, found.start())
            if quoted is not None and quoted["closed"]:
                at = quoted.end()
            elif quoted is not None:
                unclosed[quote] = quoted.end()
    return "".join([*pieces, text[copied:]])


def _apply(found: re.Match[str]) -> str:
    """The lines of a diff as they are after it; a fence without added lines stays as it is."""
    lines = found["lines"]
    if "\n+" not in f"\n{lines}":
        return found[0]
    head = found[0][: len(found[0]) - len(lines)]
    return head + _DIFF_LINE.sub(_blank, lines)
