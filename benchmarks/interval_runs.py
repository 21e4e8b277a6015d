"""Simulated runs whose truth is known: how often rules, choices and verdicts err, for benchmarks/intervals.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean
from typing import Any

import numpy as np

from callbacks.config import DecisionSection
from callbacks.decision.decision import ask_at_least
from callbacks.decision.measures import Recorded
from callbacks.decision.starts import ask_share
from callbacks.evaluation.best import BestCheckpoint, find_fallen_tasks
from callbacks.evaluation.history import Evaluation
from callbacks.evaluation.task_scores import summarise
from callbacks.watch.watch import does_not_climb
from grpo.compare.promotion import compare_runs
from grpo.compare.promotion_rules import load_rules
from grpo.compare.reading import make_cells
from grpo.compare.recorded import RecordedRun, Row
from rewards.statistics.estimates import ALL, Estimate, examples_to_decide, interval_of, paired_differences
from rewards.statistics.seeds import (
    bootstrap,
    correct_for_choice,
    estimate_over_seeds,
    iqm_of_scores,
    mean_of_scores,
    probability_of_improvement,
)

MakeRow = Callable[..., dict[str, Any]]
TASKS = {"extraction": 128, "sql_qa": 128, "insights": 32, "push": 32}
NOISE = 0.008
"""The standard error of one evaluation of 320 rows from one look at the same rows to the next, as it was measured."""
SEEDS_SD = 0.0155
KEYS = [(task, str(number)) for task, count in TASKS.items() for number in range(count)]


def measure_plateau(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """The rule `plateau`: climbing runs that it stops, and flat ones that it stops by step 200."""
    rows = []
    for every in (10, 25, 50):
        for case, slope, count, low, high in (
            ("climbs by 0.027 in 100 steps: stopped", 0.00027, repeats, 0.0, 0.05),
            ("flat: stopped by step 200", 0.0, repeats // 4, 0.8, 1.0),
        ):
            stopped = sum(_stops(seed, every, slope) for seed in range(count)) / count
            rows.append(make_row("plateau", case, f"every {every} steps", stopped, low, high, repeats=count))
    return rows


def _stops(seed: int, every: int, slope: float, until: int = 200, window: int = 70, least: float = 0.01) -> bool:
    random, points = Random(seed), []
    for step in range(0, until + 1, every):
        points.append((step, 0.4 + slope * step + random.gauss(0, NOISE)))
        if len(points) > 2 and does_not_climb(points, NOISE, window, least):
            return True
    return False


class _Policy:
    """320 held-out rows of their own difficulty, answered with sampled answers: graded, SQL right or wrong.

    The noise from one evaluation of these rows to the next is about 0.010, near what was measured.
    """

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.level = self.random.beta(0.2, 0.3, len(KEYS))
        self.flags = np.array([task == "sql_qa" for task, _ in KEYS])

    def answer(self, gain: float = 0.0) -> dict[tuple[str, str], float]:
        """The rewards of one evaluation whose true mean lies about `gain` above the start's."""
        mean = self._means(gain)
        graded = self.random.beta(30 * mean, 30 * (1 - mean))
        found = np.where(self.flags, self.random.random(len(KEYS)) < mean, graded)
        return dict(zip(KEYS, found.tolist(), strict=True))

    def truth(self, gain: float = 0.0) -> float:
        return float(self._means(gain).mean())

    def _means(self, gain: float) -> np.ndarray:
        """What is not right yet gets better, in all by `gain` of a start of 0.4."""
        return np.clip(self.level + (1.0 - self.level) * gain / 0.6, 0.001, 0.999)


def _summarise(rewards: dict[tuple[str, str], float]) -> dict[str, Estimate]:
    return summarise([(task, value) for (task, _), value in rewards.items()])


def measure_best(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """The best checkpoint: taken where nothing changed, tasks that seem to fall, gains that are missed, and its optimism."""
    rows = []
    for looks in (7, 13):
        taken, fallen = 0, 0
        for seed in range(repeats):
            policy, best = _Policy(seed), BestCheckpoint(looks=looks)
            start = policy.answer()
            best.start(_summarise(start), start)
            for look in range(1, looks + 1):
                rewards = policy.answer()
                fallen += bool(best.consider(look, _summarise(rewards), rewards).fallen)
            taken += bool(best.step)
        rows.append(
            make_row(
                "best", "nothing changed: start replaced", f"{looks} looks", taken / repeats, 0, 0.05, repeats=repeats
            )
        )
        rows.append(
            make_row("best", "nothing changed: kept back by a task", f"{looks} looks", fallen / repeats, 0, 0.05, repeats=repeats)
        )  # fmt: skip
    for gain, least in ((0.03, 0.0), (0.06, 0.8)):
        kept = 0
        for seed in range(repeats):
            policy, best = _Policy(seed), BestCheckpoint(looks=7)
            start, end = policy.answer(), policy.answer(gain)
            best.start(_summarise(start), start)
            kept += best.consider(1, _summarise(end), end).is_best
        rows.append(
            make_row("best", f"truly better by {gain}: kept", "7 looks", kept / repeats, least, 1.0, repeats=repeats)
        )
    optimism = {"as it was chosen": [], "estimated anew": []}
    for seed in range(repeats):
        policy, best = _Policy(seed), BestCheckpoint(looks=7)
        start = policy.answer()
        best.start(_summarise(start), start)
        for look in range(1, 8):
            # Climbs, then stands: four looks of one and the same policy.
            rewards = policy.answer(0.02 * min(look, 4))
            best.consider(look, _summarise(rewards), rewards)
        gain = 0.02 * min(best.step or 0, 4)
        optimism["as it was chosen"].append((best.mean or 0.0) - policy.truth(gain))
        optimism["estimated anew"].append(fmean(policy.answer(gain).values()) - policy.truth(gain))
    for case, found in optimism.items():
        low, high = (-0.002, 0.002) if case == "estimated anew" else (0.0, 0.02)
        rows.append(
            make_row("optimism of the best mean", case, "7 looks", fmean(found), low, high, repeats=50 * repeats)
        )
    return rows


def measure_decisions(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """The questions of the trees where the truth lies right at the threshold, and tasks that only seem to fall."""
    above, third, said, fell = 0, 0, 0, 0
    section = DecisionSection()
    for seed in range(repeats):
        policy = _Policy(seed)
        # The level of other rows than these 320 is 0.4: that is what the interval of a mean is about.
        start, end = policy.answer(), policy.answer()
        first, last = _summarise(start), _summarise(end)
        above += ask_at_least("scale", "?", last[ALL], 0.4).outcome == "yes"
        grown = {key: value * 1.33 for key, value in policy.answer().items()}
        paired = paired_differences(start, grown)
        evaluations = [Evaluation("warmup", 0, first), Evaluation("final", 100, _summarise(grown))]
        outcome = ask_share("gain", "?", Recorded(evaluations, section, {}, paired=paired), 0.33).outcome
        third += outcome == "yes"
        said += outcome == "no"
        fell += bool(find_fallen_tasks(first, last, paired_differences(start, end)))
    cases = (
        ("mean at the threshold: 'at least' says yes", above, 0.04),
        ("33 % up, exactly: says yes", third, 0.04),
        ("33 % up, exactly: says no", said, 0.04),
        ("nothing changed: some of four tasks 'fell'", fell, 0.05),
    )
    return [
        make_row("decisions", case, 320, found / repeats, 0.0, high, repeats=repeats) for case, found, high in cases
    ]


def measure_promotions(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """How often `compare` promotes some candidate, over four tasks of 60 rows."""
    cases: dict[str, tuple[tuple[float, ...], int, float, float]] = {
        "no change, 1 candidate": ((0.0,) * 4, 1, 0.0, 0.05),
        "no change, 5 candidates": ((0.0,) * 4, 5, 0.0, 0.05),
        "worse by 0.02 in all": ((-0.02,) * 4, 1, 0.0, 0.01),
        "up 0.12 in three tasks, down 0.1 in one": ((0.12, 0.12, 0.12, -0.1), 1, 0.0, 0.1),
        "up 0.05 in all": ((0.05,) * 4, 1, 0.5, 1.0),
    }
    rows = []
    for case, (shifts, candidates, low, high) in cases.items():
        found = _promote(shifts, 60, candidates, repeats)
        rows.append(make_row("promotions", case, 240, found, low, high, repeats=repeats))
    return rows


def _promote(shifts: Sequence[float], n: int, candidates: int, repeats: int) -> float:
    """The share of comparisons that promote some candidate; `shifts` is what each task truly changes by, n its rows."""
    random, rules, promoted = np.random.default_rng(0), load_rules(), 0
    for _ in range(repeats):
        base = random.beta(3, 3, (len(shifts), n))
        runs = [_make_run("base", base)]
        for number in range(candidates):
            moved = base + np.array(shifts)[:, None] + random.normal(0.0, 0.15, base.shape)
            runs.append(_make_run(f"candidate {number}", np.clip(moved, 0.0, 1.0)))
        promoted += any(verdict.promoted for verdict in compare_runs(runs, rules).verdicts)
    return promoted / repeats


def _make_run(name: str, rewards: np.ndarray) -> RecordedRun:
    rows = {
        (str(task), str(number)): Row({"reward": value}, (f"task:{task}",), "q", f"{name}{number}")
        for task, values in enumerate(rewards.tolist())
        for number, value in enumerate(values)
    }
    return RecordedRun(name, name, rows, make_cells(rows))


def measure_seeds(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """Intervals over five seeds, the probability of improvement, and the winner of a grid of four equal settings."""
    random = np.random.default_rng(5)
    hits = dict.fromkeys(("Student, mean", "bootstrap, mean over tasks", "bootstrap, IQM", "bootstrap, improvement"), 0)
    chosen, corrected = [], []
    for _ in range(repeats):
        one, other = ({task: (0.5 + random.normal(0, 2 * SEEDS_SD, 5)).tolist() for task in TASKS} for _ in range(2))
        found = estimate_over_seeds((0.5 + random.normal(0, SEEDS_SD, 5)).tolist())
        hits["Student, mean"] += found.low <= 0.5 <= found.high
        for name, statistic in (("mean over tasks", mean_of_scores), ("IQM", iqm_of_scores)):
            low, high = bootstrap(statistic, one, repeats=400)
            hits[f"bootstrap, {name}"] += low <= 0.5 <= high
        low, high = bootstrap(probability_of_improvement, one, other, repeats=150)
        hits["bootstrap, improvement"] += low <= 0.5 <= high
        grid = {str(setting): (0.5 + random.normal(0, SEEDS_SD, 5)).tolist() for setting in range(4)}
        chosen.append(max(fmean(values) for values in grid.values()) - 0.5)
        corrected.append(correct_for_choice(grid) - 0.5)
    rows = [
        make_row(
            "over five seeds", name, 5, count / repeats, 0.93 if "Student" in name else 0.75, 0.97, repeats=repeats
        )
        for name, count in hits.items()
    ]
    for case, found, low, high in (("as it won", chosen, 0.0, 0.02), ("corrected", corrected, -0.004, 0.004)):
        rows.append(make_row("winner of four equal settings", case, 5, fmean(found), low, high, repeats=50 * repeats))
    return rows


def measure_advice(repeats: int, make_row: MakeRow) -> list[dict[str, Any]]:
    """How often the number of examples that is advised gives a clear answer."""
    rows = []
    std = (2 * 3 / (5**2 * 6)) ** 0.5
    for margin in (0.03, 0.06):
        for power in (0.5, 0.8):
            n = 2 + (examples_to_decide(Estimate(0.4, 2, std, 0.0, 1.0), margin, power=power) or 0)
            values = np.random.default_rng(n).beta(2, 3, (repeats, n))
            ends = [interval_of(m, n, s) for m, s in zip(values.mean(1), values.std(1, ddof=1), strict=True)]
            clear = np.mean([found.low > 0.4 - margin for found in ends])
            case = f"{margin} above the threshold, {power:.0%} advised"
            rows.append(make_row("advice: clear answers", case, n, clear, power - 0.06, power + 0.06, repeats=repeats))
    return rows
