"""What one reward function has given so far: values, faults by kind, seconds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.host.verdicts import Outcome
from rewards.types import Example

if TYPE_CHECKING:
    from rewards.host.weighted import WeightedFunction
    from rewards.host.worker import Worker

_NETWORK = "network:"
_MOST_NETWORK = 0.5
"""Share of scores that may fail because a judge's server is not there, before the run stops for want of rewards."""


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
    network: int = 0
    usage: dict[str, float] = field(default_factory=dict)

    @property
    def scores(self) -> int:
        """The number of scores given or failed; unscored completions do not count."""
        return self.values + self.errors

    def explain_excess(self, budget: float, minimum: int) -> str:
        """Why too many scores failed, as a phrase; empty if they did not. An unreachable server is not counted against
        a plugin.
        """
        if not self.errors or self.scores < minimum:
            return ""
        if self.errors - self.network > budget * self.scores:
            return f"{self.errors} of {self.scores} scores failed, allowed is {budget:.1%}"
        if self.network > _MOST_NETWORK * self.scores:
            return f"its server did not answer {self.network} of {self.scores} times"
        return ""

    @property
    def last_place(self) -> str:
        """Where in the plugin the last exception came from: ` (my_reward.py, line 12)`."""
        lines = [line for line in self.last_trace.splitlines() if line.startswith("  File ")]
        found = re.match(r'  File "(.*)", line (\d+)', lines[-1]) if lines else None
        return f" ({Path(found[1]).name}, line {found[2]})" if found else ""

    def count(self, outcome: Outcome, example: Example) -> None:
        """Add one outcome."""
        if outcome.status == "unscored":
            self.unscored += 1
            return
        self.seconds += outcome.seconds
        if outcome.seconds > self.slowest_seconds:
            self.slowest_seconds = outcome.seconds
        if outcome.value is not None:
            self.values += 1
            self.total += outcome.value
            for name, number in outcome.usage.items():
                self.usage[name] = self.usage.get(name, 0.0) + number
        else:
            self.errors += 1
            self.network += outcome.reason.startswith(_NETWORK)
            self.faults[outcome.reason.partition(":")[0]] += 1
            self.last_fault = (example.id, outcome.reason)
            self.last_trace = outcome.trace or self.last_trace


def describe_tally(entry: WeightedFunction, tally: Tally, worker: Worker | None) -> dict[str, Any]:
    """What a report says of one function."""
    return {
        "version": entry.function.version,
        "plugin": entry.plugin,
        "distribution": entry.distribution,
        "weight": entry.weight,
        "values": tally.values,
        "mean": tally.total / tally.values if tally.values else None,
        "unscored": tally.unscored,
        "errors": tally.errors,
        "faults": dict(sorted(tally.faults.items())),
        "network_faults": tally.network,
        "usage": dict(sorted(tally.usage.items())),
        "last_traceback": tally.last_trace,
        "seconds": tally.seconds,
        "mean_seconds": tally.seconds / tally.scores if tally.scores else 0.0,
        "slowest_seconds": tally.slowest_seconds,
        "worker_starts": worker.starts if worker else 0,
        "stray_answers": worker.strays if worker else 0,
    }
