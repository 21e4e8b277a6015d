"""The differences between runs, by group and metric, and which of them are more than noise when there are many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grpo.compare.reading import cell_of
from grpo.compare.recorded import RecordedRun
from rewards.statistics.changes import Cell, Change, adjust, stratified_change, unpaired_change

BETTER, WORSE, NOISE, UNKNOWN = "better", "worse", "noise", "unknown"
_ROUNDING = 0.06
"""A recorded mean has four digits: times n it misses a whole number of examples by little."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of a group in two runs; `p_adjusted` takes the number of tests into account, `verdict` follows from it."""

    before_run: str
    run: str
    group: str
    metric: str
    before: Cell
    after: Cell
    change: Change
    p_adjusted: float | None = None
    verdict: str = UNKNOWN

    def in_examples(self) -> str:
        """The difference as a number of examples, where it is one: `1 of 33 worse`; else an empty text."""
        change = self.change
        if not change.mean and not (change.gained or change.lost):
            return ""
        if change.paired:
            sides = [f"{count} {word}" for count, word in ((change.gained, "better"), (change.lost, "worse")) if count]
            return f"{' and '.join(sides)} of {change.n}"
        if self.before.n is None or self.before.n != self.after.n or not change.mean:
            return ""
        # Only where both means are numbers of examples: a likeness that fell everywhere by a little is none.
        counts = [cell.value * self.before.n for cell in (self.before, self.after)]
        if any(abs(count - round(count)) > _ROUNDING for count in counts):
            return ""
        moved = round(counts[1]) - round(counts[0])
        return f"{abs(moved)} of {self.before.n} {'better' if moved > 0 else 'worse'}" if 0 < abs(moved) <= 20 else ""

    def to_json(self) -> dict[str, Any]:
        """The difference as plain values, as `--json` prints it."""
        change = self.change
        return {
            "run": self.run,
            "against": self.before_run,
            "group": self.group,
            "metric": self.metric,
            "before": self.before.value,
            "after": self.after.value,
            "n_before": self.before.n,
            "n_after": self.after.n,
            "delta": change.mean,
            "low": change.low,
            "high": change.high,
            "p": change.p,
            "p_adjusted": self.p_adjusted,
            "verdict": self.verdict,
            "paired": change.paired,
            "method": change.method,
            "gained": change.gained,
            "lost": change.lost,
            "in_examples": self.in_examples(),
            "std_bounded": self.before.bounded or self.after.bounded,
        }


def find_difference(
    before: RecordedRun, after: RecordedRun, group: str, metric: str, confidence: float
) -> Difference | None:
    """The difference from one run to another, paired where both kept their examples; None where one lacks the metric."""
    if before.rows and after.rows:
        mine, theirs = before.members(group, metric), after.members(group, metric)
        keys = sorted(
            key for key in mine.keys() & theirs.keys() if before.rows[key].question == after.rows[key].question
        )
        if keys:
            first, second = [mine[key] for key in keys], [theirs[key] for key in keys]
            strata = defaultdict(list)
            for (task, _), was, now in zip(keys, first, second, strict=True):
                strata[task].append(now - was)
            change = stratified_change(strata, confidence)
            return Difference(before.name, after.name, group, metric, cell_of(first), cell_of(second), change)
    one, other = before.cells.get((group, metric)), after.cells.get((group, metric))
    if one is None or other is None:
        return None
    return Difference(before.name, after.name, group, metric, one, other, unpaired_change(one, other, confidence))


def judge(differences: Sequence[Difference], method: str, alpha: float) -> list[Difference]:
    """The differences with adjusted p-values and verdicts; all of them are one family of tests."""
    adjusted = adjust([difference.change.p for difference in differences], method)
    return [
        Difference(
            d.before_run, d.run, d.group, d.metric, d.before, d.after, d.change, p, _name_verdict(d.change, p, alpha)
        )
        for d, p in zip(differences, adjusted, strict=True)
    ]  # fmt: skip


def count_known(differences: Iterable[Difference]) -> int:
    """How many of the differences were tested."""
    return sum(difference.change.p is not None for difference in differences)


def _name_verdict(change: Change, p: float | None, alpha: float) -> str:
    if p is None:
        return UNKNOWN
    if p > alpha or not change.mean:
        return NOISE
    return BETTER if change.mean > 0 else WORSE
