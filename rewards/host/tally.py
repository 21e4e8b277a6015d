"""What one reward function has given so far: values, faults by kind, seconds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rewards.host.verdicts import Outcome
from rewards.types import Example


@dataclass(slots=True)
class Tally:
    """Counts of one function; `last_fault` is the id of the example and the reason."""

    values: int = 0
    total: float = 0.0
    unscored: int = 0
    faults: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    errors: int = 0
    last_fault: tuple[str, str] = ("", "")
    last_trace: str = ""

    @property
    def scores(self) -> int:
        return self.values + self.errors

    @property
    def last_place(self) -> str:
        """Where in the plugin the last exception came from: ` (my_reward.py, line 12)`."""
        lines = [line for line in self.last_trace.splitlines() if line.startswith("  File ")]
        found = re.match(r'  File "(.*)", line (\d+)', lines[-1]) if lines else None
        return f" ({Path(found[1]).name}, line {found[2]})" if found else ""

    def count(self, outcome: Outcome, example: Example) -> None:
        if outcome.status == "unscored":
            self.unscored += 1
            return
        self.seconds += outcome.seconds
        if outcome.seconds > self.slowest_seconds:
            self.slowest_seconds = outcome.seconds
        if outcome.value is not None:
            self.values += 1
            self.total += outcome.value
        else:
            self.errors += 1
            self.faults[outcome.reason.partition(":")[0]] += 1
            self.last_fault = (example.id, outcome.reason)
            self.last_trace = outcome.trace or self.last_trace
