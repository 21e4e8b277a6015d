"""Reward for a JSON answer of any shape: F1 over its flattened (path, value) pairs."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import Field

from rewards.answers import read_answer
from rewards.documents.leaves import Flat, LeafRules, compare, flatten
from rewards.extraction.strict import read_strict
from rewards.functions.json_valid import reference_problems
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, FrozenMapping, RewardFunction, Score

TELECOM_VOLATILE = (
    "id", "href", "@schemaLocation", "$schema", "creationDate", "lastUpdate", "statusChangeDate", "validFor", "iri",
    "sessionId", "startedAt", "expiresAt", "objectInstance", "serviceProfileId", "sliceProfileId",
)  # fmt: skip
"""Keys of intents and configurations whose values are made up again each time."""

_PARTS = ("fields", "keys", "precision", "recall", "exact")


class FieldF1(RewardFunction):
    """F1 of the answer's leaves against the reference's: a leaf counts when its path and its value are both right."""

    name: ClassVar[str] = "field_f1"
    version: ClassVar[str] = "7"

    ignore_fields: tuple[str, ...] = Field(
        (), description="Keys left out on both sides, as a bare key anywhere or a dotted path from the top."
    )
    ignore_values: tuple[Literal["uuid", "time"], ...] = Field(
        (), description="Values left out on both sides: uuid, and time for an ISO-8601 date with a time of day."
    )
    volatile: Literal["none", "telecom"] = Field(
        "none", description="A preset of ignore_fields and ignore_values; telecom: identifiers, links, time stamps."
    )
    digits: int = Field(
        9, ge=1, le=15, description="Significant digits to which two numbers must agree; identifiers must be equal."
    )
    relative_tolerance: float = Field(
        0.0, ge=0, lt=1, description="Share of the reference's number by which another may differ."
    )
    tolerances: FrozenMapping[str, float] = Field(
        FrozenMapping(), description="Absolute difference allowed under a key, as {latency_ms: 0.5}."
    )
    units: tuple[Literal["time", "rate", "share", "size", "length"], ...] = Field(
        (),
        description='Kinds of quantities that are converted: "10 ms" equals "0.01 s" and {"value": 10, "unit": "ms"}.',
    )
    fold_text: bool = Field(False, description="Compare texts without case, accents and repeated spaces.")
    match_lists: bool = Field(True, description="Match lists of objects best-first; false compares them by position.")
    key_share: float = Field(0.0, ge=0, lt=1, description="Share of the value that the paths alone earn.")
    doubted: float = Field(
        0.25, ge=0, le=1, description="Factor for an answer beside which the text gives a contradicting one."
    )

    def problems(self, example: Example) -> list[str]:
        problems = reference_problems(example)
        if not problems and not _read_reference(self, example.reference or "null")[1].size:
            problems.append("reference: nothing is left to compare; ignore fewer fields or values")
        return problems

    def __call__(self, example: Example, completion: Completion) -> Score:
        answer = read_answer(completion)
        if answer.value is None:
            return Score(0.0, "no JSON found", dict.fromkeys(_PARTS, 0.0))
        rules, reference = _read_reference(self, example.reference or "null")
        found = compare(reference, flatten(self.prepare(answer.value), rules), rules)
        fields, keys = found.field_f1, found.key_f1
        value = (1.0 - self.key_share) * fields + self.key_share * keys
        notes = [] if fields == 1.0 else [f"{found.right} of {found.expected} leaves right, {found.given} given"]
        if answer.repeated:
            notes.append(f"{answer.repeated} keys written twice")
        if answer.doubted:
            value *= self.doubted
            notes.append("another answer beside it contradicts it")
        parts = (fields, keys, found.precision, found.recall, float(found.exact))
        return Score(value, "; ".join(notes), dict(zip(_PARTS, parts, strict=True)))

    def prepare(self, value: Any) -> Any:
        """A value as it is compared; for those who know more of its keys."""
        return value

    def make_rules(self) -> LeafRules:
        """The options as `leaves.compare` takes them."""
        preset = self.volatile == "telecom"
        return LeafRules(
            ignore=self.ignore_fields + (TELECOM_VOLATILE if preset else ()),
            ignore_values=tuple(dict.fromkeys(self.ignore_values + (("uuid", "time") if preset else ()))),
            digits=self.digits,
            fold_text=self.fold_text,
            relative_tolerance=self.relative_tolerance,
            tolerances=self.tolerances,
            units=frozenset(self.units),
            match_lists=self.match_lists,
        )


@lru_cache(maxsize=4096)
def _read_reference(function: FieldF1, reference: str) -> tuple[LeafRules, Flat]:
    """Rules and leaves of a reference, read once for all completions of its group."""
    rules = function.make_rules()
    return rules, flatten(function.prepare(read_strict(reference)), rules)


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(FieldF1)
