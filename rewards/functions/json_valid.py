"""Reward for a completion that is JSON: strict text above wrapped above repaired above cut above none, whatever it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field

from rewards.answers import read_answer
from rewards.extraction.strict import read_strict
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score


class JsonValid(RewardFunction):
    """How cleanly the completion is JSON, whatever it says."""

    name: ClassVar[str] = "json_valid"
    version: ClassVar[str] = "8"

    wrapped: float = Field(0.9, ge=0, le=1, description="Strict JSON with prose or a fence around it.")
    repaired: float = Field(0.8, ge=0, le=1, description="JSON read with one repair.")
    each_repair: float = Field(0.05, ge=0, le=1, description="Taken off for every further repair.")
    each_guess: float = Field(0.1, ge=0, le=1, description="Taken off for every repair that guessed at the structure.")
    floor: float = Field(0.3, ge=0, le=1, description="Least that repaired JSON gets.")
    truncated: float = Field(0.3, ge=0, le=1, description="Most that JSON cut before its end gets.")

    other_kind: float = Field(
        0.5, ge=0, le=1, description="Factor for a list where the reference is an object, or back."
    )
    empty: float = Field(0.2, ge=0, le=1, description="Factor for an empty answer where the reference is not empty.")

    doubted: float = Field(
        0.5, ge=0, le=1, description="Factor for an answer beside which the text gives a contradicting one."
    )

    def __call__(self, example: Example, completion: Completion) -> Score:
        value, reason = self.judge(completion)
        if read_answer(completion).doubted:
            value *= self.doubted
            reason = "; ".join(filter(None, (reason, "another answer beside it contradicts it")))
        return self._fit(value, reason, example.reference, completion.extraction.value)

    def _fit(self, value: float, reason: str, reference: str | None, answer: Any) -> Score:
        """Less for JSON that cannot be an answer at all: `{}` and `[]` must not be the cheapest way to be paid."""
        right = _first_letters(reference)
        notes = [reason] if reason else []
        if value and right[:1] in ("{", "[") and (right[0] == "{") != isinstance(answer, dict):
            value *= self.other_kind
            notes.append(f"{'an object' if isinstance(answer, dict) else 'a list'} where the reference is none")
        if value and not answer and right in ("{", "["):
            value *= self.empty
            notes.append("empty")
        return Score(value, "; ".join(notes))

    def judge(self, completion: Completion) -> tuple[float, str]:
        """The value in 0..1 and its reason; other functions use it as their `json` part."""
        extraction = completion.extraction
        if extraction.value is None:
            return 0.0, "no JSON found"
        if extraction.truncated:
            return self.truncated, "JSON is cut before its end"
        repeated = read_answer(completion).repeated
        if extraction.repairs:
            kinds = sorted({str(getattr(repair.kind, "value", repair.kind)) for repair in extraction.repairs})
            guesses = sum(bool(getattr(repair.kind, "structural", False)) for repair in extraction.repairs)
            lost = self.each_repair * (len(extraction.repairs) - 1) + self.each_guess * (guesses + repeated)
            return max(
                self.floor, self.repaired - lost
            ), f"read with {len(extraction.repairs)} repairs: {', '.join(kinds[:5])}"
        if repeated:
            lost = self.each_guess * repeated
            return max(self.floor, self.repaired - lost), f"{repeated} keys written twice with different values"
        if extraction.span is not None:
            start, end = extraction.span
            # Reasoning before the answer is not a wrapping. Only the ends are looked at: a long completion is not copied.
            begin = len(completion.text) - len(completion.answer)
            if completion.text[min(begin, start) : start].strip() or completion.text[end:].strip():
                return self.wrapped, "JSON with text around it"
        return 1.0, ""


@lru_cache(maxsize=4096)
def _first_letters(reference: str | None) -> str:
    """The bracket that a reference starts with, and with it the closing one where nothing stands between."""
    text = (reference or "").strip()
    return text[:1] + text[1:].strip()[:1] if text[1:].strip()[:1] in ("}", "]") else text[:1]


def reference_problems(example: Example) -> list[str]:
    """Whether the reference is strict JSON, as a reward that compares values needs; a literal-reading eye finds no fault."""
    if example.reference is None:
        return ["reference: missing; give the right answer as JSON text"]
    try:
        read_strict(example.reference)
    except ValueError as error:
        return [f"reference: not strict JSON ({error}); write it with json.dumps"]
    return []


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(JsonValid)
