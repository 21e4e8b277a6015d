"""Reward for a completion that is JSON: strict text above wrapped above repaired above cut above none."""

from __future__ import annotations

from typing import ClassVar

import orjson
from pydantic import Field

from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score


class JsonValid(RewardFunction):
    """How cleanly the completion is JSON, whatever it says."""

    name: ClassVar[str] = "json_valid"
    version: ClassVar[str] = "1"

    wrapped: float = Field(0.9, ge=0, le=1, description="Strict JSON with prose or a fence around it.")
    repaired: float = Field(0.8, ge=0, le=1, description="JSON read with one repair.")
    each_repair: float = Field(0.05, ge=0, le=1, description="Taken off for every further repair.")
    each_guess: float = Field(0.1, ge=0, le=1, description="Taken off for every repair that guessed at the structure.")
    floor: float = Field(0.3, ge=0, le=1, description="Least that repaired JSON gets.")
    truncated: float = Field(0.3, ge=0, le=1, description="Most that JSON cut before its end gets.")

    def problems(self, example: Example) -> list[str]:
        return reference_problems(example)

    def __call__(self, example: Example, completion: Completion) -> Score:
        value, reason = self.judge(completion)
        return Score(value, reason)

    def judge(self, completion: Completion) -> tuple[float, str]:
        """The value in 0..1 and its reason; other functions use it as their `json` part."""
        extraction = completion.extraction
        if extraction.value is None:
            return 0.0, "no JSON found"
        if extraction.truncated:
            return self.truncated, "JSON is cut before its end"
        if extraction.repairs:
            kinds = sorted({str(getattr(repair.kind, "value", repair.kind)) for repair in extraction.repairs})
            guesses = sum(bool(getattr(repair.kind, "structural", False)) for repair in extraction.repairs)
            lost = self.each_repair * (len(extraction.repairs) - 1) + self.each_guess * guesses
            return max(
                self.floor, self.repaired - lost
            ), f"read with {len(extraction.repairs)} repairs: {', '.join(kinds[:5])}"
        if extraction.span is not None:
            start, end = extraction.span
            # Only the ends are looked at: a long completion is not copied to be stripped.
            if completion.text[:start].strip() or completion.text[end:].strip():
                return self.wrapped, "JSON with text around it"
        return 1.0, ""


def reference_problems(example: Example) -> list[str]:
    """Whether the reference is strict JSON, as a reward that compares values needs; a literal-reading eye finds no fault."""
    if example.reference is None:
        return ["reference: missing; give the right answer as JSON text"]
    try:
        orjson.loads(example.reference)
    except ValueError as error:
        return [f"reference: not strict JSON ({error}); write it with json.dumps"]
    return []


@hookimpl
def register_rewards(register):
    register(JsonValid)
