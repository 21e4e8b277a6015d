"""Reward for a text that is like the reference: ROUGE, BLEU, shared words, or the very same text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from rewards.hookspecs import hookimpl
from rewards.text.bleu import corpus_bleu, sentence_bleu, tokenize_13a
from rewards.text.portuguese import compose
from rewards.text.rouge import jaccard, rouge_l, rouge_lsum, rouge_n, split_ascii_words, split_words
from rewards.types import Completion, Example, RewardFunction, Score

MAXIMUM_TEXT = 20_000
"""Characters of either text that are compared."""

Measure = Literal["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "jaccard", "exact"]
_MEASURES: tuple[Measure, ...] = ("rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "jaccard", "exact")


class TextOverlap(RewardFunction):
    """How much of its words, in their order, a text shares with the reference; one measure is paid, all are logged."""

    name: ClassVar[str] = "text_overlap"
    version: ClassVar[str] = "2"

    measure: Measure = Field("rougeL", description="Which part is the value.")
    words: Literal["ascii", "unicode"] = Field(
        "ascii",
        description="Words of ROUGE and Jaccard: runs of a-z and 0-9 as in published figures, or of any letters.",
    )

    def problems(self, example: Example) -> list[str]:
        if not example.reference or not example.reference.strip():
            return ["reference: missing; give the text that a perfect model would write"]
        value = measure_overlap(example.reference, example.reference, self.words)[self.measure]
        if value < 1.0 - 1e-9:
            return [
                f"reference: its own {self.measure} is {value:.3g}, for it has too few words; "
                "write more or choose another measure"
            ]
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        parts = measure_overlap(example.reference or "", completion.answer, self.words)
        value = parts[self.measure]
        return Score(value, "" if value >= 1.0 - 1e-9 else f"{self.measure} {value:.3f}", parts)

    def figures(self, pairs: Sequence[tuple[Example, Completion]]) -> dict[str, float]:
        """BLEU of the corpus, which is not a mean over rows; empty without pairs."""
        tokens = (
            (
                tokenize_13a(compose((example.reference or "")[:MAXIMUM_TEXT])),
                tokenize_13a(compose(text[:MAXIMUM_TEXT])),
            )
            for example, completion in pairs
            for text in [completion.answer]
        )
        return {"corpus_bleu": corpus_bleu(tokens)} if pairs else {}


class _Words(NamedTuple):
    words: list[str]
    lines: list[list[str]]
    tokens: list[str]


def measure_overlap(reference: str, given: str, words: str = "ascii") -> dict[str, float]:
    """Every measure of a text against a reference, each 0..1; both are cut after MAXIMUM_TEXT characters."""
    reference, given = compose(reference[:MAXIMUM_TEXT]), compose(given[:MAXIMUM_TEXT])
    right, said = _read_reference(reference, words), _read(given, words)
    return {
        "rouge1": rouge_n(right.words, said.words, 1),
        "rouge2": rouge_n(right.words, said.words, 2),
        "rougeL": rouge_l(right.words, said.words),
        "rougeLsum": rouge_lsum(right.lines, said.lines),
        "bleu": sentence_bleu(right.tokens, said.tokens),
        "jaccard": jaccard(right.words, said.words),
        "exact": float(reference.strip() == given.strip()),
    }


def split_text(text: str, words: str) -> list[str]:
    """The words of a text in lower case: `ascii` runs of a-z and 0-9, `unicode` runs of any letters and digits."""
    return split_ascii_words(text) if words == "ascii" else split_words(text)


def _read(text: str, words: str) -> _Words:
    lines = [split_text(line, words) for line in text.split("\n")]
    return _Words([word for line in lines for word in line], lines, tokenize_13a(text))


@lru_cache(maxsize=2048)
def _read_reference(text: str, words: str) -> _Words:
    return _read(text, words)


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(TextOverlap)
