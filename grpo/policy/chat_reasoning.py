"""How a chat template has its model reason: found by rendering trial conversations, never by the model's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from rewards.extraction.reasoning import ReasoningStyle, split_reasoning

# Words for trial conversations; in no template, and whole after any trimming.
ASKED, SAID, THOUGHT = "zqpergunta", "zqresposta", "zqpensamento"
MARKER = re.compile(r"<[^<>\s]{1,48}>|\[/?[A-Za-z_]{2,24}\]")

_SWITCHES = ("enable_thinking", "thinking")
_LEVELS = ("reasoning_effort", "reasoning_strength")
_ASKING = {"role": "user", "content": ASKED}
_FIELDS = ("reasoning_content", "reasoning", "thinking")

Render = Callable[..., str]
"""`PromptBuilder.render`."""


class ReasoningHabit(NamedTuple):
    """Whether a policy reasons before it answers: `on` in this run, and the template's own `switch` for it, if any."""

    on: bool
    switch: str | None = None


def find_habit(render: Render) -> ReasoningHabit:
    """What the template makes of a prompt with its switch on, off and left alone.

    Reasoning is on where the prompt ends inside of it or is another than with the switch turned off, and where the template
    knows levels of it.
    """
    present = render([_ASKING], reply=True)
    opened = split_reasoning(present.rpartition(ASKED)[2]).unclosed
    for switch in _SWITCHES:
        on, off = (render([_ASKING], reply=True, **{switch: value}) for value in (True, False))
        if on != off:
            return ReasoningHabit(opened or present != off, switch)
    for level in _LEVELS:
        low, high = (render([_ASKING], reply=True, **{level: value}) for value in ("low", "high"))
        if low != high:
            return ReasoningHabit(True, level)
    return ReasoningHabit(opened)


def find_style(render: Render) -> ReasoningStyle:
    """What every reader must know of this template beyond the common tags, so that the answer is told from the reasoning."""
    prompt = render([_ASKING], reply=True)
    opened = split_reasoning(prompt.rpartition(ASKED)[2]).unclosed
    plain = _go_on(render, prompt, {})
    thought = next((text for name in _FIELDS if THOUGHT in (text := _go_on(render, prompt, {name: THOUGHT}))), "")
    known = all(split_reasoning(text).answer.strip() == SAID for text in (plain, thought) if text)
    if known or opened:
        return ReasoningStyle(opened)
    lead, (before, _, after) = plain.partition(SAID)[0].strip(), thought.partition(THOUGHT)
    if lead:
        pair = (before.strip(), lead)  # the answer has a header of its own, whether reasoning came before it or not
    else:
        pair = next(zip(MARKER.findall(before)[-1:], MARKER.findall(after), strict=False), ("", ""))
    style = ReasoningStyle(False, (pair,))
    told = pair[1] and all(split_reasoning(text, style).answer.strip() == SAID for text in (plain, thought) if text)
    return style if told else ReasoningStyle()


def _go_on(render: Render, prompt: str, reasoning: dict[str, str]) -> str:
    """What an assistant would have written after the prompt, up to its answer's last word; empty where that is not told."""
    whole = render([_ASKING, {"role": "assistant", "content": SAID, **reasoning}], reply=False)
    written, said, _ = whole.removeprefix(prompt).partition(SAID)
    return written + said if whole.startswith(prompt) and said else ""
