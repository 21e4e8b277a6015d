"""How long prompts and answers are in tokens, and the limits that follow for a run."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from grpo.config.sections import ModelSection
from grpo.policy.tokenizer import TokenCounter, find_token_counter
from rewards.types import Example

_ROOM = 1.25
"""A policy in training says more than the reference: a quarter more fits. An estimate is short where texts are dense, as
JSON is."""

_ROOM_ESTIMATED = 2.0
_USUAL_SEQUENCE = 2048
_PLAIN = re.compile(r"[A-Za-z\s]+")
_WITHOUT_ANSWERS = 256
"""Tokens of a completion where no answer says how long one is."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of prompts and answers, median and longest, and who counted; `exact` where it was the model's own tokenizer."""

    prompt_median: int
    prompt_longest: int
    answer_median: int
    answer_longest: int
    max_completion_length: int
    max_sequence_length: int
    exact: bool
    source: str


def pick_rows(rows: Sequence[Example], most: int = 3_000) -> list[Example]:
    """Of many rows some evenly spaced ones, and with them those that any measure takes for the longest, in their order.

    A tokenizer says what is longest, but of all rows that takes seconds; letters, bytes (scripts of few letters a token) and
    signs beside letters (digits, JSON) between them find it.
    """
    if len(rows) <= most:
        return list(rows)
    chosen = set(range(0, len(rows), -(-len(rows) // most)))
    prompts = ["".join(turn["content"] for turn in row.prompt) for row in rows]
    for texts in (prompts, [row.reference or "" for row in rows]):
        for measure in (len, _count_bytes, _count_signs):
            sizes = list(map(measure, texts))
            chosen.update(heapq.nlargest(most // 30, range(len(rows)), key=sizes.__getitem__))
    return [rows[at] for at in sorted(chosen)]


def _count_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _count_signs(text: str) -> int:
    return len(_PLAIN.sub("", text))


def measure_lengths(rows: Sequence[Example], model: ModelSection, counter: TokenCounter | None = None) -> Lengths:
    """Counted with the model's own tokenizer where this machine has it, else estimated by characters.

    An embedded policy's tokenizer is made of these rows, unless there is a `counter` already.
    """
    counter = counter or find_token_counter(model, rows)
    prompts = sorted(counter.count_prompts([list(row.prompt) for row in rows]))
    answers = sorted(counter.count_texts([row.reference for row in rows if row.reference is not None])) or [0]
    room = _ROOM if counter.exact else _ROOM_ESTIMATED
    completion = max(32, 16 * math.ceil((answers[-1] * room + 8) / 16)) if answers[-1] else _WITHOUT_ANSWERS
    needed = math.ceil(prompts[-1] * (1.0 if counter.exact else 1.25)) + completion
    return Lengths(
        prompt_median=prompts[len(prompts) // 2],
        prompt_longest=prompts[-1],
        answer_median=answers[len(answers) // 2],
        answer_longest=answers[-1],
        max_completion_length=completion,
        max_sequence_length=max(_USUAL_SEQUENCE, 512 * math.ceil(needed / 512)),
        exact=counter.exact,
        source=counter.source,
    )
