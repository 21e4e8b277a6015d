"""The bound on the work one reading may take."""

from __future__ import annotations


class BudgetSpent(Exception):
    """Raised inside a reading and caught by it: what was read so far is the result."""


class Budget:
    """Counts slow steps, each about a microsecond, so that no text can take longer than a fraction of a second."""

    __slots__ = ("left",)

    def __init__(self, steps: int):
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        self.left -= steps
        if self.left < 0:
            raise BudgetSpent
