"""Reward for calling tools: the right functions with the right arguments, in whatever dialect they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from pydantic import Field, model_validator

from rewards.documents.leaves import LeafRules
from rewards.extraction.reasoning import PLAIN
from rewards.hookspecs import hookimpl
from rewards.tool_calls.calls import Call, CallReading
from rewards.tool_calls.comparing import ArgumentRules, Pair, compare_calls, count_leaves
from rewards.tool_calls.dialects import read_calls
from rewards.tool_calls.references import COLUMN, Asked, list_asked
from rewards.types import Completion, Example, RewardFunction, Score

_PARTS = ("valid", "name", "args_exact", "args", "args_precision", "args_recall")
_MATCHED_PER_CALL, _MATCHED_EXTRA = 4, 8


class ToolCall(RewardFunction):
    """Right names, then right arguments under them, then whole calls; a call too many costs more than one too few."""

    name: ClassVar[str] = "tool_call"
    version: ClassVar[str] = "9"

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
        asked = list_asked(example.reference, example.columns.get(COLUMN))
        if not asked:
            return ["reference: missing; give the right call, or [] where none is to be made"]
        places = ([] if example.reference is None else ["reference"]) + [
            f"{COLUMN}[{index}]" for index in range(len(asked) - (example.reference is not None))
        ]
        return [f"{place}: {one.problem}" for place, one in zip(places, asked, strict=True) if one.problem]

    def __call__(self, example: Example, completion: Completion) -> Score:
        # A model's own reasoning tags, and reasoning that its prompt has opened, are known to the completion alone.
        given = read_calls(completion.text if completion.style == PLAIN else completion.answer)
        asked = [one for one in list_asked(example.reference, example.columns.get(COLUMN)) if not one.problem]
        if not asked:
            return Score(0.0, "the reference names no call that can be read", dict.fromkeys(_PARTS, 0.0))
        best = self._judge(asked[0], given)
        for other in asked[1:]:
            score = self._judge(other, given)
            best = score if (score.value or 0.0) > (best.value or 0.0) else best
        return best

    def _judge(self, asked: Asked, reading: CallReading) -> Score:
        """The score against one right answer."""
        expected, given = asked.calls, self._offered(asked, reading)
        if not expected:
            clear = not given and not reading.broken
            reason = "" if clear else "a call where none is asked"
            if reading.notation:
                reason += f", in a notation that is not read: {reading.notation}"
            return Score(float(clear), reason, dict.fromkeys(_PARTS, float(clear)))
        if not given:
            reason = f"{reading.broken} calls cannot be read" if reading.broken else "no call found"
            if reading.notation:
                reason = f"{reading.notation} opens a notation of calls that is not read"
            return Score(0.0, reason, dict.fromkeys(_PARTS, 0.0))
        offered = len(given) + reading.broken
        rules = _make_rules(self.ignore_arguments, self.fold_text)
        matched, partners = self._match(expected, given, rules)
        names = (Counter(call.name for call in expected) & Counter(call.name for call in given)).total()
        name = _f1(names if not self.ordered else len(matched), len(expected), offered)
        exact = sum(pair.exact for pair in matched.values())
        right = sum(pair.right for pair in matched.values())
        wanted = sum(pair.expected for pair in matched.values())
        wanted += sum(count_leaves(call, rules) for at, call in enumerate(expected) if at not in matched)
        said = sum(pair.given for pair in matched.values())
        said += sum(count_leaves(call, rules) for at, call in enumerate(given) if at not in partners)
        args, whole = _f1(right, wanted, said), _f1(exact, len(expected), offered)
        parts = {
            "valid": sum(call.clean for call in given) / offered,
            "name": name,
            "args_exact": exact / max(len(expected), offered),
            "args": args,
            "args_precision": right / said,
            "args_recall": right / wanted,
        }
        value = self.name_share * name + self.args_share * args + self.exact_share * whole
        if name == args == whole == 1.0:
            value = 1.0
        repaired = any(call.repaired or not call.clean for call in given) and all(
            call.clean and not call.repaired for call in expected
        )
        value *= self.repaired if repaired else 1.0
        # A call that nobody asked for is an action: guessing several is no way to have the right one among them.
        value *= min(1.0, len(expected) / offered)
        notes = [f"{exact} of {len(expected)} calls right, {offered} given"] if whole < 1.0 else []
        wrong = sorted({call.name for call in expected} - {call.name for call in given})
        notes += [f"not called: {', '.join(wrong)[:200]}"] if wrong else []
        notes += ["read with repairs"] if repaired else []
        return Score(min(value, 1.0), "; ".join(notes), parts)

    def _offered(self, asked: Asked, reading: CallReading) -> tuple[Call, ...]:
        """The calls that were made: a bare object with a name alone is one where that name is asked for."""
        names = {call.name for call in asked.calls}
        return tuple(call for call in reading.calls if not call.name_only or call.name in names)

    def _match(
        self, expected: tuple[Call, ...], given: tuple[Call, ...], rules: LeafRules
    ) -> tuple[dict[int, Pair], set[int]]:
        """For each expected call the counts of its best partner of the same name, best pairs first, or in order.

        And the places of the given calls that have a partner.
        """
        given = given[: _MATCHED_PER_CALL * len(expected) + _MATCHED_EXTRA]
        scored = []
        for one, right in enumerate(expected):
            for other, said in enumerate(given):
                if right.name == said.name and (not self.ordered or one == other):
                    pair = compare_calls(right, said, rules)
                    likeness = _f1(pair.right, pair.expected, pair.given)
                    scored.append((-likeness, abs(one - other), one, other, pair))
        matched: dict[int, Pair] = {}
        taken: set[int] = set()
        for _, _, one, other, pair in sorted(scored, key=lambda entry: entry[:4]):
            if one not in matched and other not in taken:
                matched[one] = pair
                taken.add(other)
        return matched, taken


@lru_cache(maxsize=64)
def _make_rules(ignore: tuple[str, ...], fold_text: bool) -> ArgumentRules:
    return ArgumentRules(ignore=ignore, fold_text=fold_text)


def _f1(shared: float, expected: int, given: int) -> float:
    return 2 * shared / (expected + given) if expected + given else 1.0


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(ToolCall)
