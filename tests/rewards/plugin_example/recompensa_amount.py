"""Reward for an answer that must end in the right amount: `... portanto o total é R$ 1.234,56.`"""

import re
from typing import ClassVar

from pydantic import Field

from rewards import Completion, Example, RewardFunction, Score, hookimpl

AMOUNT = re.compile(r"R\$ ?([0-9]{1,3}(?:\.[0-9]{3})*|[0-9]{1,12}),([0-9]{2})(?![0-9])", re.ASCII)


class Amount(RewardFunction):
    """1 when the last amount of the text is the reference's, less when it occurs but is not the last one."""

    name: ClassVar[str] = "amount"
    version: ClassVar[str] = "1"

    tolerance: float = Field(0.0, ge=0, description="Difference in reais up to which an amount is right.")
    mentioned: float = Field(0.3, ge=0, le=1, description="Value when the right amount is not the last one.")

    def problems(self, example: Example) -> list[str]:
        if not find_amounts(example.reference or ""):
            return [f"reference: {example.reference!r} has no amount; write one such as R$ 1.234,56"]
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        right = find_amounts(example.reference or "")[-1]
        # The answer is at the end: an endless text is not worth reading from its beginning.
        amounts = find_amounts(completion.text[-10_000:])
        if not amounts:
            return Score(0.0, "no amount in the text")
        near = [abs(amount - right) <= round(100 * self.tolerance) for amount in amounts]
        parts = {"last": float(near[-1]), "mentioned": float(any(near))}
        if near[-1]:
            return Score(1.0, "", parts)
        if any(near):
            return Score(self.mentioned, "the right amount is not the last one", parts)
        return Score(0.0, "another amount than the reference's", parts)


def find_amounts(text: str) -> list[int]:
    """Every amount of a text, in cents."""
    return [int(reais.replace(".", "") + cents) for reais, cents in AMOUNT.findall(text)]


@hookimpl
def register_rewards(register):
    register(Amount)
