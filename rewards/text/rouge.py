"""ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin 2004) as F-measures of two lists of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_ASCII_WORD = re.compile(r"[a-z0-9]+", re.ASCII)
_WORD = re.compile(r"[^\W_]+")

MOST_SENTENCE_PAIRS = 60_000
"""Pairs of lines, of those that share words, that ROUGE-Lsum compares; texts with more are taken as one line each."""


def split_ascii_words(text: str) -> list[str]:
    """Runs of a-z and 0-9 in lower case, as published ROUGE figures count them: an accented letter ends a word."""
    return _ASCII_WORD.findall(text.lower())


def split_words(text: str) -> list[str]:
    """Runs of letters and digits of any script, in lower case."""
    return _WORD.findall(text.lower())


def rouge_n(reference: Sequence[str], given: Sequence[str], size: int) -> float:
    """F-measure of the runs of `size` words, repeated runs counted as often as both have them; 0 where either has none."""
    right, said = _runs(reference, size), _runs(given, size)
    return _f1((right & said).total(), right.total(), said.total())


def _runs(words: Sequence[str], size: int) -> Counter:
    return Counter(zip(*(words[at:] for at in range(size)), strict=False))


def rouge_l(reference: Sequence[str], given: Sequence[str]) -> float:
    """F-measure of the longest common subsequence."""
    return _f1(_lcs_rows(reference, given)[-1].bit_count(), len(reference), len(given))


def rouge_lsum(reference: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> float:
    """F-measure of the union, over each reference line, of its longest common subsequences with the given lines.

    A word counts at most as often as both texts have it.
    """
    reference, given = [line for line in reference if line], [line for line in given if line]
    left = Counter(word for line in reference for word in line)
    right = Counter(word for line in given for word in line)
    expected, said = left.total(), right.total()
    unions = _unite(reference, given)
    if unions is None:
        reference = [_join(reference)]
        unions = [set(_common_places(reference[0], _join(given)))]
    hits = 0
    for line, union in zip(reference, unions, strict=True):
        for place in sorted(union):
            word = line[place]
            if left[word] > 0 and right[word] > 0:
                left[word] -= 1
                right[word] -= 1
                hits += 1
    return _f1(hits, expected, said)


def _unite(reference: Sequence[Sequence[str]], given: Sequence[Sequence[str]]) -> list[set[int]] | None:
    """For each reference line, its places in common subsequences with the given lines; None beyond MOST_SENTENCE_PAIRS.

    Only lines that share a word are compared, equal ones once, and no more once every word that any of them has is found.
    """
    distinct = list(dict.fromkeys(map(tuple, given)))
    lines_of: dict[str, list[int]] = {}
    for at, other in enumerate(distinct):
        for word in dict.fromkeys(other):
            lines_of.setdefault(word, []).append(at)
    known: dict[tuple[str, ...], set[int]] = {}
    pairs = 0
    for line in map(tuple, reference):
        if line in known:
            continue
        union: set[int] = set()
        wanted = {place for place, word in enumerate(line) if word in lines_of}
        # Lines of rare words first: they are few, and often all that is needed.
        rare = sorted({line[place] for place in wanted}, key=lambda word: (len(lines_of[word]), word))
        seen: set[int] = set()
        for at in (at for word in rare for at in lines_of[word]):
            if at in seen:
                continue
            seen.add(at)
            pairs += 1
            if pairs > MOST_SENTENCE_PAIRS:
                return None
            union.update(_common_places(line, distinct[at]))
            if len(union) == len(wanted):
                break
        known[line] = union
    return [known[tuple(line)] for line in reference]


def jaccard(reference: Sequence[str], given: Sequence[str]) -> float:
    """Shared distinct words over all distinct words."""
    right, said = set(reference), set(given)
    return len(right & said) / len(right | said) if right or said else 0.0


def _join(lines: Sequence[Sequence[str]]) -> list[str]:
    return [word for line in lines for word in line]


def _lcs_rows(reference: Sequence[str], given: Sequence[str]) -> list[int]:
    """Row i is a set of bits: bit j tells that word j of `given` makes the common subsequence of the first i words longer.

    Bit-parallel, after Hyyrö (2004): a row costs a few operations on one integer.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(given):
        places[word] = places.get(word, 0) | (1 << at)
    everything = (1 << len(given)) - 1
    rows = [0]
    complement = everything
    for word in reference:
        matches = complement & places.get(word, 0)
        complement = ((complement + matches) | (complement - matches)) & everything
        rows.append(everything & ~complement)
    return rows


def _common_places(reference: Sequence[str], given: Sequence[str]) -> list[int]:
    """Places in `reference` of one longest common subsequence: the one that a walk back from the ends finds, which leaves
    a word of `given` only where that alone keeps the length."""
    rows = _lcs_rows(reference, given)
    at, other = len(reference), len(given)
    places = []
    while at and other:
        if reference[at - 1] == given[other - 1]:
            places.append(at - 1)
            at -= 1
            other -= 1
            continue
        below = (1 << other) - 1
        length = (rows[at] & below).bit_count()
        if length - (rows[at] >> (other - 1) & 1) > (rows[at - 1] & below).bit_count():
            other -= 1
        else:
            at -= 1
    return places


def _f1(shared: int, expected: int, given: int) -> float:
    if not shared:
        return 0.0
    precision, recall = shared / given, shared / expected
    return 2 * precision * recall / (precision + recall)
