"""What stands around an answer: reasoning, fences and prose are taken off and counted."""

from __future__ import annotations

import re
from typing import NamedTuple

from rewards.extraction.reasoning import PLAIN, ReasoningStyle, split_reasoning

KINDS = ("think", "unclosed_think", "fence", "prose")

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


class Stripped(NamedTuple):
    """The answer alone, and the kinds of what stood around it: `think`, `unclosed_think`, `fence`, `prose`."""

    text: str
    kinds: tuple[str, ...]


def strip_answer(text: str, style: ReasoningStyle = PLAIN) -> Stripped:
    """The answer without a reasoning block, and without the one fence it stands in.

    Prose around that fence goes with it. A text with several fences keeps them: which is the answer is not for this
    function to say. Reasoning that never ends leaves nothing.
    """
    kinds = []
    reasoning, rest, unclosed = split_reasoning(text, style)
    if unclosed:
        return Stripped("", ("unclosed_think",))
    if reasoning:
        kinds.append("think")
    rest = rest.strip()
    fences = list(_FENCE.finditer(rest))
    if len(fences) == 1 and "`" not in rest[: fences[0].start()] + rest[fences[0].end() :]:
        kinds.append("fence")
        if (rest[: fences[0].start()] + rest[fences[0].end() :]).strip():
            kinds.append("prose")
        rest = fences[0][1].strip()
    return Stripped(rest, tuple(kinds))
