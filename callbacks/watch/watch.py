"""Watching a run while it is in progress: rules over its metrics that warn or stop it; pure but for the file of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import isfinite, nan, sqrt
from pathlib import Path
from statistics import fmean, median
from typing import Any

from callbacks.watch.rules import WatchRule, WatchSection, rename_metric, rename_metrics
from rewards.writing.files import write_whole
from rewards.writing.writable import to_line

EVENTS_FILE = "watch.jsonl"
_QUARTERS = 4
_LEAST_OTHERS = 4  # values that have a median worth the name
_MISSING = object()
_BESIDE = ("before", "start", "judged")
"""Evaluations that are not part of the curve."""
_NOISE = {"eval/mean_reward": "eval/noise"}
"""The metric that says how noisy a metric is from one evaluation of the same rows to the next."""
SURE = 1.9
"""How many standard errors below the least climb the line through the evaluations must lie, to be no climb."""
_WORDS = 4
"""Words of one repeated phrase, as `measure_repetition` counts them."""


@dataclass(frozen=True, slots=True)
class Event:
    """A rule that was broken: `value` is what was judged, `limit` the number it was held against."""

    stage: str
    step: int
    rule: str
    action: str
    metric: str
    condition: str
    value: float
    limit: float
    window: int
    message: str = ""

    @property
    def text(self) -> str:
        """The event as one line."""
        said = {
            "above": "is above {limit:.4g}",
            "below": "is below {limit:.4g}",
            "stalls": "has no new best by more than {limit:.4g}",
            "rises": "has grown by more than {limit:.0%}",
            "spikes": "is above {limit:.4g} times the median",
            "not_finite": "is not a number",
        }[self.condition].format(limit=self.limit)
        over = f" over {self.window} steps" if self.window > 1 else ""
        value = f"{self.value:+.0%} " if self.condition == "rises" else f"{self.value:.4g} "
        value = "" if self.condition == "not_finite" else value
        return f"{self.rule}: {self.metric} {value}{said}{over} at step {self.step}. {self.message}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """The row of watch.jsonl."""
        return {**asdict(self), "text": self.text}


class Watch:
    """Judges rows of metrics as they come.

    `beta` and `recipe` are the facts that rules may ask for, `settings` the numbers that a condition may be a share of.
    A warning is given once a run; a stop is given again only after its metric had recovered in between.
    """

    def __init__(
        self,
        section: WatchSection | None = None,
        *,
        beta: float = 0.0,
        recipe: bool = True,
        settings: Mapping[str, float] | None = None,
    ):
        section = section or WatchSection()
        facts = {"beta": beta > 0.0, "recipe": recipe}
        self._settings = settings or {}
        self._judges = [
            _Judge(name, rule, rule.limit(self._settings))
            for name, rule in section.rules.items()
            if section.enabled
            and rule.enabled
            and all(facts[fact] for fact in rule.only_with)
            and (rule.of is None or rule.of in self._settings)
        ]
        self.events: list[Event] = []
        self.stop: Event | None = None

    @property
    def rules(self) -> list[str]:
        """The names of the rules that are in force."""
        return [judge.name for judge in self._judges]

    def observe(self, row: Mapping[str, Any], *, stage: str | None = None, step: int | None = None) -> list[Event]:
        """Judge one row and return the events it gave, stops first; stage and step are the row's own unless given."""
        stage = stage or str(row.get("stage", "train"))
        if stage in _BESIDE:
            return []
        values = rename_metrics(row)
        if stage == "warmup" and "sft/step" in values:
            step = values["sft/step"]  # the rows of the supervised stage all stand at step 0 of GRPO
        if step is None:
            step = values.get("step")
        if isinstance(step, bool) or not isinstance(step, int | float):
            return []
        found = []
        for judge in self._judges:
            value = values.get(judge.metric, _MISSING)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                continue
            # NaN and infinity are null in a recorded row.
            number = float(value) if value is not None and isfinite(value) else nan
            noise = values.get(_NOISE.get(judge.metric, ""))
            judge.note_noise(float(noise) if isinstance(noise, int | float) and isfinite(noise) else None)
            event = judge.observe(stage, int(step), number)
            if event is not None:
                found.append(event)
        found.sort(key=lambda event: event.action != "stop")
        self.events += found
        self.stop = self.stop or next((event for event in found if event.action == "stop"), None)
        return found

    def replay(self, rows: Iterable[Mapping[str, Any]]) -> list[Event]:
        """Begin again with recorded rows, as a resumed run does; a stop among them is past and stops nothing."""
        self._judges = [_Judge(judge.name, judge.rule, judge.limit) for judge in self._judges]
        self.events = []
        for row in rows:
            self.observe(row)
        self.stop = None
        return list(self.events)


class _Judge:
    """One rule with what it has seen."""

    def __init__(self, name: str, rule: WatchRule, limit: float):
        self.name, self.rule, self.limit = name, rule, limit
        self.metric = rename_metric(rule.metric)
        self._seen: deque[tuple[int, float]] = deque()
        self._first: int | None = None
        self._best: tuple[int, float] | None = None
        self._fired = False
        self._all: list[tuple[int, float]] = []
        self._noises: list[float] = []

    def note_noise(self, noise: float | None) -> None:
        """How noisy the value that comes next is, where that was measured."""
        if noise:
            self._noises.append(noise)

    def observe(self, stage: str, step: int, value: float) -> Event | None:
        if self.rule.not_finite is None and not isfinite(value):
            return None
        self._first = step if self._first is None else self._first
        self._seen.append((step, value))
        if self.rule.stalls is not None:
            self._all = [point for point in self._all if point[0] < step] + [(step, value)]
        while self._seen[0][0] <= step - self.rule.window:
            self._seen.popleft()
        sign = -1.0 if self.rule.lower_is_better else 1.0
        if self._best is None or sign * value > sign * self._best[1] + self.limit:
            self._best = step, value
        last = self.rule.until_step
        if step < self.rule.from_step or (last is not None and step > last):
            return None
        judged = self._judge(step)
        if judged is None:
            self._fired = self._fired and self.rule.action == "warn"
            return None
        if self._fired:
            return None
        self._fired = True
        rule = self.rule
        return Event(
            stage, step, self.name, rule.action, self.metric, rule.condition, judged, self.limit, rule.window, rule.message
        )  # fmt: skip

    def _judge(self, step: int) -> float | None:
        """The value that breaks the rule at this step; None where it holds, or too little was seen to say."""
        rule = self.rule
        if rule.not_finite is not None:
            return None if isfinite(self._seen[-1][1]) else nan
        if rule.stalls is not None and self._noises:
            stalls = does_not_climb(self._all, fmean(self._noises), rule.window, self.limit)
            return max(value for _, value in self._all) if stalls else None
        if rule.stalls is not None:
            return self._best[1] if self._best and step - self._best[0] >= rule.window else None
        if rule.spikes is not None:
            others = [value for _, value in self._seen][:-1]
            usual = median(others) if len(others) >= _LEAST_OTHERS else 0.0
            return self._seen[-1][1] if usual > 0 and self._seen[-1][1] > self.limit * usual else None
        if self._first is None or step - self._first < rule.window - 1:
            return None
        values = [value for _, value in self._seen]
        if rule.rises is not None:
            return _measure_rise(values, self.limit)
        judged = values[-1:] if rule.over == "last" else [_mean(values)] if rule.over == "mean" else values
        broken = [value > self.limit if rule.above is not None else value < self.limit for value in judged]
        return judged[-1] if all(broken) else None


def does_not_climb(points: Sequence[tuple[int, float]], noise: float, window: int, least: float) -> bool:
    """Whether some line through the last evaluations, over `window` steps or more, climbs by less than `least` a window
    beyond its noise. `noise` is the standard error of one value; how many values there are makes no claim easier."""
    end = points[-1][0]
    for start in range(len(points) - 2):
        taken = points[start:]
        if end - taken[0][0] < window:
            return False
        center = fmean(step for step, _ in taken)
        square = sum((step - center) ** 2 for step, _ in taken)
        slope = sum((step - center) * value for step, value in taken) / square
        if (slope + SURE * noise / sqrt(square)) * window < least:
            return True
    return False


def _measure_rise(values: Sequence[float], least: float) -> float | None:
    """By how much the last quarter lies above the first where each lies above the one before; None below `least`."""
    if len(values) < _QUARTERS:
        return None
    cuts = [len(values) * part // _QUARTERS for part in range(_QUARTERS + 1)]
    means = [_mean(values[start:end]) for start, end in pairwise(cuts)]
    if means[0] <= 0 or any(later <= earlier for earlier, later in pairwise(means)):
        return None
    rise = means[-1] / means[0] - 1.0
    return rise if rise > least else None


def _mean(values: Sequence[float]) -> float:
    # Divided first: the sum of values that a diverging run logs need not be a number.
    return sum(value / len(values) for value in values)


def measure_repetition(texts: Iterable[str]) -> float:
    """The mean share of four-word phrases that a text has said before, 0 for texts too short to have two of them."""
    shares = []
    for text in texts:
        words = text.split()
        phrases = [tuple(words[start : start + _WORDS]) for start in range(len(words) - _WORDS + 1)]
        shares.append(1.0 - len(set(phrases)) / len(phrases) if phrases else 0.0)
    return fmean(shares) if shares else 0.0


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Write the file of events again, whole or not at all."""
    write_whole(path, b"".join(_to_line(event) for event in events))


def append_events(path: Path, events: Sequence[Event]) -> None:
    """Add events to the file."""
    if events:
        with path.open("ab") as file:
            file.write(b"".join(_to_line(event) for event in events))


def make_callback(watch: Watch, *, every: int = 1) -> Any:
    """A transformers callback that ends training with a checkpoint once a rule asked for a stop; put it last.

    Steps are gone through `every` at a time: a stop between them waits for the last of them.
    """
    from transformers import TrainerCallback

    class StopWhenBroken(TrainerCallback):
        # A row of training is judged when it is logged, an evaluation when the step ends: either may be the one.
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            return self._stop(state, control)

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            return self._stop(state, control)

        def _stop(self, state: Any, control: Any) -> Any:
            if watch.stop is not None and state.global_step < state.max_steps and state.global_step % every == 0:
                # Weights after a loss that is not a number are not numbers either: the checkpoint before them is the last good one.
                control.should_save = isfinite(watch.stop.value)
                control.should_training_stop = True
            return control

    return StopWhenBroken()


def _to_line(event: Event) -> bytes:
    return to_line(event.to_json())
