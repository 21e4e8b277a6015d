"""Held-out prompts that nearly stand in training too: exact Jaccard similarity of letter shingles, found by an index."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rewards.types import Example

THRESHOLDS = (0.90, 0.95, 0.98)
_LETTERS = 5
_WORDS = 3
_LONG = 1_500
"""Mean length in letters from which shingles are runs of words: texts of pages need no finer ones."""


class NearDuplicate(NamedTuple):
    """A held-out example and the training example nearest to it; `similarity` is 0.9 or more, 1.0 for the same shingles."""

    held_out: Example
    train: Example
    similarity: float

    @property
    def same_answer(self) -> bool:
        """Whether the two have one and the same reference: what was learnt by heart answers it."""
        one, other = self.held_out.reference, self.train.reference
        return one is not None and other is not None and one.split() == other.split()


def find_near_duplicates(train: Sequence[Example], held_out: Sequence[Example]) -> list[NearDuplicate]:
    """For each held-out example the nearest training example of 0.9 or more, one with the same answer first.

    Prompts are compared without their system turn, folded to plain lower-case words. Exact, no sampling: two sets of
    Jaccard similarity t share one of the first (1 - t) of their shingles in any common order (prefix filtering, Bayardo et
    al. 2007), and in order of rarity few others share one.
    """
    texts = [fold_prompt(example) for example in (*held_out, *train)]
    long = sum(map(len, texts)) > _LONG * max(1, len(texts))
    shingles = [_shingle(text, long) for text in texts]
    held, trained = shingles[: len(held_out)], shingles[len(held_out) :]
    counts = Counter(shingle for document in held for shingle in document)
    known = counts.keys()
    index: dict[str, list[int]] = defaultdict(list)
    for at, document in enumerate(held):
        for shingle in _rarest(document, counts):
            index[shingle].append(at)
    nearest: dict[int, tuple[bool, float, NearDuplicate]] = {}
    for example, document in zip(train, trained, strict=True):
        shared = document & known
        # Shingles that no held-out prompt has are the rarest of all, so a prefix of nothing else finds no partner.
        left = _prefix_length(len(document)) - (len(document) - len(shared))
        if left <= 0:
            continue
        candidates = {at for shingle in _first(shared, counts, left) for at in index.get(shingle, ())}
        for at in candidates:
            other = held[at]
            if min(len(document), len(other)) < THRESHOLDS[0] * max(len(document), len(other)):
                continue
            common = len(document & other)
            similarity = common / (len(document) + len(other) - common)
            if similarity >= THRESHOLDS[0]:
                found = NearDuplicate(held_out[at], example, similarity)
                rank = (found.same_answer, similarity, found)
                if at not in nearest or rank[:2] > nearest[at][:2]:
                    nearest[at] = rank
    return [nearest[at][2] for at in sorted(nearest)]


def group_near_duplicates(examples: Sequence[Example], threshold: float = THRESHOLDS[0]) -> list[int]:
    """The group of each example: those whose prompts are as similar as that, directly or by way of others, share one.

    Compared as by `find_near_duplicates`; a group is called by the place of its first example. `threshold` is 0.9 or more.
    """
    texts = [fold_prompt(example) for example in examples]
    long = sum(map(len, texts)) > _LONG * max(1, len(texts))
    shingles = [_shingle(text, long) for text in texts]
    counts = Counter(shingle for document in shingles for shingle in document)
    parent = list(range(len(examples)))
    index: dict[str, list[int]] = defaultdict(list)

    def find(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for at, document in enumerate(shingles):
        rarest = list(_rarest(document, counts))
        for other in sorted({other for shingle in rarest for other in index[shingle]}):
            if find(at) == find(other):
                continue
            common = len(document & shingles[other])
            if common >= threshold * (len(document) + len(shingles[other]) - common) - 1e-9:
                first, second = sorted((find(at), find(other)))
                parent[second] = first
        for shingle in rarest:
            index[shingle].append(at)
    return [find(at) for at in range(len(examples))]


def count_near_duplicates(found: Iterable[NearDuplicate]) -> dict[str, Any]:
    """How many held-out rows have a near duplicate at each threshold, and how many of those one with the same answer."""
    found = list(found)
    return {
        f"{threshold:.2f}": {
            "held_out": sum(pair.similarity >= threshold for pair in found),
            "same_answer": sum(pair.similarity >= threshold and pair.same_answer for pair in found),
        }
        for threshold in THRESHOLDS
    }


def fold_prompt(example: Example) -> str:
    """All turns but the system's, as lower-case words without accents and with single spaces."""
    text = "\n".join(str(turn["content"]) for turn in example.prompt if turn.get("role") != "system")
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(text.casefold().split())


def _shingle(text: str, long: bool) -> set[str]:
    if long:
        words = text.split()
        return {" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1))}
    return {text[at : at + _LETTERS] for at in range(max(1, len(text) - _LETTERS + 1))}


def _rarest(document: set[str], counts: Counter) -> Iterable[str]:
    return _first(document, counts, _prefix_length(len(document)))


def _first(shingles: set[str], counts: Counter, length: int) -> Iterable[str]:
    # The text breaks ties: both sides must use one and the same order.
    return islice(sorted(shingles, key=lambda shingle: (counts[shingle], shingle)), length)


def _prefix_length(size: int) -> int:
    return size - math.ceil(THRESHOLDS[0] * size - 1e-9) + 1
