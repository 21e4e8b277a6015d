"""Held-out prompts that nearly stand in training too: exact Jaccard similarity of letter shingles, found by sketches."""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import xor
from typing import Any, NamedTuple

from rewards.types import Example

THRESHOLDS = (0.90, 0.95, 0.98)
_LETTERS = 5
_WORDS = 3
_LONG = 1_500
"""Mean length in letters from which shingles are runs of words: texts of pages need no finer ones."""


_FEWEST_BITS, _MOST_BITS = 512, 4_096
"""Of a sketch; enough that pairs of 0.8 and less are told apart by their sketches alone."""

_SINGLE_BITS = tuple(1 << bit for bit in range(_MOST_BITS))


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

    Prompts are compared without their system turn, folded to plain lower-case words. Exact, no sampling: pairs that the
    sketches of `_Documents` cannot rule out are compared shingle by shingle.
    """
    if not train or not held_out:
        return []
    documents = _Documents([fold_prompt(example) for example in (*train, *held_out)], range(len(train)))
    found = []
    for place, example in enumerate(held_out, len(train)):
        best: tuple[bool, float, NearDuplicate] | None = None
        for at in sorted(documents.find_candidates(place, THRESHOLDS[0])):
            similarity = documents.measure(place, at)
            if similarity >= THRESHOLDS[0]:
                pair = NearDuplicate(example, train[at], similarity)
                if best is None or (pair.same_answer, similarity) > best[:2]:
                    best = (pair.same_answer, similarity, pair)
        if best is not None:
            found.append(best[2])
    return found


def group_near_duplicates(
    examples: Sequence[Example], threshold: float, on_progress: Callable[[int], object] = lambda done: None
) -> list[int]:
    """The group of each example: those whose prompts are as similar as that, directly or by way of others, share one.

    Compared as by `find_near_duplicates`; a group is called by the place of its first example. `threshold` is 0.9 or more.
    `on_progress` hears how many examples are done.
    """
    first_with: dict[str, int] = {}
    twins = [first_with.setdefault(fold_prompt(example), at) for at, example in enumerate(examples)]
    places = list(first_with.values())
    documents = _Documents(list(first_with), range(len(places)))
    # The group of each text, and the texts of each group: the smaller group joins the larger one.
    group, members = documents.groups, {at: [at] for at in range(len(places))}
    for done, at in enumerate(documents.by_size):
        left = documents.find_candidates(at, threshold, until=done)
        while len(left):
            other = int(left[0])
            if group[other] != group[at] and documents.measure(at, other) >= threshold - 1e-9:
                small, large = sorted((group[other], group[at]), key=lambda name: len(members[name]))
                for member in members[small]:
                    group[member] = large
                members[large] += members.pop(small)
                left = documents.leave_out(left, large)
            else:
                left = left[1:]
        if done % 500 == 0:
            on_progress(done)
    names = {name: min(places[member] for member in found) for name, found in members.items()}
    text_of = {place: at for at, place in enumerate(places)}
    return [names[group[text_of[twin]]] for twin in twins]


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


class _Documents:
    """Texts as sets of shingles, and as sketches that tell most pairs apart without them.

    A sketch has a bit for each residue of a shingle's hash, turned over by every shingle that has it: two sketches differ
    in at most as many bits as their sets differ in shingles (Sandes et al. 2020). Sets of Jaccard similarity t and sizes a
    and b differ in (1 - t) / (1 + t) * (a + b) shingles. `searched` are the texts that candidates are taken from.
    """

    def __init__(self, texts: Sequence[str], searched: Iterable[int]):
        self._texts = texts
        self._long = sum(map(len, texts)) > _LONG * max(1, len(texts))
        shingles = [len(text) for text in texts]
        usual = sorted(shingles)[len(shingles) * 19 // 20] // (6 if self._long else 1) if shingles else 0
        self._bits = min(_MOST_BITS, max(_FEWEST_BITS, 1 << (usual // 2).bit_length()))
        self._sizes, self._sketches = [], []
        for text in texts:
            size, sketch = self._sketch(text)
            self._sizes.append(size)
            self._sketches.append(sketch)
        self.by_size = sorted(searched, key=lambda at: (self._sizes[at], at))
        self._sorted_sizes = [self._sizes[at] for at in self.by_size]
        self.groups = array("q", range(len(texts)))
        self._last: tuple[int, set[str]] = (-1, set())
        self._table = _tabulate([self._sketches[at] for at in self.by_size], self._bits)
        if self._table is not None:
            import numpy

            self._order = numpy.asarray(self.by_size, numpy.int64)

    def _sketch(self, text: str) -> tuple[int, int]:
        shingles = _shingle(text, self._long)
        # Millions of shingles: all of this runs in C.
        turned = map(_SINGLE_BITS.__getitem__, map((self._bits - 1).__and__, map(hash, shingles)))
        return len(shingles), reduce(xor, turned, 0)

    def find_candidates(self, at: int, threshold: float, until: int | None = None) -> Any:
        """Texts that may be as similar as that to the text `at`, of the first `until` by size, without those of its group."""
        size, sketch = self._sizes[at], self._sketches[at]
        low = bisect_left(self._sorted_sizes, threshold * size - 1e-9)
        high = until
        if high is None:
            high = bisect_right(self._sorted_sizes, size / threshold + 1e-9)
        largest = size if until is not None else size / threshold
        limit = int((1 - threshold) / (1 + threshold) * (size + largest) + 1e-6)
        if self._table is None:
            return [other for other in self.by_size[low:high] if (sketch ^ self._sketches[other]).bit_count() <= limit]
        import numpy

        words = numpy.frombuffer(sketch.to_bytes(self._bits // 8, "little"), numpy.uint64)
        different = numpy.bitwise_count(self._table[:, low:high] ^ words[:, None]).sum(0, dtype=numpy.uint16)
        return self._order[low:high][different <= limit]

    def leave_out(self, candidates: Any, group: int) -> Any:
        """The candidates without those of a group."""
        if self._table is None:
            return [at for at in candidates if self.groups[at] != group]
        import numpy

        return candidates[numpy.frombuffer(self.groups, numpy.int64)[candidates] != group]

    def measure(self, at: int, other: int) -> float:
        """The exact Jaccard similarity of two texts."""
        if self._last[0] != at:
            self._last = (at, _shingle(self._texts[at], self._long))
        one, two = self._last[1], _shingle(self._texts[other], self._long)
        common = len(one & two)
        return common / (len(one) + len(two) - common)


def _tabulate(sketches: Sequence[int], bits: int) -> Any:
    """The sketches as an array of shape (words, texts) of 64 bits; None where this machine has no NumPy that counts bits."""
    try:
        import numpy

        if not hasattr(numpy, "bitwise_count"):
            return None
    except ImportError:
        return None
    joined = b"".join(sketch.to_bytes(bits // 8, "little") for sketch in sketches)
    return numpy.ascontiguousarray(numpy.frombuffer(joined, numpy.uint64).reshape(-1, bits // 64).T)


def _shingle(text: str, long: bool) -> set[str]:
    if long:
        words = text.split()
        return {" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1))}
    return {text[at : at + _LETTERS] for at in range(max(1, len(text) - _LETTERS + 1))}
