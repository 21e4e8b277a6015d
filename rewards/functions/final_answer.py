"""Reward for a final answer at the end of an explanation: a number, a fraction, a choice or a short text, however it is marked."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from rewards.hookspecs import hookimpl
from rewards.text.portuguese import fold
from rewards.types import Completion, Example, RewardFunction, Score

LONGEST_ANSWER = 200
"""Characters a final answer may have."""

Decimal = Literal["either", "point", "comma"]

HASHES = "####"
_LAST_MARKS = 32
_SEARCHED = 20_000
_LONGEST_NUMBER = 60
_HASHES = re.compile(r"#{4}(?!#)[ \t]*([^\n#]{1,400})")
_TAGGED = re.compile(r"<answer>([^<]{1,400})</answer>", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{")
_SAID = re.compile(
    r"\b(?:(?:the )?(?:(?:final|correct|right|best) )*(?:answer|result|option|choice) ?(?:is|would be|should be|=|:)|"
    r"(?:a )?(?:resposta|alternativa|opção)(?: (?:final|correta|certa))* ?(?:(?:é|e|seria)\b|:)|"
    r"(?:o )?resultado(?: final)? (?:é|e)\b|gabarito ?:)[:* \t]*([^\n]{1,400})",
    re.IGNORECASE,
)
_REASON = re.compile(
    r",?\s+(?:because|since|porque|pois|já que|uma vez que)\s|,\s*(?:and )?not\s|,?\s+e não\s|,\s*não\s", re.IGNORECASE
)
"""Behind a said answer: why it is one, or what it is not."""

_LETTERED = re.compile(
    r"(?:an? |the |as )?(?:option|choice|letter|letra|alternativa|opcao|item) (?=[(\[]?[a-z0-9][)\]]?(?:\W|\Z))"
)
_YES_OR_NO = re.compile(r"(yes|no|true|false|sim|nao|verdadeiro|falso)(?=[,.;:])")
_EITHER = frozenset({"yes", "no", "true", "false", "sim", "nao", "verdadeiro", "falso"})
_FORMULA = re.compile(r"[0-9\\^=+*/(){}\[\]]")
_PAIR = re.compile(r"[\[(]\s*[-−]?[0-9]+\s*,\s*[-−]?(?![0-9]{3}\b)[0-9]+\s*[\])]")
_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+−–]?)[ ]?(?:(?:R|US|U)?\\?\$|[€£¥])?[ ]?(?P<inner>[-−–]?)"
    r"(?P<body>[0-9]++(?:[.,][0-9]++)*+|\.[0-9]++)(?P<exponent>[eE][-+]?[0-9]{1,3}(?![0-9.,]))?"
    r"(?:[ ]?/[ ]?(?P<under>[0-9]++(?:[.,][0-9]++)*+))?+(?:[ ]?\\?(?P<percent>%))?(?![0-9A-Za-z_/])",
    re.ASCII,
)
_UNITS = re.compile(r"(?<=[0-9])(?=[A-Za-z°µ])(?![eE][-+]?[0-9])")
_FRACTION = re.compile(r"\\[dt]?frac\s?\{([^{}]{1,60})\}\s?\{([^{}]{1,60})\}")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s?([0-9])\s?([0-9])(?![0-9])")
_DRESS = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s?\{([^{}]{0,200})\}")
_SILENT = re.compile(r"\\[!,;: ()\[\]]|\\(?:left|right|displaystyle|quad)(?![a-zA-Z])|\^\{?\\circ\}?|[`*_“”\"‘’]{1,3}")
_NAMED = re.compile(r"\A[A-Za-z]\s?=\s?")
_GROUPED = re.compile(r"[0-9]{1,3}(?P<mark>[.,])[0-9]{3}(?:(?P=mark)[0-9]{3})*")
_CHOICE = re.compile(r"[(\[]?([A-Za-z0-9])[)\]]?(?:[.:)](?:\s.*)?)?", re.DOTALL)


class FinalAnswer(RewardFunction):
    r"""1 for the right final answer, which stands after ####, in \boxed{} or <answer>, after "Answer:", or last."""

    name: ClassVar[str] = "final_answer"
    version: ClassVar[str] = "3"

    decimal: Decimal = Field(
        "either", description="What separates decimals: a lone 1.234 or 1,234 may be either, or is read one way."
    )
    relative_tolerance: float = Field(
        0.0, ge=0, le=1, description="Share of the reference by which a number may differ."
    )
    digits: int = Field(
        9, ge=1, le=15, description="Significant digits to which two numbers must agree; whole ones must be equal."
    )
    unmarked: float = Field(
        0.8, ge=0, le=1, description="Factor for a right answer without a mark, where the reference marks its own."
    )
    doubted: float = Field(0.25, ge=0, le=1, description="Factor where another answer is marked beside the right one.")

    def problems(self, example: Example) -> list[str]:
        if not example.reference or not example.reference.strip():
            return ["reference: missing; give the final answer, bare, after #### or in \\boxed{}"]
        found = _read_reference(example.reference, self.decimal)
        if not found.text:
            return ["reference: its final answer is empty; write it after the mark"]
        if len(found.text) > LONGEST_ANSWER:
            return [
                f"reference: {len(found.text)} characters, and no final answer is marked in it (####, \\boxed{{}}, <answer>); "
                "mark it, or choose text_overlap"
            ]
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        wanted = _read_reference(example.reference or "", self.decimal)
        found, others = find_answer(completion.answer, self.decimal, numeric=bool(wanted.numbers))
        if found is None or not found.text:
            return Score(0.0, "no final answer", {"right": 0.0, "marked": 0.0})
        right = self._same(wanted, found)
        parts = {"right": float(right), "marked": float(found.marked)}
        if not right:
            return Score(0.0, f"found {found.text[:60]!r}, wanted {wanted.text[:60]!r}", parts)
        value, reasons = 1.0, []
        if wanted.marked and not found.marked:
            value *= self.unmarked
            reasons.append("right, but not marked as the final answer")
        if any(not self._same(wanted, other) for other in others):
            value *= self.doubted
            reasons.append("another answer is marked beside it")
        return Score(value, "; ".join(reasons), parts)

    def _same(self, wanted: FinalAnswerText, found: FinalAnswerText) -> bool:
        if wanted.numbers:
            percents = wanted.percent and found.percent
            return any(
                self._equal(right, said)
                for right in (wanted.numbers[: wanted.plain] if percents else wanted.numbers)
                for said in (found.numbers[: found.plain] if percents else found.numbers)
            )
        if not found.label or found.label == wanted.label:
            return bool(found.label)
        answered = _YES_OR_NO.match(found.label)
        if answered is not None:
            words = set(re.findall(r"\w+", found.label[answered.end() :]))
            return answered[1] == wanted.label and words.isdisjoint(_EITHER)
        # Of a pair or a formula, spaces mean nothing.
        return _FORMULA.search(wanted.label) is not None and _squeeze(found.label) == _squeeze(wanted.label)

    def _equal(self, right: float, said: float) -> bool:
        """Whole numbers exactly, others to `digits`; a tolerance is for both."""
        whole = isinstance(right, int) and isinstance(said, int)
        allowed = max(self.relative_tolerance, 0.0 if whole else 0.5 * 10.0 ** (1 - self.digits))
        return right == said or abs(right - said) <= allowed * abs(right)


class FinalAnswerText(NamedTuple):
    """A final answer: its text, the numbers it may mean (the first `plain` of them without minding a percent sign), its
    label in lower case without dress, whether it could be nothing but an answer, and whether a mark says that it is one."""

    text: str
    numbers: tuple[float, ...]
    plain: int
    percent: bool
    label: str
    certain: bool
    marked: bool


def find_answer(
    text: str, decimal: Decimal = "either", *, numeric: bool
) -> tuple[FinalAnswerText | None, list[FinalAnswerText]]:
    """The final answer of a text and what else is marked as one; the last mark wins over what is said, that over what stands
    last. `numeric` looks for a number: marks without one, such as headings, are passed over."""
    text = text.strip()
    marked = [read_answer(inner, decimal, mark) for mark, inner in _list_marked(text)]
    if numeric:
        marked = [answer for answer in marked if answer.numbers]
    if marked:
        return marked[-1], [other for other in marked[:-1] if other.certain]
    tail = text[-_SEARCHED:]
    said = [match[1] for match in _SAID.finditer(tail)][-1:]
    if said:
        answer = _read_said(_cut_sentence(said[0]), decimal)
        if answer.numbers or not numeric:
            return answer, []
    if numeric:
        written = deque(_NUMBER.finditer(_undress(tail)), 1)
        return (read_answer(written[0][0], decimal), []) if written else (None, [])
    lines = tail.splitlines()
    return (read_answer(lines[-1], decimal), []) if lines else (None, [])


def read_answer(text: str, decimal: Decimal = "either", mark: str = "") -> FinalAnswerText:
    """What the text of a final answer means: its one number with what may stand around it, and its label."""
    bare = _undress(text)
    matches = list(_NUMBER.finditer(bare[: 2 * LONGEST_ANSWER]))
    label = _LETTERED.sub("", fold(bare).strip(" .,;:!?'"), count=1)
    choice = _CHOICE.fullmatch(label)
    if choice is not None:
        label = choice[1]
    numbers: list[float] = []
    percent = False
    if len(matches) == 1 and _PAIR.fullmatch(bare) is None and not (choice and choice[1].isalpha()):
        percent = matches[0]["percent"] is not None
        numbers = _read_number(matches[0], decimal)
    plain = len(numbers)
    if percent:
        numbers += [number / 100.0 for number in numbers]
    # "#### Step 1" and "#### Reasoning" are headings, "#### 71 apples" and "#### (B)" are answers.
    certain = mark != HASHES or choice is not None or (bool(matches) and matches[0].start() == 0)
    return FinalAnswerText(text.strip(), tuple(numbers), plain, percent, label, certain, bool(mark))


def read_marked(text: str, decimal: Decimal = "either") -> FinalAnswerText | None:
    """The answer that a text marks last; None where it marks none."""
    marked = _list_marked(text)
    return read_answer(marked[-1][1], decimal, marked[-1][0]) if marked else None


@lru_cache(maxsize=4096)
def _read_reference(reference: str, decimal: Decimal) -> FinalAnswerText:
    marked = read_marked(reference, decimal)
    if marked is not None:
        return marked
    text = reference.strip()
    if len(text) > LONGEST_ANSWER or "\n" in text:
        said = [match[1] for match in _SAID.finditer(text[-_SEARCHED:])][-1:]
        text = _cut_sentence(said[0]) if said else text
    return read_answer(text, decimal)


def _list_marked(text: str) -> list[tuple[str, str]]:
    """What is marked as a final answer, with its mark, in order: the last few of each."""
    found = [
        (match.start(), mark, match[1])
        for mark, pattern in ((HASHES, _HASHES), ("<answer>", _TAGGED))
        for match in deque(pattern.finditer(text), _LAST_MARKS)
    ]
    boxes = deque(_BOXED.finditer(text), _LAST_MARKS)
    found += [(match.start(), "boxed", _take_braces(text, match.end())) for match in boxes]
    return [(mark, inner) for _, mark, inner in sorted(found)]


def _take_braces(text: str, start: int) -> str:
    """What stands in braces that were opened just before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + 2 * LONGEST_ANSWER)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return ""


def _cut_sentence(text: str) -> str:
    """A said answer up to the end of its sentence."""
    return re.split(r"[.!;](?:\s|\Z)", text, maxsplit=1)[0]


def _read_said(text: str, decimal: Decimal) -> FinalAnswerText:
    """A said answer; without its reason where what stands before that is a number or a choice."""
    whole = read_answer(text, decimal)
    head = _REASON.split(text, maxsplit=1)[0]
    if whole.numbers or head == text or not head.strip():
        return whole
    short = read_answer(head, decimal)
    return short if short.numbers or len(short.label) == 1 else whole


def _squeeze(label: str) -> str:
    return "".join(label.split())


def _undress(text: str) -> str:
    r"""A text without LaTeX, emphasis and quotes around its figures; a fraction of LaTeX as a / b."""
    if "\\" in text:
        text = _DRESS.sub(r"\1", _SHORT_FRACTION.sub(r"\1/\2", _FRACTION.sub(r"\1/\2", text)))
    text = _SILENT.sub("", text).replace("$ ", " ").strip()
    text = _NAMED.sub("", text.strip("$ "))
    return _UNITS.sub(" ", text)


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


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(FinalAnswer)
