"""What a text says before its answer: the tags that models reason in, and the cut between reasoning and answer."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

TAG_NAMES: Final = (
    r"think|thinking|thought|thoughts|reasoning|reflection|scratchpad|scratch_pad|analysis|inner_monologue|deliberation|begin_of_thought"
    r"|pensamento|pensando|raciocinio|raciocínio|reflexao|reflexão|analise|análise|rascunho|seed:think|antthinking|longcat_think"
)
"""Names of the tags, as alternatives of a pattern; written <think>, <|think|> or [THINK]."""

_OPEN = (
    rf"<\|?(?:{TAG_NAMES})(?:\s[^<>\n]{{0,80}})?\|?>|\[(?:THINK|THINKING|REASONING)\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|inner_prefix\|>|<\|channel\|>\s{0,8}(?:analysis|commentary)\b|<\|channel>\s{0,8}thought\b"
)
_CLOSE = (
    rf"<\|?/(?:{TAG_NAMES})\|?\s{{0,8}}>|<\|end_of_thought\|>|\[/(?:THINK|THINKING|REASONING)\]|◁/think▷|<\|END_THINKING\|>"
    r"|<\|inner_suffix\|>|<\|channel\|>\s{0,8}final\b|<channel\|>"
)
TAG: Final = re.compile(rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
"""Every tag that opens or closes reasoning, in any case; the group `close` is set for those that close it."""

_TAG_START = re.compile(r"<[|/a-z]|\[/?[tr]|◁", re.IGNORECASE)
"""How each of them begins. Searching for these finds the few places to try `TAG` at twenty times as fast as searching for it."""

# A JSON string: after a bracket, comma or colon, before another, on one line. Tags in it are content.
_STRING = r"""(?:\A|[{\[(,:])\s{0,200}+(?:"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+')(?=\s{0,200}+(?:[,:}\])]|\Z))"""


def list_tags(text: str) -> list[tuple[int, int, bool]]:
    """Start and end of every tag of reasoning, and whether it closes. Plain tuples: a million match objects would keep
    the garbage collector busy."""
    tags: list[tuple[int, int, bool]] = []
    if "<" not in text and "[" not in text and "◁" not in text:
        return tags
    end = 0
    for start in _TAG_START.finditer(text):
        at = start.start()
        if at >= end and (tag := TAG.match(text, at)) is not None:
            end = tag.end()
            tags.append((at, end, tag["close"] is not None))
    return tags


class ReasoningStyle(NamedTuple):
    """How one model reasons, as far as its texts cannot say it themselves.

    `opened`: its prompt ends inside the reasoning (the template has already written `<think>`), so a text without a closing
    tag is all reasoning. `tags`: pairs of opening and closing tags of its own, beside those that every reader knows.
    """

    opened: bool = False
    tags: tuple[tuple[str, str], ...] = ()


class SplitText(NamedTuple):
    """`reasoning` (its tags included) and `answer`; `unclosed`: the text ends while reasoning, and the answer is empty."""

    reasoning: str
    answer: str
    unclosed: bool = False


PLAIN: Final = ReasoningStyle()


def split_reasoning(text: str, style: ReasoningStyle = PLAIN) -> SplitText:
    """Cut a text into its reasoning and its answer, in linear time.

    The answer is what stands after the last closing tag, without the line breaks between; an opening tag may be missing,
    since many templates write it at the end of the prompt. A tag that opens after it and never closes leaves no answer.
    Tags inside a JSON string belong to the answer.
    """
    pattern = _TAG_OR_STRING if not style.tags else _compile(style.tags)
    if not _may_hold_tags(text, style):
        return SplitText(text, "", True) if style.opened else SplitText("", text)
    end, unclosed = -1, style.opened
    for match in pattern.finditer(text):
        if match.lastgroup == "close":
            end, unclosed = match.end(), False
        elif match.lastgroup == "open":
            unclosed = True
    if unclosed:
        return SplitText(text, "", True)
    if end < 0:
        return SplitText("", text)
    return SplitText(text[:end], text[end:].removeprefix("<|message|>").lstrip("\r\n"))


def _may_hold_tags(text: str, style: ReasoningStyle) -> bool:
    """Whether a closer look is needed; most texts hold no tag at all."""
    return bool(style.tags) or any(TAG.match(text, start.start()) is not None for start in _TAG_START.finditer(text))


@lru_cache(maxsize=32)
def _compile(tags: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    opens = "|".join([re.escape(tag) for tag, _ in tags if tag] + [_OPEN])
    closes = "|".join([re.escape(tag) for _, tag in tags if tag] + [_CLOSE])
    return re.compile(rf"{_STRING}|(?P<open>{opens})|(?P<close>{closes})", re.IGNORECASE | re.DOTALL)


_TAG_OR_STRING = _compile(())
