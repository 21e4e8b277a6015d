"""Reward for calling tools: the right functions with the right arguments, in whatever dialect they are written."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import orjson
from pydantic import Field, model_validator

from rewards.documents.leaves import LeafRules, compare, flatten
from rewards.hookspecs import hookimpl
from rewards.tool_calls.dialects import Call, CallReading, read_calls
from rewards.types import Completion, Example, RewardFunction, Score

_PARTS = ("valid", "name", "args_exact", "args", "args_precision", "args_recall")
_MATCHED_PER_CALL, _MATCHED_EXTRA = 4, 8


class _Pair(NamedTuple):
    right: int
    expected: int
    given: int

    @property
    def exact(self) -> bool:
        return self.right == self.expected == self.given


class ToolCall(RewardFunction):
    """Right names, then right arguments under them, then whole calls; a call too many costs more than one too few."""

    name: ClassVar[str] = "tool_call"
    version: ClassVar[str] = "2"

    name_share: float = Field(0.2, ge=0, le=1, description="For the names of the functions, as F1 over the calls.")
    args_share: float = Field(
        0.5, ge=0, le=1, description="For the arguments of rightly named calls, as F1 over values."
    )
    exact_share: float = Field(
        0.3, ge=0, le=1, description="For calls that are right as a whole, as F1 over the calls."
    )
    repaired: float = Field(0.9, ge=0, le=1, description="Factor for calls that had to be repaired to be read.")
    ordered: bool = Field(False, description="Whether calls must come in the reference's order.")
    fold_text: bool = Field(False, description="Compare texts without case, accents and repeated spaces.")
    ignore_arguments: tuple[str, ...] = Field((), description="Arguments left out on both sides.")

    @model_validator(mode="after")
    def _check_shares(self) -> ToolCall:
        total = self.name_share + self.args_share + self.exact_share
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"name_share, args_share and exact_share add up to {total:g}; make it 1")
        return self

    def problems(self, example: Example) -> list[str]:
        if example.reference is None:
            return ["reference: missing; give the right call, or [] where none is to be made"]
        reading = _read_reference(example.reference)
        if reading.broken:
            return [f"reference: {reading.broken} calls cannot be read; each needs a name and arguments"]
        if not reading.calls and not _says_none(example.reference):
            return ['reference: no call found; write {"name": ..., "arguments": {...}}, a list of them, or []']
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        reference = _read_reference(example.reference or "")
        given = read_calls(completion.text)
        if not reference.calls:
            clear = not given.calls and not given.broken
            return Score(
                float(clear), "" if clear else "a call where none is asked", dict.fromkeys(_PARTS, float(clear))
            )
        if not given.calls:
            reason = f"{given.broken} calls cannot be read" if given.broken else "no call found"
            return Score(0.0, reason, dict.fromkeys(_PARTS, 0.0))
        offered = len(given.calls) + given.broken
        rules = LeafRules(ignore=self.ignore_arguments, fold_text=self.fold_text)
        matched = self._match(reference.calls, given.calls, rules)
        names = (Counter(c.name for c in reference.calls) & Counter(c.name for c in given.calls)).total()
        name = _f1(names if not self.ordered else len(matched), len(reference.calls), offered)
        exact = sum(pair.exact for pair in matched.values())
        right = sum(pair.right for pair in matched.values())
        expected = sum(flatten(call.arguments, rules).size for call in reference.calls)
        said = sum(flatten(call.arguments, rules).size + call.surplus for call in given.calls)
        args = _f1(right, expected, said)
        parts = {
            "valid": sum(call.clean for call in given.calls) / offered,
            "name": name,
            "args_exact": exact / max(len(reference.calls), offered),
            "args": args,
            "args_precision": right / said if said else float(not expected),
            "args_recall": right / expected if expected else float(not said),
        }
        whole = _f1(exact, len(reference.calls), offered)
        value = self.name_share * name + self.args_share * args + self.exact_share * whole
        repaired = any(call.repaired or not call.clean for call in given.calls) and all(
            call.clean and not call.repaired for call in reference.calls
        )
        value *= self.repaired if repaired else 1.0
        # A call that nobody asked for is an action: guessing several is no way to have the right one among them.
        value *= min(1.0, len(reference.calls) / offered)
        notes = [f"{exact} of {len(reference.calls)} calls right, {offered} given"] if whole < 1.0 else []
        wrong = sorted({call.name for call in reference.calls} - {call.name for call in given.calls})
        notes += [f"not called: {', '.join(wrong)[:200]}"] if wrong else []
        notes += ["read with repairs"] if repaired else []
        return Score(min(value, 1.0), "; ".join(notes), parts)

    def _match(self, expected: tuple[Call, ...], given: tuple[Call, ...], rules: LeafRules) -> dict[int, _Pair]:
        """For each expected call the counts of its best partner of the same name, best pairs first, or in order."""
        given = given[: _MATCHED_PER_CALL * len(expected) + _MATCHED_EXTRA]
        scored = []
        for one, right in enumerate(expected):
            for other, said in enumerate(given):
                if right.name == said.name and (not self.ordered or one == other):
                    pair = _compare_arguments(right, said, rules)
                    likeness = _f1(pair.right, pair.expected, pair.given)
                    scored.append((-likeness, abs(one - other), one, other, pair))
        matched: dict[int, _Pair] = {}
        taken: set[int] = set()
        for _, _, one, other, pair in sorted(scored, key=lambda entry: entry[:4]):
            if one not in matched and other not in taken:
                matched[one] = pair
                taken.add(other)
        return matched


def _compare_arguments(right: Call, said: Call, rules: LeafRules) -> _Pair:
    expected, given = right.arguments, said.arguments
    if right.typed and not said.typed:
        given = {key: _type_like(expected.get(key), value) for key, value in given.items()}
    elif said.typed and not right.typed:
        expected = {key: _type_like(given.get(key), value) for key, value in expected.items()}
    counted = compare(flatten(expected, rules), flatten(given, rules), rules)
    return _Pair(counted.right, counted.expected, counted.given + said.surplus)


def _type_like(model: Any, written: Any) -> Any:
    """A text as the value that it writes, where the other side has no text there."""
    if not isinstance(written, str) or isinstance(model, str):
        return written
    stripped = written.strip()
    if isinstance(model, bool) or model is None:
        return {"true": True, "false": False, "null": None, "none": None}.get(stripped.lower(), written)
    try:
        value = orjson.loads(stripped)
    except ValueError:
        value = None
    if value is None and isinstance(model, (dict, list)):
        from rewards.extraction import extract_json

        value = extract_json(stripped).value
    return written if value is None else value


def _f1(shared: float, expected: int, given: int) -> float:
    return 2 * shared / (expected + given) if expected + given else 1.0


@lru_cache(maxsize=4096)
def _read_reference(reference: str) -> CallReading:
    return read_calls(reference)


def _says_none(reference: str) -> bool:
    return reference.strip() in ("", "[]", "null", "{}")


@hookimpl
def register_rewards(register):
    register(ToolCall)
