r"""Where the final answer of a text stands: behind ####, in \boxed{} or <answer>, where it is said, or last."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache

from rewards.final_answers.reading import HASHES, LONGEST_ANSWER, NUMBER, Decimal, FinalAnswerText, read_answer, undress
from rewards.final_answers.units import read_unit
from rewards.text.portuguese import fold

_LAST_MARKS = 32
_SEARCHED = 20_000
_LONGEST_LINE = 2_000
_HASHES = re.compile(r"#{4}(?!#)[ \t]*([^\n#]{1,400})")
_TAGGED = re.compile(r"<answer>([^<]{1,400})</answer>", re.IGNORECASE)
# What chat templates end a turn with.
_TOKENS = re.compile(r"<[|｜][\w▁]{1,40}[|｜]>|</?s>|<eos>|<end_of_turn>|\[\|endofturn\|\]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s?\{")
_SAID = re.compile(
    r"\b(?:(?:the )?(?:(?:final|correct|right|best) )*(?:answer|result|option|choice) ?(?:is|would be|should be|=|:)|"
    r"(?:a )?(?:resposta|alternativa|opção)(?: (?:final|correta|certa))* ?(?:(?:é|e|seria)\b|:)|"
    r"(?:o )?resultado(?: final)? (?:é|e)\b|gabarito ?:|"
    r"i(?:'d| would| will)? (?:choose|pick|select|go with)\b|i (?:think|believe) (?:that )?it(?:'s| is)\b|"
    r"(?:eu )?(?:escolho|fico com|marco)\b)[:* \t]*(?=[^\n])",
    re.IGNORECASE,
)
_SAID_LINE = re.compile(r"[^\n]{1,400}")
_REASON = re.compile(
    r",?\s+(?:because|since|porque|pois|já que|uma vez que)\s|,\s*(?:and )?not\s|,?\s+e não\s|,\s*não\s", re.IGNORECASE
)
"""Behind a said answer: why it is one, or what it is not."""

_NO_ANSWERS = frozenset(
    [
        "correct",
        "right",
        "wrong",
        "incorrect",
        "below",
        "above",
        "clear",
        "verified",
        "as",
        "follows",
        "correta",
        "certa",
        "errada",
        "abaixo",
        "acima",
        "a",
        "seguinte",
    ]
)
_LAST_SAID = 8
_EXPONENT = re.compile(r"\^\{?\Z")


def find_answer(
    text: str, decimal: Decimal = "either", *, numeric: bool
) -> tuple[FinalAnswerText | None, list[FinalAnswerText]]:
    """The final answer of a text and what else is marked as one; the last mark wins over what is said, that over what stands
    last. `numeric` looks for a number: marks without one, such as headings, are passed over."""
    text = (_TOKENS.sub("", text) if "<" in text else text).strip()
    marked = [read_answer(inner, decimal, mark) for mark, inner in _list_marked(text)]
    if numeric:
        marked = [answer for answer in marked if _is_mathematical(answer)]
    if marked:
        return marked[-1], [other for other in marked[:-1] if other.certain]
    tail = text[-_SEARCHED:]
    for said in reversed(_list_said(tail)):
        answer = _read_said(said, decimal)
        if not numeric or _is_mathematical(answer):
            return answer, []
    if numeric:
        plain = undress(tail)
        written = deque(
            (
                match
                for match in NUMBER.finditer(plain)
                if not _EXPONENT.search(plain[max(0, match.start() - 2) : match.start()])
            ),
            1,
        )
        return (_read_last(written[0], decimal), []) if written else (None, [])
    lines = tail.splitlines()
    return (read_answer(lines[-1][:_LONGEST_LINE], decimal), []) if lines else (None, [])


def read_marked(text: str, decimal: Decimal = "either") -> FinalAnswerText | None:
    """The answer that a text marks last; None where it marks none."""
    marked = _list_marked(text)
    return read_answer(marked[-1][1], decimal, marked[-1][0]) if marked else None


@lru_cache(maxsize=4096)
def read_reference(reference: str, decimal: Decimal) -> FinalAnswerText:
    """The answer of a reference, which may be bare, marked, or a whole solution."""
    marked = read_marked(reference, decimal)
    if marked is not None:
        return marked
    text = reference.strip()
    if len(text) > LONGEST_ANSWER or "\n" in text:
        said = _list_said(text[-_SEARCHED:])
        text = said[-1] if said else text
    return read_answer(text, decimal)


def _is_mathematical(answer: FinalAnswerText) -> bool:
    """Whether it is a number, several, or a formula: an answer where a number is asked for, if perhaps a wrong one."""
    return bool(answer.numbers or answer.several or answer.items or answer.formula is not None)


def _read_last(match: re.Match[str], decimal: Decimal) -> FinalAnswerText:
    """The last number of a text, with its unit."""
    text = match.string
    before = text[max(0, match.start() - 8) : match.start("body")]
    unit = read_unit(before, text[match.end() : match.end() + 64])
    currency = before[: match.start() - match.start("body")][-3:]
    letters = currency if currency.strip().upper() in ("R", "US", "U") else ""
    return read_answer(letters + text[match.start() : match.end() + unit.length], decimal)


def _list_marked(text: str) -> list[tuple[str, str]]:
    """What is marked as a final answer, with its mark, in order: the last few of each."""
    found = [
        (match.start(), mark, _open_box(match[1]))
        for sign, mark, pattern in ((HASHES, HASHES, _HASHES), ("<", "<answer>", _TAGGED))
        if sign in text
        for match in deque(pattern.finditer(text), _LAST_MARKS)
    ]
    boxes = deque(_BOXED.finditer(text), _LAST_MARKS) if "\\" in text else ()
    found += [(match.start(), "boxed", _take_braces(text, match.end())) for match in boxes]
    return [(mark, inner) for _, mark, inner in sorted(found)]


def _open_box(text: str) -> str:
    r"""What stands in the \boxed{} that a marked answer holds, else the answer."""
    box = _BOXED.search(text) if "\\" in text else None
    return (_take_braces(text, box.end()) or text) if box else text


def _take_braces(text: str, start: int) -> str:
    """What stands in braces that were opened just before `start`."""
    depth = 1
    for at in range(start, min(len(text), start + 2 * LONGEST_ANSWER)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at]
    return ""


def _list_said(text: str) -> list[str]:
    """What is said to be the answer, up to the end of its sentence: the last few, without "the answer is correct"."""
    sentences = []
    for match in deque(_SAID.finditer(text), _LAST_SAID):
        line = _SAID_LINE.match(text, match.end())
        sentence = re.split(r"[.!;](?:\s|\Z)", line[0], maxsplit=1)[0] if line else ""
        if set(fold(sentence).strip(" .:,!").split()) - _NO_ANSWERS:
            sentences.append(sentence)
    return sentences


def _read_said(text: str, decimal: Decimal) -> FinalAnswerText:
    """A said answer; without its reason where what stands before that is a number or a choice."""
    whole = read_answer(text, decimal)
    head = _REASON.split(text, maxsplit=1)[0]
    if whole.numbers or head == text or not head.strip():
        return whole
    short = read_answer(head, decimal)
    return short if short.numbers or len(short.label) == 1 else whole
