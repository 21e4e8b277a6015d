"""Reward for a final answer at the end of an explanation: a number, a fraction, a choice or a short text, however it is marked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field

from rewards.final_answers.finding import find_answer, read_reference
from rewards.final_answers.formulas import write_plainly
from rewards.final_answers.reading import LONGEST_ANSWER, Decimal, FinalAnswerText, list_members
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score

_YES_OR_NO = re.compile(r"(yes|no|true|false|sim|nao|verdadeiro|falso)(?=[,.;:])")
_EITHER = frozenset({"yes", "no", "true", "false", "sim", "nao", "verdadeiro", "falso"})
_FORMULA = re.compile(r"[0-9\\^=+*/(){}\[\]-]")


class FinalAnswer(RewardFunction):
    r"""1 for the right final answer, which stands after ####, in \boxed{} or <answer>, after "Answer:", or last."""

    name: ClassVar[str] = "final_answer"
    version: ClassVar[str] = "4"

    decimal: Decimal = Field(
        "either", description="What separates decimals: a lone 1.234 or 1,234 may be either, or is read one way."
    )
    relative_tolerance: float = Field(
        0.0, ge=0, le=1, description="Share of the reference by which a number may differ."
    )
    digits: int = Field(
        9, ge=1, le=15, description="Significant digits to which two numbers must agree; whole ones must be equal."
    )
    unmarked: float = Field(
        0.8, ge=0, le=1, description="Factor for a right answer without a mark, where the reference marks its own."
    )
    doubted: float = Field(0.25, ge=0, le=1, description="Factor where another answer is marked beside the right one.")
    other_unit: float = Field(
        0.0, ge=0, le=1, description="Factor for the right number in another unit than the reference's."
    )

    def problems(self, example: Example) -> list[str]:
        if not example.reference or not example.reference.strip():
            return ["reference: missing; give the final answer, bare, after #### or in \\boxed{}"]
        found = read_reference(example.reference, self.decimal)
        if not found.text:
            return ["reference: its final answer is empty; write it after the mark"]
        if len(found.text) > LONGEST_ANSWER:
            return [
                f"reference: {len(found.text)} characters, and no final answer is marked in it (####, \\boxed{{}}, <answer>); "
                "mark it, or choose text_overlap"
            ]
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        wanted = read_reference(example.reference or "", self.decimal)
        found, others = find_answer(completion.answer, self.decimal, numeric=bool(wanted.numbers))
        if found is None or not found.text:
            return Score(0.0, "no final answer", {"right": 0.0, "marked": 0.0})
        right = self._same(wanted, found)
        parts = {"right": right, "marked": float(found.marked)}
        if not right:
            return Score(0.0, f"found {found.text[:60]!r}, wanted {wanted.text[:60]!r}", parts)
        value, reasons = right, []
        if right < 1.0:
            reasons.append(f"the right number in another unit: {found.text[:60]!r}, wanted {wanted.text[:60]!r}")
        if wanted.marked and not found.marked:
            value *= self.unmarked
            reasons.append("right, but not marked as the final answer")
        if any(self._same(wanted, other) < 1.0 for other in others):
            value *= self.doubted
            reasons.append("another answer is marked beside it")
        return Score(value, "; ".join(reasons), parts)

    def _same(self, wanted: FinalAnswerText, found: FinalAnswerText) -> float:
        """1 for the same answer, `other_unit` for its number in another unit, 0 for another one."""
        if found.formula is not None and wanted.numbers:
            return float(any(self._equal(number, found.formula) for number in wanted.numbers))
        members, offered = list_members(wanted), list_members(found)
        if members and offered and not (wanted.numbers and found.numbers):
            alike = wanted.brackets == found.brackets
            same = self._same_items(members, offered, alike, bool(wanted.brackets))
            return float(same or _same_label(wanted, found))
        if wanted.items:
            return float(_same_label(wanted, found))
        if wanted.numbers:
            return self._same_number(wanted, found)
        if wanted.formula is not None and not _same_label(wanted, found):
            said = found.numbers if found.formula is None else (found.formula,)
            return float(any(self._equal(wanted.formula, float(number)) for number in said))
        return float(_same_label(wanted, found))

    def _same_items(
        self, wanted: tuple[FinalAnswerText, ...], found: tuple[FinalAnswerText, ...], alike: bool, ordered: bool
    ) -> bool:
        """Members one by one where brackets say that their order means something, else each with some other."""
        if len(wanted) != len(found) or not alike:
            return False
        if ordered:
            return all(self._same(one, other) == 1.0 for one, other in zip(wanted, found, strict=True))
        left = list(found)
        for one in wanted:
            partner = next((other for other in left if self._same(one, other) == 1.0), None)
            if partner is None:
                return False
            left.remove(partner)
        return True

    def _same_number(self, wanted: FinalAnswerText, found: FinalAnswerText) -> float:
        """Equal numbers in one unit, or in two that measure the same; a unit that only one side gives says nothing."""
        percents = wanted.percent and found.percent
        right = wanted.numbers[: wanted.plain] if percents else wanted.numbers
        said = found.numbers[: found.plain] if percents else found.numbers
        if wanted.units and found.units:
            for unit in wanted.units:
                for other in found.units:
                    if unit.kind != other.kind:
                        continue
                    convert = (unit.factor, unit.offset) != (other.factor, other.offset)
                    for one in right:
                        for number in said:
                            if convert:
                                amounts = unit.amount(one), other.amount(number)
                                if self._equal(amounts[0], float(amounts[1])):
                                    return 1.0
                            elif self._equal(one, number):
                                return 1.0
        # Who says millions and who leaves them to the question mean the same, unless both say them.
        if bool(wanted.unscaled) != bool(found.unscaled):
            right, said = right + wanted.unscaled, said + found.unscaled
        if not any(self._equal(one, number) for one in right for number in said):
            return 0.0
        differ = (wanted.units and (found.units or found.percent)) or (wanted.percent and found.units)
        return self.other_unit if differ else 1.0

    def _equal(self, right: float, said: float) -> bool:
        """Whole numbers exactly, others to `digits`; a tolerance is for both."""
        whole = isinstance(right, int) and isinstance(said, int)
        allowed = max(self.relative_tolerance, 0.0 if whole else 0.5 * 10.0 ** (1 - self.digits))
        return right == said or abs(right - said) <= allowed * abs(right)


def _same_label(wanted: FinalAnswerText, found: FinalAnswerText) -> bool:
    if not found.label or found.label == wanted.label:
        return bool(found.label)
    answered = _YES_OR_NO.match(found.label)
    if answered is not None:
        words = set(re.findall(r"\w+", found.label[answered.end() :]))
        return answered[1] == wanted.label and words.isdisjoint(_EITHER)
    # Of a pair or a formula, spaces and LaTeX's spellings mean nothing.
    if _FORMULA.search(wanted.label) is None:
        return False
    right, said = write_plainly(wanted.label), write_plainly(found.label)
    # The parts of a union come in any order.
    return right == said or sorted(right.split("\\cup")) == sorted(said.split("\\cup"))


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(FinalAnswer)
