"""BLEU of one sentence and of a corpus (Papineni et al. 2002), with the mteval-13a tokens and exponential smoothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from rewards.statistics.student import t_quantile

_ORDER = 4
_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
# ASCII punctuation stands alone, except the four signs that may belong to a word or a number.
_ALONE = re.compile(f"([{re.escape(''.join(chr(code) for code in range(33, 127) if not chr(code).isalnum()))}])")
_KEPT = frozenset("'-.,")
_MARK_AFTER_NO_DIGIT = re.compile(r"([^0-9])([.,])")
_MARK_BEFORE_NO_DIGIT = re.compile(r"([.,])([^0-9])")
_DASH_AFTER_DIGIT = re.compile(r"([0-9])(-)")


def tokenize_13a(text: str) -> list[str]:
    """Words as mteval-v13a cuts them: punctuation apart, numbers such as 1,234.5 whole."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in _ENTITIES:
        text = text.replace(entity, sign)
    text = _ALONE.sub(lambda match: match[1] if match[1] in _KEPT else f" {match[1]} ", f" {text} ")
    text = _MARK_AFTER_NO_DIGIT.sub(r"\1 \2 ", text)
    text = _MARK_BEFORE_NO_DIGIT.sub(r" \1 \2", text)
    return _DASH_AFTER_DIGIT.sub(r"\1 \2 ", text).split()


def sentence_bleu(reference: Sequence[str], given: Sequence[str]) -> float:
    """BLEU in 0..1 up to runs of four words, or as many as `given` has; the n-th order without a match counts 1 / 2^n of one."""
    logs, halvings = [], 0
    for size in range(1, min(_ORDER, len(given)) + 1):
        said = Counter(zip(*(given[at:] for at in range(size)), strict=False))
        shared = said & Counter(zip(*(reference[at:] for at in range(size)), strict=False))
        if size == 1 and not shared:
            return 0.0
        matches: float = shared.total()
        if not matches:
            halvings += 1
            matches = 0.5**halvings
        logs.append(math.log(matches / said.total()))
    if not logs:
        return 0.0
    brevity = min(0.0, 1.0 - len(reference) / len(given))
    return min(1.0, math.exp(brevity + sum(logs) / len(logs)))


def corpus_bleu(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> float:
    """BLEU in 0..1 over pairs of a reference's tokens and a given text's: matches and lengths are added up, then compared.

    Not the mean of the sentences' BLEU: a long text counts for more, and a text without a run of four matches costs little.
    """
    corpus = CorpusBleu()
    for reference, given in pairs:
        corpus.add((reference, given))
    return corpus.value()


class CorpusBleu:
    """The counts that the BLEU of a corpus follows from, example by example: matches and totals by order, both lengths.

    `count` is how many examples there were. The products of their counts are kept for the interval.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums = [0] * (2 * _ORDER + 2)
        self._products = [[0] * len(self._sums) for _ in self._sums]

    def add(self, *pairs: tuple[Sequence[str], Sequence[str]]) -> None:
        """One example: the reference's tokens and a given text's, of each text that was given to it."""
        counts = [0] * len(self._sums)
        for reference, given in pairs:
            counts[-2] += len(reference)
            counts[-1] += len(given)
            for size in range(1, min(_ORDER, len(given)) + 1):
                runs = Counter(zip(*(given[at:] for at in range(size)), strict=False))
                shared = runs & Counter(zip(*(reference[at:] for at in range(size)), strict=False))
                counts[size - 1] += shared.total()
                counts[_ORDER + size - 1] += runs.total()
        self.count += 1
        for place, one in enumerate(counts):
            self._sums[place] += one
            if one:
                row = self._products[place]
                for at, other in enumerate(counts):
                    row[at] += one * other

    @property
    def _matches(self) -> list[int]:
        return self._sums[:_ORDER]

    @property
    def _totals(self) -> list[int]:
        return self._sums[_ORDER : 2 * _ORDER]

    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval over examples: the delta method on the logarithm, Student's quantile.

        None where fewer than two examples, or an order without a match, leave nothing to go by.
        """
        if self.count < 2 or not all(self._matches):
            return None
        expected, said = self._sums[-2:]
        short = said < expected
        slopes = [
            *(1.0 / (_ORDER * matched) for matched in self._matches),
            *(-1.0 / (_ORDER * total) for total in self._totals),
            -1.0 / said if short else 0.0,
            expected / said**2 if short else 0.0,
        ]
        square = math.fsum(
            one * other * self._products[at][place]
            for at, one in enumerate(slopes)
            for place, other in enumerate(slopes)
        )
        linear = math.fsum(slope * total for slope, total in zip(slopes, self._sums, strict=True))
        variance = max(0.0, square - linear**2 / self.count) * self.count / (self.count - 1)
        reach, value = t_quantile(self.count - 1) * math.sqrt(variance), self.value()
        return value * math.exp(-reach), min(1.0, value * math.exp(reach))

    def value(self) -> float:
        """BLEU in 0..1; 0 where no word is right, or no text has four."""
        if not self._matches[0] or not self._totals[-1]:
            return 0.0
        logs, halvings = [], 0
        for matched, total in zip(self._matches, self._totals, strict=True):
            halvings += not matched
            logs.append(math.log((matched or 0.5**halvings) / total))
        expected, said = self._sums[-2:]
        return min(1.0, math.exp(min(0.0, 1.0 - expected / said) + sum(logs) / _ORDER))
