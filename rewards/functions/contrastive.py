"""Reward for a text in its own voice: nearer to its reference than to what others answered to the same question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Literal

from pydantic import Field

from rewards.functions.insights import judge_repetition
from rewards.functions.text_overlap import MAXIMUM_TEXT, measure_overlap, split_text
from rewards.hookspecs import hookimpl
from rewards.text.portuguese import compose
from rewards.types import Completion, Example, RewardFunction, Score

_PARTS = ("own", "other", "distance", "length", "repetition", "stuffing")
_LENGTH_SLACK = 1.5
"""A text may have half as many words again as its reference, and be as much shorter, before its length costs."""
_STUFFED_FREE, _STUFFED_ALL = 0.1, 0.4
"""Shares of the text's pairs of words that may be the reference's own once too often: up to the first for nothing, at the
second nothing is left."""


class Contrastive(RewardFunction):
    """How much nearer a text is to its reference than to another's answer: 1 as the reference itself, 0 no nearer."""

    name: ClassVar[str] = "contrastive"
    version: ClassVar[str] = "3"

    measure: Literal["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "jaccard"] = Field(
        "rougeL", description="How similarity is measured, as in text_overlap."
    )
    words: Literal["ascii", "unicode"] = Field("unicode", description="Words: runs of any letters, or of a-z and 0-9.")
    column: str = Field("contrast", min_length=1, description="The column with another's answer, or a list of them.")
    least_difference: float = Field(
        0.1, gt=0, le=1, description="How far the reference must differ from each other answer for a row to be of use."
    )

    def problems(self, example: Example) -> list[str]:
        problems = []
        reference = example.reference or ""
        if not split_text(reference, self.words):
            problems.append("reference: missing or without words; give the text that a perfect model would write")
        contrasts: Any = example.columns.get(self.column)
        if not _is_usable(contrasts):
            problems.append(f"{self.column}: {contrasts!r:.60}; give another's answer, or a list of them, as text")
        if problems:
            return problems
        for index, base in enumerate(_bases(reference, _as_texts(contrasts), self.measure, self.words)):
            if 1.0 - base < self.least_difference:
                problems.append(
                    f"{self.column}[{index}]: {self.measure} {base:.2f} with the reference; an answer so alike "
                    "teaches no difference: give another or lower least_difference"
                )
        itself = measure_overlap(reference, reference, self.words)[self.measure]
        if itself < 1.0 - 1e-9:
            problems.append(
                f"reference: its own {self.measure} is {itself:.3g}, because it has too few words; write more"
            )
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        reference, contrasts = compose(example.reference or ""), _as_texts(example.columns[self.column])
        text = compose(completion.answer)
        words = split_text(text[:MAXIMUM_TEXT], self.words)
        if not words:
            return Score(0.0, "no words", dict.fromkeys(_PARTS, 0.0))
        own = measure_overlap(reference, text, self.words)[self.measure]
        bases = _bases(reference, contrasts, self.measure, self.words)
        others = [measure_overlap(other, text, self.words)[self.measure] for other in contrasts]
        # What two right answers must have in common is taken off both ways: a text that is no nearer gets nothing.
        distance = min((own - other) / (1.0 - base) for other, base in zip(others, bases, strict=True))
        distance = min(1.0, max(0.0, distance))
        length = _judge_length(len(words), len(split_text(reference, self.words)))
        # The reference may repeat itself as its voice does; only more than that costs.
        repetition = min(1.0, judge_repetition(words) / max(1e-9, _own_repetition(reference, self.words)))
        notes = ["no nearer to the reference than to another's answer"] if distance == 0.0 else []
        notes += [f"{len(words)} words"] if length < 1.0 else []
        stuffing = _judge_stuffing(words, split_text(reference, self.words))
        notes += ["repeats itself"] if repetition < 1.0 else []
        notes += ["phrases of the reference too often"] if stuffing < 1.0 else []
        parts = dict(zip(_PARTS, (own, max(others), distance, length, repetition, stuffing), strict=True))
        return Score(distance * length * repetition * stuffing, "; ".join(notes), parts)


def _judge_length(count: int, wanted: int) -> float:
    """1 within half as much again either way, then falling as the ratio grows."""
    ratio = max(count, wanted) / max(1, min(count, wanted))
    return min(1.0, _LENGTH_SLACK / ratio)


def _judge_stuffing(words: Sequence[str], reference: Sequence[str]) -> float:
    """1 while hardly a pair of words of the reference stands more often than there; catchwords are its own words after all."""
    said, right = Counter(pairwise(words)), Counter(pairwise(reference))
    extra = sum(count - right[pair] for pair, count in said.items() if 0 < right[pair] < count)
    share = extra / max(1, len(words) - 1)
    return min(1.0, max(0.0, (_STUFFED_ALL - share) / (_STUFFED_ALL - _STUFFED_FREE)))


def _is_usable(contrasts: Any) -> bool:
    texts = [contrasts] if isinstance(contrasts, str) else contrasts
    return (
        isinstance(texts, Sequence) and len(texts) > 0 and all(isinstance(text, str) and text.strip() for text in texts)
    )


def _as_texts(contrasts: str | Sequence[str]) -> tuple[str, ...]:
    return (contrasts,) if isinstance(contrasts, str) else tuple(contrasts)


@lru_cache(maxsize=2048)
def _bases(reference: str, contrasts: tuple[str, ...], measure: str, words: str) -> tuple[float, ...]:
    """How like the reference is to each of the other answers, measured as a completion's likeness is."""
    return tuple(measure_overlap(text, reference, words)[measure] for text in contrasts)


@lru_cache(maxsize=2048)
def _own_repetition(reference: str, words: str) -> float:
    return judge_repetition(split_text(reference[:MAXIMUM_TEXT], words))


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Contrastive)
