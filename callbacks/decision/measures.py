"""What the questions of the decision tree look at: each measure turns recorded evaluations into an estimate and a note."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import cos, pi, sqrt
from statistics import fmean

from callbacks.config import DecisionSection
from callbacks.evaluation.history import Evaluation, compare, find_baseline, measure_scatter, take_curve
from rewards.statistics.estimates import ALL, Estimate

UNKNOWN = Estimate(None, None, None, None, None)
# Kinds of schedule by transformers' names, each as its share of the peak after the lr warm-up, at `progress` in 0..1.
_DECAYS: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "constant_with_warmup": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "polynomial": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + cos(pi * progress)),
    "cosine_with_restarts": lambda progress: 0.5 * (1.0 + cos(pi * progress)),
}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning-rate schedule that a config asked for; `warmup_steps` are those of the rate."""

    kind: str
    max_steps: int
    learning_rate: float
    warmup_steps: int = 0

    def share_at(self, step: int) -> float | None:
        """The learning rate at a step as a share of its peak, in 0..1; None for an unknown kind of schedule."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        if self.kind == "inverse_sqrt":
            return sqrt(max(1, self.warmup_steps) / max(1, step, self.warmup_steps))
        decay = _DECAYS.get(self.kind)
        if decay is None:
            return None
        return decay(min(1.0, (step - self.warmup_steps) / max(1, self.max_steps - self.warmup_steps)))


@dataclass(frozen=True)
class Recorded:
    """What a decision is based on: evaluations in order, learning rates by step, the schedule from the config, and,
    where rewards per example are available, paired differences to the end, from the warm-up and from the zero-shot
    evaluation.
    """

    evaluations: Sequence[Evaluation]
    section: DecisionSection
    rates: Mapping[int, float]
    schedule: Schedule | None = None
    paired: Mapping[str, Estimate] | None = None
    paired_zero_shot: Mapping[str, Estimate] | None = None

    @property
    def last(self) -> Evaluation:
        """The judged checkpoint, estimated again; the last evaluation in a history that has no such estimate."""
        return self.evaluations[-1]

    @property
    def curve(self) -> list[Evaluation]:
        """The evaluations since the start that have rows and random numbers in common."""
        return take_curve(self.evaluations) or [self.last]

    @property
    def outcome(self) -> Evaluation:
        """What training led to: the judged checkpoint; where that is the start itself, the end of the curve."""
        return self.last if self.last.stage != "judged" or self.last.step else self.curve[-1]


def measure_mean(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    """The mean of all tasks at the end."""
    return recorded.last.estimates[ALL], ""


def measure_task(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    """The mean of one task at the end."""
    estimate = recorded.last.task(task or "")
    return (UNKNOWN, "the run has no task of this name") if estimate is None else (estimate, "")


def measure_recent_gain(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    """How far the best evaluation of the last `plateau_window` steps lies above the best before them.

    Its interval is the scatter of the curve where that is known and the narrower one: the same examples are asked each
    time, and two independent samples would differ by more.
    """
    before, after = find_bests(recorded)
    if before is None:
        return UNKNOWN, "no evaluation is that much older than the last one"
    gain = _narrow(compare(before, after), measure_scatter(list(recorded.evaluations)))
    return gain, f"best {after.mean:.3f} at step {after.step} against {before.mean:.3f} at step {before.step}"


def measure_gain(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    """The change of the mean from the baseline to the end, paired by example where that is possible."""
    last, baseline = recorded.outcome, find_baseline(list(recorded.evaluations))
    if baseline is None or baseline is last:
        return UNKNOWN, "there is no earlier evaluation"
    where = "the warm-up" if baseline.stage in ("warmup", "start") else f"step {baseline.step}"
    note = f"against {baseline.mean:.3f} at {where}"
    paired = (recorded.paired or {}).get(ALL)
    if (
        paired is not None
        and paired.low is not None
        and (baseline.stage, last.stage) in (("warmup", "final"), ("warmup", "judged"), ("start", "judged"))
    ):
        return paired, f"{note}, paired by example"
    return compare(baseline, last), note


def measure_rate_share(recorded: Recorded, task: str | None) -> tuple[Estimate, str]:
    """The mean learning rate from the best evaluation before the plateau to the end, as a share of its peak, in 0..1.

    Recorded rates are used; without them, those of the schedule from the config. A rate has no noise.
    """
    best, _ = find_bests(recorded)
    if best is None:
        return UNKNOWN, "no evaluation is that much older than the last one"
    start, end = best.step, recorded.curve[-1].step
    within = [rate for step, rate in recorded.rates.items() if start < step <= end]
    peak = max([*recorded.rates.values(), recorded.schedule.learning_rate if recorded.schedule else 0.0], default=0.0)
    if within and peak > 0:
        share, source = fmean(within) / peak, "as recorded"
    elif recorded.schedule is not None and end > start:
        shares = [part for step in range(start, end + 1) if (part := recorded.schedule.share_at(step)) is not None]
        if len(shares) < end + 1 - start:
            return UNKNOWN, f"what the schedule {recorded.schedule.kind} does is not known here"
        share, source = fmean(shares), f"by the schedule {recorded.schedule.kind}"
    else:
        return UNKNOWN, "no learning rate was recorded"
    return Estimate(share, None, 0.0, share, share), f"{source}, from step {start} to {end}"


MEASURES: Mapping[str, Callable[[Recorded, str | None], tuple[Estimate, str]]] = {
    "mean": measure_mean,
    "task": measure_task,
    "recent_gain": measure_recent_gain,
    "gain": measure_gain,
    "rate_share": measure_rate_share,
}


def find_bests(recorded: Recorded) -> tuple[Evaluation | None, Evaluation]:
    """The best evaluation before the last `plateau_window` steps (None if there is none), and the best within them."""
    trained = recorded.curve
    start = trained[-1].step - recorded.section.plateau_window
    earlier = [item for item in trained if item.step <= start]
    later = [item for item in trained if item.step > start] or [trained[-1]]
    return max(earlier, key=lambda item: item.mean, default=None), max(later, key=lambda item: item.mean)


def _narrow(change: Estimate, half: float | None) -> Estimate:
    """The change with the scatter of the curve as its interval, where that is known and the narrower one."""
    if half is None or change.mean is None or (change.half_width is not None and change.half_width <= half):
        return change
    return replace(change, low=change.mean - half, high=change.mean + half)
