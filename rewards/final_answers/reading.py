"""What the text of a final answer means: its number with a unit, a formula's value, a list of such, or a label."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Literal, NamedTuple

from rewards.final_answers.formulas import evaluate
from rewards.final_answers.units import FoundUnit, Unit, read_unit
from rewards.text.portuguese import fold

LONGEST_ANSWER = 200
"""Characters a final answer may have."""

Decimal = Literal["either", "point", "comma"]

HASHES = "####"
_LONGEST_NUMBER = 60
_MOST_ITEMS = 32
_LETTERED = re.compile(
    r"(?:(?:a|o|the) (?=[(\[]?[a-z][)\]]?\Z)|(?:an? |the |as )?(?:option|choice|letter|letra|alternativa|opcao|item) (?=[(\[]?[a-z0-9][)\]]?(?:\W|\Z)))"
)
NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+−–]?)[ ]?(?:(?:R|US|U)?\\?\$|[€£¥₹])?[ ]?(?P<inner>[-−–]?)"
    r"(?P<body>[0-9]++(?:[.,][0-9]++)*+|\.[0-9]++)(?P<exponent>[eE][-+]?[0-9]{1,3}(?![0-9.,]))?"
    r"(?:[ ]?/[ ]?(?P<under>[0-9]++(?:[.,][0-9]++)*+))?+(?:[ ]?\\?(?P<percent>%))?(?![0-9A-Za-z_]|/(?![A-Za-z]{2}))",
    re.ASCII,
)
"""A number with its currency, its denominator and its percent sign."""

# A letter right behind a number is its unit, unless it is a variable: 2x, 3n.
_UNITS = re.compile(r"(?<=[0-9])(?=[A-Za-z°ºµμ¢])(?![eE][-+]?[0-9])(?![a-zA-Z](?<![msghlLVWACFdtbk])(?![A-Za-z]))")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,60})\}\s?\{([^{}]{1,60})\}")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s?([0-9])\s?([0-9])(?![0-9])")
_MIXED = re.compile(
    r"(?<![\w.,/])([0-9]{1,6})(?:[ ]*(?=\\[dt]?frac)|[ ]+(?=[0-9]+/))(?:\\[dt]?frac\s?\{?([0-9]{1,6})\}?\s?\{?([0-9]{1,6})\}?|([0-9]{1,6})/([0-9]{1,6}))(?![\w/])"
)
_POWER_OF_TEN = re.compile(
    r"(?<=[0-9])[ ]*(?:\\times|\\cdot|[×x*·])[ ]*10[ ]*(?:\^|\*\*)[ ]*(?:\{[ ]*([-−+]?[0-9]{1,3})[ ]*\}|([-−+]?[0-9]{1,3}))(?![0-9])"
)
_TEN_TO = re.compile(r"(?<![\w.,])10[ ]*\^[ ]*(?:\{[ ]*([-−+]?[0-9]{1,3})[ ]*\}|([-−+]?[0-9]{1,3}))(?![0-9])")
# A number in an inequality, behind a variable, or with a power, is no amount.
_FORMULA_BEFORE = re.compile(
    r"(?:[\w)\]}][ ]*[+*/^·×]|[\w)\]}](?:[-−]|[ ][-−][ ])|[<>≤≥±^]=?|\^\{|\\(?:leq?|geq?|lt|gt|neq?|pm|cdot|times)(?![a-zA-Z]))[ ]*[-+−]?[ ]*\Z"
)
_FORMULA_AFTER = re.compile(
    r"[ ]*(?:[<>≤≥^]|[-+−][ ]?[0-9]*(?:[A-Za-z](?![A-Za-z])|\()|\\(?:leq?|geq?|lt|gt|neq?|pm|cdot|times)(?![a-zA-Z]))"
)
_SPACED = re.compile(r"(?<![\w.,])([0-9]{1,3}(?:[ \u00a0\u2009\u202f][0-9]{3})+)(?![0-9])(?![.,][0-9]{3}(?![0-9]))")
_DRESS = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname)\s?\{([^{}]{0,200})\}")
_SILENT = re.compile(r"(?<!\\)\\[!,;: ()\[\]]|\\(?:left|right|displaystyle|quad)(?![a-zA-Z])|[`*_“”\"‘’]{1,3}")
_DOLLAR = re.compile(r"(?<![A-Za-z\\])\$")
_DEGREES = re.compile(r"\s?\^\s?\{?\s?\\circ\s?\}?|\\degree(?![a-zA-Z])")
_NAMED = re.compile(r"\A[A-Za-z]\s?(?:=|\\in(?![a-zA-Z]))\s?")
_GROUPED = re.compile(r"[0-9]{1,3}(?P<mark>[.,])[0-9]{3}(?:(?P=mark)[0-9]{3})*")
_CHOICE = re.compile(r"[(\[]?([A-Za-z0-9])[)\]]?(?:[.:)](?:\s.*)?)?", re.DOTALL)
_EQUALS = re.compile(r"(?<![<>=!])[=≈](?!=)|[→⇒∴]|\\(?:approx|Rightarrow|rightarrow|implies|therefore|to)(?![a-zA-Z])")
_EITHER = re.compile(r"\s*(?:either|between|entre|ou|de|from)\b", re.IGNORECASE)
_COMMAND = re.compile(r"\\[a-zA-Z]")
_JOINS = re.compile(r"\A\s*(?:,?\s*(?:or|ou|and|e|to|a|até|and/or)\s|[,;/~–-]|\.\.+)", re.IGNORECASE)
# Behind the answer's number: how long, for whom or out of what, which brings numbers of its own.
_ABOUT = re.compile(
    r"\b(?:in|em|no|na|nos|nas|for|per|por|within|after|over|during|durante|dos|das|with|com|each|cada)\b",
    re.IGNORECASE,
)
_SUMS = re.compile(r"[+=<>]|\b(?:or|ou|not|não|minus|menos|plus|mais|times|vezes|less|more)\b", re.IGNORECASE)
_BRACKETED = re.compile(r"(?P<open>\\?[\[({])(?P<inside>.*)(?P<close>\\?[\])}])\.?", re.DOTALL)
_LIST_MARKS = re.compile(r"[;,]|\s(?:and|e|or|ou)\s", re.IGNORECASE)
_SHORT_LABEL = 3
_TIGHT = re.compile(r"-?[0-9]{1,4}(?:,(?![0-9]{3}(?![0-9]))-?[0-9]{1,4}){1,31}")
_STARTS = re.compile(r"(?:[A-Za-z]\s?=\s?)?[-+−(]?\s?(?:[A-Z]{1,2}?\\?\$\s?|[€£¥₹]\s?|\\d?frac\s?\{?)?-?\.?[0-9]")


class FinalAnswerText(NamedTuple):
    """A final answer.

    `numbers` are those it may mean, the first `plain` of them without minding a percent sign; `unscaled` are they before
    `million` and the like. `formula` is the value of one with roots or pi. `items` are the members of a list, pair or interval and
    `brackets` what is around them, empty where their order means nothing. `label` is the text in lower case without dress.
    `certain`: it could be nothing but an answer; `several`: it names more than one number, or a formula; `marked`: a mark says what it is.
    """

    text: str
    numbers: tuple[float, ...]
    plain: int
    percent: bool
    label: str
    certain: bool
    marked: bool
    units: tuple[Unit, ...] = ()
    unscaled: tuple[float, ...] = ()
    formula: float | None = None
    items: tuple[FinalAnswerText, ...] = ()
    brackets: str = ""
    several: bool = False


class _Amount(NamedTuple):
    numbers: list[float]
    unit: FoundUnit
    percent: bool


@lru_cache(maxsize=4096)
def read_answer(text: str, decimal: Decimal = "either", mark: str = "", *, inner: bool = False) -> FinalAnswerText:
    """What the text of a final answer means; `inner`: it is a member of a list, and no list itself."""
    bare = undress(text, spaced=True)[: 4 * LONGEST_ANSWER]
    label = _LETTERED.sub("", fold(bare).strip(" .,;:!?'"), count=1)
    choice = _CHOICE.fullmatch(label)
    if choice is not None:
        label = choice[1]
    items, brackets = ((), "") if inner or choice or bare.isdecimal() else _read_items(bare, decimal)
    first = NUMBER.search(bare[: 2 * LONGEST_ANSWER])
    amount, several = None, False
    formula = evaluate(_strip(text))
    if first is not None and formula is None and not items and not (choice and choice[1].isalpha()):
        amount, several = _read_amount(bare, first, decimal)
    # Only what begins as an answer names several; "obtained by adding 3 and 5, so 8" leads to one.
    several = several and (
        bool(mark) or first is None or first.start() <= _SHORT_LABEL or _EITHER.match(bare) is not None
    )
    # "#### Step 1" and "#### Reasoning" are headings, "#### 71 apples" and "#### (B)" are answers.
    certain = mark != HASHES or choice is not None or (first is not None and first.start() == 0) or bool(items)
    numbers = amount.numbers if amount else []
    unit = amount.unit if amount else FoundUnit()
    scaled = [number * unit.scale for number in numbers if math.isfinite(number * unit.scale)]
    plain = len(scaled)
    percent = amount is not None and amount.percent
    if percent:
        scaled += [number / 100.0 for number in scaled]
    return FinalAnswerText(
        text.strip(), tuple(scaled), plain, percent, label, certain, bool(mark), unit.meanings,
        tuple(numbers) if unit.scale > 1 else (), formula, items, brackets, several and certain,
    )  # fmt: skip


def list_members(answer: FinalAnswerText) -> tuple[FinalAnswerText, ...]:
    """The members of a list; `1,2` is one too, beside the number it may be."""
    if answer.items or answer.units or answer.percent or not _TIGHT.fullmatch(answer.text):
        return answer.items
    return tuple(read_answer(piece, inner=True) for piece in answer.text.split(","))


def undress(text: str, *, spaced: bool = False) -> str:
    r"""A text without LaTeX, emphasis and quotes around its figures; fractions and powers of ten as a / b and 1e6.

    `spaced`: groups of three digits apart are one number.
    """
    # Each kind of dress is looked for only where its sign is.
    latex = "\\" in text
    if latex or "{,}" in text or "^" in text:
        text = _DEGREES.sub("°", text.replace("{,}", ",").replace("\\%", "%"))
    if "^" in text or "**" in text:
        text = _TEN_TO.sub(r"1e\1\2", _POWER_OF_TEN.sub(_write_exponent, text))
    if latex or "/" in text:
        text = _MIXED.sub(_join_mixed, text)
    if latex:
        text = _SHORT_FRACTION.sub(r"\1/\2", _FRACTION.sub(r"\1/\2", _DRESS.sub(r"\1", text)))
    text = _SILENT.sub("", text).strip()
    if "$" in text and len(_DOLLAR.findall(text)) % 2 == 0:
        # In pairs they are LaTeX's, one alone is a currency.
        text = _DOLLAR.sub("", text).strip()
    text = _NAMED.sub("", text)
    if spaced and not text.isdecimal():
        text = _SPACED.sub(lambda match: re.sub(r"\s", "", match[1]), text)
    return _UNITS.sub(" ", text)


def _strip(text: str) -> str:
    """A formula without its name, its dollars and its unit's dress."""
    return _NAMED.sub("", _DRESS.sub(r"\1", text).strip().strip("$").strip(" ."))


def _join_mixed(match: re.Match[str]) -> str:
    whole, above, below = int(match[1]), int(match[2] or match[4]), int(match[3] or match[5])
    return f"{whole * below + above}/{below}" if 0 < above < below else match[0]


def _write_exponent(match: re.Match[str]) -> str:
    return "e" + (match[1] or match[2]).replace("−", "-").replace("+", "")


def _read_amount(bare: str, first: re.Match[str], decimal: Decimal) -> tuple[_Amount | None, bool]:
    """The one number of an answer and its unit, and whether it names several, or a formula, instead."""
    equals = (
        [match.end() for match in _EQUALS.finditer(bare, 0, 2 * LONGEST_ANSWER)] if len(first[0]) < len(bare) else []
    )
    if equals:
        # 48 + 24 = 72: the answer is what it comes to.
        last = NUMBER.search(bare, equals[-1])
        if last is None or _is_formula(bare[equals[-1] :], last.start("body") - equals[-1], last.end() - equals[-1]):
            return None, True
        amount, end = _take(bare, last, decimal)
        return (amount, False) if NUMBER.search(bare, end) is None else (None, True)
    if _is_formula(bare, first.start("body"), first.end()):
        return None, True
    amount, end = _take(bare, first, decimal)
    following = NUMBER.search(bare, end)
    if following is None:
        return amount, False
    between = bare[end : following.start()]
    if first.start() == 0 and _ABOUT.search(between) and not _SUMS.search(between) and not _JOINS.match(between):
        return amount, False
    return None, True


def _is_formula(bare: str, start: int, end: int) -> bool:
    """Whether the number at that place is one of a formula: `2x + 3`, `6 - 5i`, `x < 3`, a logarithm."""
    if "\\" in bare and _COMMAND.search(bare):
        return True
    before = start > 0 and _FORMULA_BEFORE.search(bare[max(0, start - 24) : start])
    return bool(before or (end < len(bare) and _FORMULA_AFTER.match(bare, end)))


def _take(bare: str, match: re.Match[str], decimal: Decimal) -> tuple[_Amount, int]:
    """The number of a match with what it is counted in, and where that ends."""
    sign = bare[max(0, match.start() - 8) : match.start("body")]
    unit = read_unit(sign, "" if match["percent"] else bare[match.end() : match.end() + 64])
    percent = match["percent"] is not None or unit.percent
    return _Amount(_read_number(match, decimal), unit, percent), match.end() + unit.length


@lru_cache(maxsize=4096)
def _read_items(bare: str, decimal: Decimal) -> tuple[tuple[FinalAnswerText, ...], str]:
    r"""The members of `(1, 2)`, `[0, 1)`, `\{1, 2\}` or `1, 2`, and the brackets of those whose order means something."""
    if len(bare) > LONGEST_ANSWER or not _LIST_MARKS.search(bare):
        return (), ""
    around = _BRACKETED.fullmatch(bare)
    brackets, inside = "", bare
    if around is not None:
        inside = around["inside"]
        if "{" not in around["open"]:
            brackets = around["open"][-1] + around["close"][-1]
    pieces = _split(inside, bracketed=around is not None)
    if not 2 <= len(pieces) <= _MOST_ITEMS:
        return (), ""
    items = tuple(read_answer(piece, decimal, inner=True) for piece in pieces)
    if around is None and any(item.numbers and not _STARTS.match(item.text) for item in items):
        # A sentence with a comma.
        return (), ""
    if all(item.numbers or item.formula is not None or _is_symbol(item.label) for item in items):
        return items, brackets
    return (), ""


def _is_symbol(label: str) -> bool:
    return 0 < len(label) <= _SHORT_LABEL or label.lstrip("+-− \\") in ("infty", "infinity", "infinito", "inf")


def _split(inside: str, bracketed: bool) -> list[str]:
    """The members of a list at its commas; a comma between digits parts them only in brackets, or before a space."""
    pieces, start, depth = [], 0, 0
    marks = {match.start(): match.end() for match in _LIST_MARKS.finditer(inside)}
    place = 0
    while place < len(inside):
        sign = inside[place]
        depth += (sign in "([{") - (sign in ")]}")
        end = marks.get(place) if depth == 0 else None
        if end is not None and sign == "," and not inside[end : end + 1].isspace():
            decimal = inside[end : end + 1].isdigit() and inside[place - 1 : place].isdigit()
            grouped = decimal and re.match(r"[0-9]{3}(?![0-9])", inside[end:]) is not None
            end = None if grouped or (decimal and not bracketed) else end
        if end is None:
            place += 1
            continue
        if inside[start:place].strip():
            pieces.append(inside[start:place].strip())
        start = place = end
    return [*pieces, inside[start:].strip()] if inside[start:].strip() else pieces


def _read_number(match: re.Match[str], decimal: Decimal) -> list[float]:
    """The numbers that a written one may mean, without those that no double holds; whole ones as int."""
    minus = (match["sign"] + match["inner"]).strip("+") != ""
    numbers: list[float] = []
    for above in _read_body(match["body"], decimal):
        for below in _read_body(match["under"], decimal) if match["under"] else [1]:
            value = above * float(f"1{match['exponent']}") if match["exponent"] else above
            if match["under"]:
                value = value / below if below else math.inf
            if math.isfinite(value):
                value = int(value) if value == int(value) and (match["exponent"] or match["under"]) else value
                numbers.append(-value if minus else value)
    return numbers


def _read_body(body: str, decimal: Decimal) -> list[float]:
    if len(body) > _LONGEST_NUMBER:
        return []
    points, commas = body.count("."), body.count(",")
    if points and commas:
        last = max(body.rfind("."), body.rfind(","))
        whole, mark = body[:last].replace(".", "").replace(",", ""), body[last]
        if body.count(mark) > 1 or decimal == {".": "comma", ",": "point"}[mark]:
            return []
        return [_read_plain(whole, body[last + 1 :])]
    if points + commas == 0:
        return [int(body)]
    mark = "." if points else ","
    as_decimal = [_read_plain(*body.split(mark))] if body.count(mark) == 1 else []
    grouped = _GROUPED.fullmatch(body) is not None and body[0] != "0"
    as_group: list[float] = [int(body.replace(mark, ""))] if grouped else []
    if decimal == "either":
        return as_decimal + as_group
    return as_decimal if (mark == ".") == (decimal == "point") else as_group


def _read_plain(whole: str, fraction: str) -> float:
    return int(whole or "0") if not fraction.strip("0") else float(f"{whole or '0'}.{fraction}")
