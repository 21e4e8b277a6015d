"""`extract_json`: the JSON a model meant, out of the text it wrote."""

from __future__ import annotations

from collections.abc import Sequence

from rewards.extraction.budget import Budget
from rewards.extraction.choice import choose
from rewards.extraction.repairs import Extraction
from rewards.extraction.scanner import Scanner
from rewards.extraction.strict import read_strict

BASE_STEPS = 60_000
MAX_STEPS = 300_000


def extract_json(text: str, *, strict: bool = False, expect_keys: Sequence[str] = ()) -> Extraction:
    """Reads the object or list that `text` offers as its answer; never raises on any str, in time linear in its length.

    `strict` refuses readings that had to guess at the structure (see RepairKind.structural). `expect_keys` are keys that the
    caller knows the answer has: among several values those that have them win. Nothing found gives a value of None.
    """
    try:
        value = read_strict(text)
    except ValueError:
        pass
    else:
        if isinstance(value, dict | list):
            return Extraction(value, (), False, (0, len(text)), 1, 1.0)
        if not isinstance(value, str):
            return Extraction(None)
    budget = Budget(min(MAX_STEPS, BASE_STEPS + len(text)))
    candidates = Scanner(text, budget).scan()
    chosen = choose(text, candidates, expect_keys) if candidates else None
    if chosen is None:
        return Extraction(None, candidates=len(candidates))
    answer, certainty = chosen
    guesses = answer.guesses
    if strict and (guesses or not answer.closed):
        return Extraction(None, candidates=len(candidates))
    if not isinstance(answer.value, dict | list):
        return Extraction(None, candidates=len(candidates))
    confidence = certainty * (0.98 if not answer.repairs else 0.95 if not guesses else max(0.3, 0.8 - 0.1 * guesses))
    if not answer.closed:
        confidence *= 0.7
    span = (answer.start, answer.end)
    return Extraction(answer.value, answer.repairs, answer.cut, span, len(candidates), round(confidence, 3))
