"""The pairs of one call to a reward host, on their way through its functions."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from rewards.errors import RewardBudgetExceeded
from rewards.host.verdicts import Outcome
from rewards.types import Completion, Example


class PairBatch:
    """The pairs of one call, their outcomes by function, and how far each function still has to go."""

    def __init__(self, pairs: Sequence[tuple[Example, Completion]], functions: int):
        self.pairs = pairs
        self.columns: list[list[Outcome]] = [[] for _ in range(functions)]
        self.end = len(pairs)
        self.faults: list[tuple[int, int, RewardBudgetExceeded]] = []
        self.broken: list[BaseException] = []
        self.cancelled = False
        self._lock = threading.Lock()

    def stop_after(self, place: int, column: int, fault: RewardBudgetExceeded) -> None:
        """Everything up to `place` is still scored by every function, nothing behind it."""
        with self._lock:
            self.faults.append((place, column, fault))
            self.end = min(self.end, place + 1)

    def cancel(self, error: BaseException | None = None) -> None:
        """Stop scoring the batch as soon as possible; `error`, if given, is kept as the cause."""
        with self._lock:
            self.cancelled = True
            self.end = 0
            if error is not None:
                self.broken.append(error)
