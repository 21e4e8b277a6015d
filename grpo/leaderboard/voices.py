"""Whether personas blend: answers that are nearer to what another persona said than to their own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rewards.functions.text_overlap import TextOverlap, measure_overlap
from rewards.rows import make_example
from rewards.statistics.estimates import Estimate, estimate_mean
from rewards.types import Completion

COLUMN = "contrast"
LIMIT = 0.1
"""The share of blended answers beyond which, noise ruled out, it is an alarm."""
_HEARD = 0.1
"""ROUGE-L below which a text is like nobody's answer: no voice is no blending."""


class Voices(NamedTuple):
    """Of one run: the share of blended answers, of those in nobody's voice, the same by persona, and the corpus BLEU.

    `blended` is None where no row has a contrast, `corpus_bleu` where none has a reference that is a text.
    """

    blended: Estimate | None
    unheard: float | None
    by_persona: dict[str, Estimate]
    corpus_bleu: float | None

    def alarm(self, limit: float = LIMIT) -> str:
        """Why it is one, empty where it is none: more blended answers than the limit, beyond the noise."""
        if self.blended is None or self.blended.low is None or self.blended.low <= limit:
            return ""
        worst = sorted(self.by_persona.items(), key=lambda item: -(item[1].mean or 0.0))[:3]
        named = ", ".join(f"{name} {each.mean:.2f}" for name, each in worst)
        return (
            f"personas blend: {self.blended.mean:.3f} of the answers ({self.blended.low:.3f} to {self.blended.high:.3f}) are "
            f"nearer to another persona's than to their own, most of {named}; more contrasts in the rows, or more weight on "
            "the reward contrastive"
        )

    def to_json(self) -> dict[str, Any]:
        """The blending of voices as `--json` prints it."""
        return {
            "blended": _write(self.blended),
            "unheard": self.unheard,
            "by_persona": {name: _write(each) for name, each in self.by_persona.items()},
            "corpus_bleu": self.corpus_bleu,
        }


def listen(rows: Iterable[Mapping[str, Any]]) -> Voices:
    """What stored completions tell of the voices; of several samples of a row the first counts."""
    stored = list(rows)
    blended: dict[str, list[float]] = defaultdict(list)
    unheard: list[float] = []
    for persona, value, lost in _judge(stored):
        blended[persona].append(value)
        unheard.append(lost)
    pairs = [
        (make_example(dict(row), "row", number, None), Completion.from_row(row))
        for number, row in enumerate(stored, 1)
        if not row.get("sample") and isinstance(row.get("reference"), str)
    ]
    every = [value for values in blended.values() for value in values]
    figures = TextOverlap().figures(pairs) if pairs else {}
    return Voices(
        estimate_mean(every) if every else None,
        sum(unheard) / len(unheard) if unheard else None,
        {name: estimate_mean(values) for name, values in sorted(blended.items())},
        figures.get("corpus_bleu"),
    )


def list_blended(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """1 for each blended answer and 0 for each other, of the rows that have contrasts."""
    return [value for _, value, _ in _judge(rows)]


def _judge(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float, float]]:
    """Of each row with contrasts: the persona, whether the answer is blended, whether it is like nobody's."""
    for number, row in enumerate(rows, 1):
        if row.get("sample") or not isinstance(row.get("reference"), str):
            continue
        example, completion = make_example(dict(row), "row", number, None), Completion.from_row(row)
        contrasts = example.columns.get(COLUMN)
        contrasts = [contrasts] if isinstance(contrasts, str) else contrasts
        if not isinstance(contrasts, list) or not contrasts or not all(isinstance(each, str) for each in contrasts):
            continue
        own = measure_overlap(example.reference or "", completion.answer, "unicode")["rougeL"]
        other = max(measure_overlap(each, completion.answer, "unicode")["rougeL"] for each in contrasts)
        persona = str(example.columns.get("persona") or example.task)
        yield persona, float(other >= own and other >= _HEARD), float(own < _HEARD and other < _HEARD)


def _write(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"mean": estimate.mean, "n": estimate.n, "low": estimate.low, "high": estimate.high}
