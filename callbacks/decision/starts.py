"""A run judged against its own start: what it began with, what it has gained, and whether every task kept its level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from callbacks.decision.decision import DecisionNode, Outcome, count_further
from callbacks.decision.measures import UNKNOWN, Recorded
from callbacks.evaluation.best import find_fallen_tasks
from callbacks.evaluation.history import Evaluation, compare, find_baseline
from rewards.statistics.estimates import ALL, Estimate
from rewards.statistics.student import t_quantile


def find_start(recorded: Recorded) -> Evaluation | None:
    """What GRPO began with: the evaluation after the warm-up, else the zero-shot one, else the first; None without any."""
    start = find_baseline(list(recorded.evaluations))
    return None if start is None or start is recorded.outcome else start


def find_zero_shot(recorded: Recorded) -> Evaluation | None:
    """The evaluation before any training, where a warm-up changed the policy after it; None where it is the start itself."""
    start = find_start(recorded)
    before = next((item for item in recorded.evaluations if item.stage == "before"), None)
    if before is None or start is None or start is before or before.estimates == _find_warmup(recorded).estimates:
        return None
    return before


def name_start(recorded: Recorded) -> str:
    """The start in words: `the warm-up`, `zero-shot`, or its step."""
    start = find_start(recorded)
    if start is None:
        return "its start"
    before = next((item for item in recorded.evaluations if item.stage == "before"), None)
    if start.stage == "before" or (before is not None and before.estimates == _find_warmup(recorded).estimates):
        return "zero-shot"
    return "the warm-up" if start.stage in ("warmup", "start") else f"step {start.step}"


def _find_warmup(recorded: Recorded) -> Evaluation:
    """The evaluation that opens the curve: after the warm-up, or of the untrained policy where there was none."""
    return next((item for item in recorded.evaluations if item.stage == "warmup"), recorded.curve[0])


def find_change(recorded: Recorded, name: str, since: Evaluation | None = None) -> Estimate:
    """The change of all or of a task since the start, or since the zero-shot evaluation; paired by example where known."""
    zero_shot = since is not None and since is find_zero_shot(recorded)
    start = since or find_start(recorded)
    if start is None:
        return UNKNOWN
    paired = (recorded.paired_zero_shot if zero_shot else recorded.paired) or {}
    difference = paired.get(name)
    if difference is not None and difference.mean is not None and difference.low is not None:
        return difference
    return compare(start, recorded.outcome, name)


def list_tasks(recorded: Recorded) -> list[str]:
    """The tasks that both the start and the end have."""
    start = find_start(recorded)
    if start is None:
        return []
    return [name for name in start.estimates if name != ALL and start.task(name) and recorded.outcome.task(name)]


def find_fallen(recorded: Recorded) -> Sequence[str]:
    """The tasks that regressed since the start by more than their interval."""
    start = find_start(recorded)
    return find_fallen_tasks(start.estimates, recorded.outcome.estimates, recorded.paired) if start is not None else ()


def measure_loss(recorded: Recorded, task: str | None) -> float:
    """How far the mean of a task moved since the start; negative if it regressed."""
    start, end = find_start(recorded), recorded.outcome.task(task or "")
    before = start.task(task or "") if start is not None else None
    if end is None or before is None or end.mean is None or before.mean is None:
        return 0.0
    return end.mean - before.mean


def ask_share(name: str, question: str, recorded: Recorded, share: float) -> DecisionNode:
    """Whether the mean rose by that share of the start's; within noise where the interval of end - start * (1 + share)
    holds zero. The ends on the node are those of the mean, for the threshold as it stands."""
    start, end, mean = find_start(recorded), recorded.outcome.estimates[ALL], recorded.outcome.mean
    if start is None:
        return DecisionNode(name, question, "not judged", note="there is no earlier evaluation")
    threshold = start.mean * (1 + share)
    margin = mean - threshold
    note = f"{mean / start.mean - 1:+.0%}" if start.mean else "from nothing"
    outcome: Outcome = "yes" if margin >= 0 and mean > start.mean else "no"
    beyond = _measure_beyond(recorded, start.estimates[ALL], end, 1 + share)
    low, high = end.low, end.high
    further: dict[str, Any] = {}
    if beyond.low is not None and beyond.high is not None:
        low, high = threshold + beyond.low, threshold + beyond.high
        if beyond.low <= 0.0 <= beyond.high:
            outcome, further = "within noise", count_further(beyond, margin)
    return DecisionNode(
        name, question, outcome, mean, threshold, margin, end.n, low, high, note=note, of_change=True, **further
    )


def _measure_beyond(recorded: Recorded, start: Estimate, end: Estimate, factor: float) -> Estimate:
    """end - factor * start, with what the paired change says of how the two move together; unpaired where it is not known."""
    if start.mean is None or end.mean is None or not (start.n and end.n and start.std and end.std):
        return UNKNOWN
    change = find_change(recorded, ALL)
    paired = change.std is not None and change.n == start.n == end.n and bool(recorded.paired)
    together = (start.std**2 + end.std**2 - (change.std or 0.0) ** 2) / 2 if paired else 0.0
    variance = max(1e-12, end.std**2 / end.n + factor**2 * start.std**2 / start.n - 2 * factor * together / end.n)
    half = t_quantile(max(1, min(start.n, end.n) - 1)) * sqrt(variance)
    mean = end.mean - factor * start.mean
    return Estimate(mean, end.n, sqrt(variance * end.n), mean - half, mean + half)


def ask_kept(name: str, question: str, recorded: Recorded, task: str) -> DecisionNode:
    """Whether a task kept its level since the start; within noise if it lost less than its interval."""
    change, fallen = find_change(recorded, task), find_fallen(recorded)
    if change.mean is None:
        return DecisionNode(name, question, "not judged", threshold=0.0, note="nothing was scored", task=task)
    doubtful = change.mean < 0 and task not in fallen
    return DecisionNode(
        name,
        question,
        "no" if task in fallen else "within noise" if doubtful else "yes",
        value=change.mean,
        threshold=0.0,
        margin=change.mean,
        n=change.n,
        low=change.low,
        high=change.high,
        task=task,
        of_change=True,
        **(count_further(change, change.mean) if doubtful else {}),
    )


def find_gaps(recorded: Recorded, stages: Sequence[str]) -> tuple[str, ...]:
    """What the recorded history does not allow to be judged; `stages` are the stages whose evaluation can serve as a
    start.
    """
    start, lines = find_start(recorded), []
    if start is not None and start.stage not in (*stages, "start"):
        lines.append(f"no warm-up was recorded: step {start.step} is used in its place")
    if start is not None and find_change(recorded, ALL).low is None:
        lines.append("the noise: n or std was not recorded, so the means alone decided")
    return tuple(lines)


def tell_way(recorded: Recorded) -> Mapping[str, object]:
    """The words of a conclusion that is drawn against the start."""
    start, last, zero_shot = find_start(recorded), recorded.outcome, find_zero_shot(recorded)
    if start is None:
        return {}
    change = find_change(recorded, ALL)
    way = f"The mean went from {start.mean:.3f} to {last.mean:.3f} ({change.mean:+.3f})"
    from_zero = f"{zero_shot.mean:.3f} zero-shot to " if zero_shot is not None else ""
    named = name_start(recorded)
    interval = "" if change.low is None else f", {change.low:+.3f} to {change.high:+.3f}"
    at = "" if zero_shot is None and named != "zero-shot" else " zero-shot" if zero_shot is None else f" after {named}"
    fallen = find_fallen(recorded)
    return {
        "change": way,
        "way": f"The mean went from {from_zero}{start.mean:.3f}{at} to {last.mean:.3f} at step {last.step} "
        f"({change.mean:+.3f}{interval})",
        "clearly": "clear of zero" if change.low is not None else "of unknown noise",
        "start": named,
        "fallen": ", ".join(fallen),
    }
