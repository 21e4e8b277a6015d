"""Runs compared and judged: did training hurt, may a run be promoted, which run leads, is the scorer to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grpo.compare.constant_metrics import Constant, find_constants
from grpo.compare.differences import (
    BETTER,
    NOISE,
    UNKNOWN,
    WORSE,
    Difference,
    count_known,
    find_difference,
    judge,
)
from grpo.compare.leaderboard import Leaderboard, rank
from grpo.compare.promotion_rules import PromotionRules
from grpo.compare.recorded import ALL, RecordedRun, are_seeds, kind_of
from rewards.errors import UserError
from rewards.statistics.changes import adjust
from rewards.statistics.estimates import POWERS, Estimate, examples_to_decide
from rewards.statistics.seeds import MEASURED_SD
from rewards.statistics.student import t_quantile

_ANSWERS = {BETTER: "helped", WORSE: "hurt", NOISE: "noise", UNKNOWN: "cannot be told"}
_CATEGORIES = ("task", "split", "target_layer")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of a run."""

    rule: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class PromotionVerdict:
    """Whether a run may take the baseline's place, and why; this many further examples would decide a gain within the noise
    with an even chance, and with one of 80 %."""

    run: str
    promoted: bool
    findings: tuple[Finding, ...]
    further_examples: int | None = None
    further_examples_80: int | None = None

    @property
    def reasons(self) -> list[str]:
        """What stands against a promotion, or for it where nothing does."""
        against = [finding.text for finding in self.findings if not finding.passed]
        return against or [finding.text for finding in self.findings]


@dataclass(frozen=True)
class RunComparison:
    """Everything that is said about a set of runs; the first is the baseline."""

    baseline: str
    metric: str
    rules: PromotionRules
    differences: tuple[Difference, ...]
    verdicts: tuple[PromotionVerdict, ...]
    constants: tuple[Constant, ...]
    leaderboard: Leaderboard
    notes: tuple[str, ...] = field(default=())

    @property
    def alarms(self) -> list[Constant]:
        """The constant metrics that are an alarm."""
        return [constant for constant in self.constants if constant.alarm]

    @property
    def tests(self) -> int:
        """How many differences were tested, for the correction of p-values."""
        return count_known(self.differences)

    def categories(self, run: str) -> list[Difference]:
        """The differences that answer whether training hurt: all, and each task; where tasks do not divide, each split."""
        mine = [item for item in self.differences if item.run == run and item.metric == self.metric]
        for kind in _CATEGORIES:
            parts = [item for item in mine if kind_of(item.group) == kind]
            if parts:
                return [item for item in mine if item.group == ALL] + parts
        return mine

    def answer(self, run: str) -> str:
        """One line: where training hurt, helped, or cannot be told from noise."""
        parts = self.categories(run)
        several = len(parts) > 1
        by_answer: dict[str, list[str]] = {}
        for item in parts:
            if not (several and item.group == ALL):
                by_answer.setdefault(_ANSWERS[item.verdict], []).append(name_group(item.group))
        total = next((item for item in parts if item.group == ALL), None)
        lines = [f"{answer}: {', '.join(by_answer[answer])}" for answer in _ANSWERS.values() if answer in by_answer]
        said = "; ".join(lines)
        if total is not None and several:
            said += f" (over all: {_ANSWERS[total.verdict]}, {say_change(total)})"
        elif total is not None:
            said = f"{_ANSWERS[total.verdict]}, {say_change(total)}"
        return said

    def noise(self, run: str) -> list[Difference]:
        """The differences that look like something and are within the noise."""
        return [item for item in self.differences if item.run == run and item.verdict == NOISE and item.change.mean]

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain values, as `--json` prints it."""
        return {
            "baseline": self.baseline,
            "metric": self.metric,
            "confidence": self.rules.confidence,
            "adjust": self.rules.adjust,
            "tests": self.tests,
            "promoted": [verdict.run for verdict in self.verdicts if verdict.promoted],
            "did_training_hurt": {
                verdict.run: {
                    "answer": self.answer(verdict.run),
                    "categories": {item.group: _ANSWERS[item.verdict] for item in self.categories(verdict.run)},
                }
                for verdict in self.verdicts
            },
            "alarms": [constant.text for constant in self.alarms],
            "constants": [
                {"metric": c.metric, "group": c.group, "value": c.value, "alarm": c.alarm, "text": c.text}
                for c in self.constants
            ],
            "verdicts": [
                {
                    "run": verdict.run,
                    "promoted": verdict.promoted,
                    "reasons": verdict.reasons,
                    "further_examples": verdict.further_examples,
                    "further_examples_80": verdict.further_examples_80,
                    "findings": [
                        {"rule": finding.rule, "passed": finding.passed, "text": finding.text}
                        for finding in verdict.findings
                    ],
                    "noise": [describe_noise(item) for item in self.noise(verdict.run)],
                }
                for verdict in self.verdicts
            ],
            "differences": [item.to_json() for item in self.differences],
            "leaderboard": self.leaderboard.to_json(),
            "notes": list(self.notes),
        }


def compare_runs(runs: Sequence[RecordedRun], rules: PromotionRules, notes: Sequence[str] = ()) -> RunComparison:
    """Hold every run against the first. UserError where no metric of the gain's rule is in all of them."""
    metric = _choose_metric(runs, rules)
    baseline, candidates = runs[0], runs[1:]
    judged_metrics = list(dict.fromkeys((metric, *rules.falls.metrics)))
    differences = judge(
        [
            difference
            for candidate in candidates
            for name in judged_metrics
            for group in baseline.groups()
            if not _is_whole(baseline, group, name)
            and (difference := find_difference(baseline, candidate, group, name, rules.confidence)) is not None
        ],
        rules.adjust,
        rules.alpha,
    )
    constants = find_constants(runs, judged_metrics, rules.few_examples)
    comparison = RunComparison(
        baseline.name,
        metric,
        rules,
        tuple(differences),
        (),
        tuple(constants),
        rank(runs, metric, rules.confidence, rules.adjust),
        (*notes, *_note(runs, differences, metric, rules)),
    )
    return _with_verdicts(comparison, baseline, candidates)


def name_group(group: str) -> str:
    """A group as one reads it: the value alone."""
    return group if group == ALL else group.partition(":")[2]


def say_change(difference: Difference) -> str:
    """The mean change with its interval, or `noise not known`."""
    change = difference.change
    if change.low is None or change.high is None:
        return f"{change.mean:+.4f} (noise not known)"
    return f"{change.mean:+.4f} ({change.low:+.4f} to {change.high:+.4f})"


def describe_noise(difference: Difference) -> str:
    """A difference within the noise in words, as the number of examples where it is one."""
    where = difference.metric + ("" if difference.group == ALL else f" of {name_group(difference.group)}")
    examples = difference.in_examples()
    counted = f", that is {examples}" if examples else ""
    return f"{where} {say_change(difference)}{counted}: noise"


def _choose_metric(runs: Sequence[RecordedRun], rules: PromotionRules) -> str:
    shared = [name for name in runs[0].metrics() if all((ALL, name) in run.cells for run in runs)]
    for metric in rules.gain.metric:
        if metric in shared:
            return metric
    there = ", ".join(name for name in shared if "." not in name) or "none"
    raise UserError(
        f"{' and '.join(rules.gain.metric)}: not in all runs over all examples; they share: {there}; choose one "
        "with --metric, or as gain.metric in the rules"
    )


def _is_whole(run: RecordedRun, group: str, metric: str) -> bool:
    """Whether all that has the metric is in this group: the same numbers would be tested twice."""
    whole, part = run.cells.get((ALL, metric)), run.cells.get((group, metric))
    return group != ALL and whole is not None and part is not None and whole.n is not None and whole.n == part.n


def _with_verdicts(
    comparison: RunComparison, baseline: RecordedRun, candidates: Sequence[RecordedRun]
) -> RunComparison:
    rules = comparison.rules
    totals = {d.run: d for d in comparison.differences if d.group == ALL and d.metric == comparison.metric}
    names = [run.name for run in candidates]
    # One question a run: a family of its own, which the questions about its groups do not weaken.
    gains = [totals[name].change.p_beyond(rules.gain.at_least) if name in totals else None for name in names]
    fallen = _find_fallen(comparison.differences, rules)
    verdicts = []
    for run, p in zip(candidates, adjust(gains, rules.adjust), strict=True):
        total = totals.get(run.name)
        findings = [_judge_gain(comparison, total, p)]
        findings += _judge_falls(comparison, run.name, fallen) + _judge_unknown(comparison, baseline, run)
        findings += _judge_floors(run, comparison.metric, rules) + _judge_training(baseline, run)
        if comparison.alarms:
            findings += [
                Finding("alarm", rules.alarm == "warn", f"scorer alarm: {alarm.where} is the same for every run")
                for alarm in comparison.alarms
            ]
        further = (None, None) if total is None or findings[0].passed else _count_further(total, rules)
        verdicts.append(
            PromotionVerdict(run.name, all(finding.passed for finding in findings), tuple(findings), *further)
        )
    return RunComparison(
        comparison.baseline,
        comparison.metric,
        rules,
        comparison.differences,
        tuple(verdicts),
        comparison.constants,
        comparison.leaderboard,
        comparison.notes,
    )


def _judge_gain(comparison: RunComparison, total: Difference | None, p: float | None) -> Finding:
    rules = comparison.rules
    beyond = f"more than {rules.gain.at_least:g}" if rules.gain.at_least else "a gain"
    if total is None or p is None:
        lacking = "the runs have no mean over all examples" if total is None else "n was not recorded"
        return Finding("gain", False, f"whether {comparison.metric} gained cannot be told: {lacking}")
    gained = p <= rules.alpha and total.change.mean > rules.gain.at_least
    examples = total.in_examples()
    said = f"{comparison.metric} {say_change(total)}{f', {examples}' if examples else ''}"
    if gained:
        return Finding("gain", True, f"{said}: {beyond}, beyond the noise")
    return Finding(
        "gain", False, f"{said}: {'no gain' if not rules.gain.at_least else f'not {beyond}'} beyond the noise"
    )


def _find_fallen(differences: Sequence[Difference], rules: PromotionRules) -> list[Difference]:
    """The differences that the rule about falls forbids; those of all runs are one family of tests."""
    watched = [
        d for d in differences if d.metric in rules.falls.metrics and kind_of(d.group) in rules.falls.groups
    ]  # fmt: skip
    ps = adjust([d.change.p_beyond(-rules.falls.allowed) for d in watched], rules.adjust)
    fallen = [
        d
        for d, p in zip(watched, ps, strict=True)
        if p is not None and p <= rules.alpha and d.change.mean < -rules.falls.allowed
    ]
    if rules.falls.ruled_out:
        fallen += [d for d in watched if d not in fallen and (d.change.low or -1.0) <= -rules.falls.allowed]
    return fallen


def _judge_falls(comparison: RunComparison, run: str, fallen: Sequence[Difference]) -> list[Finding]:
    rules = comparison.rules.falls
    mine = [d for d in fallen if d.run == run]
    found = []
    for item in mine:
        where = item.metric + (f" of {name_group(item.group)}" if item.group != ALL else "")
        sure = item.change.mean < -rules.allowed and item.verdict == WORSE
        how = (
            "beyond the noise" if sure or not rules.ruled_out else f"a fall by more than {rules.allowed:g} is possible"
        )
        examples = f", {item.in_examples()}" if item.in_examples() else ""
        found.append(Finding("falls", False, f"{where} fell {say_change(item)}{examples}: {how}"))
    return found or [Finding("falls", True, "nothing fell beyond the noise")]


def _judge_unknown(comparison: RunComparison, baseline: RecordedRun, run: RecordedRun) -> list[Finding]:
    """Groups that may have fallen unseen: the run lacks them, or fell in them by an amount whose noise is not known."""
    rules = comparison.rules.falls
    found = []
    for group, metric in baseline.cells:
        if metric not in rules.metrics or kind_of(group) not in rules.groups or metric not in run.metrics():
            continue
        if (group, metric) not in run.cells:
            text = f"{metric} of {name_group(group)}: {run.name} has none, so a fall cannot be ruled out"
            found.append(Finding("falls", False, text))
    for item in comparison.differences:
        watched = item.run == run.name and item.metric in rules.metrics and kind_of(item.group) in rules.groups
        if watched and item.verdict == UNKNOWN and item.change.mean < -rules.allowed:
            text = f"{item.metric} of {name_group(item.group)} {say_change(item)}: whether it fell cannot be told"
            found.append(Finding("falls", False, text))
    return found


def _judge_floors(run: RecordedRun, metric: str, rules: PromotionRules) -> list[Finding]:
    found = []
    for group, floor in rules.floors.items():
        cell = run.cells.get((group, metric))
        if cell is None:
            found.append(
                Finding("floors", False, f"{name_group(group)}: the run has no {metric} of it to hold its floor")
            )
        elif cell.value < floor:
            found.append(
                Finding(
                    "floors", False, f"{name_group(group)}: {metric} {cell.value:.3f} is below its floor of {floor:g}"
                )
            )
        else:
            found.append(
                Finding("floors", True, f"{name_group(group)}: {metric} {cell.value:.3f} holds its floor of {floor:g}")
            )
    return found


def _judge_training(baseline: RecordedRun, run: RecordedRun) -> list[Finding]:
    """If nothing was trained and only the seed differs, any gain comes from the seed, however far it exceeds the noise."""
    if not are_seeds(baseline, run) or baseline.trained or run.trained:
        return []
    text = f"{run.name} and {baseline.name} differ only in their seed and neither was trained: which one is better is chance"
    return [Finding("training", False, text)]


def _count_further(total: Difference, rules: PromotionRules) -> tuple[int | None, int | None]:
    change = total.change
    margin = change.mean - rules.gain.at_least
    if change.p is None or change.n is None or change.n < 2 or change.low is None or change.high is None or margin <= 0:
        return None, None
    half = (change.high - change.low) / 2
    std = half * change.n**0.5 / t_quantile(change.n - 1)
    estimate = Estimate(change.mean, change.n, std, change.low, change.high)
    even, most = (examples_to_decide(estimate, margin, power=power) or None for power in POWERS)
    return even, most


def _note(
    runs: Sequence[RecordedRun], differences: Sequence[Difference], metric: str, rules: PromotionRules
) -> list[str]:
    notes = [
        "two checkpoints are compared, by their examples; of their recipes one seed each says little: seeds differ by about "
        f"{MEASURED_SD:g} (sd, measured on the embedded recipe), two recipes are compared by groups of --seeds"
    ]
    seeds = [run.name for run in runs[1:] if are_seeds(runs[0], run) and run.trained and runs[0].trained]
    if seeds:
        notes.append(
            f"{', '.join(seeds)}: same recipe as {runs[0].name}, different seed; a gain means a better checkpoint, "
            "not a better recipe"
        )
    unpaired = sorted({d.run for d in differences if not d.change.paired})
    if unpaired:
        notes.append(
            f"not paired by example, because only means were recorded or no example is shared: {', '.join(unpaired)}; "
            "the intervals are Welch's, and wider"
        )
    if any(cell.bounded for run in runs for cell in run.cells.values()):
        notes.append("a std that was not recorded counts as the largest that values in 0..1 can have")
    small = {
        group: cell.n
        for run in runs
        for (group, name), cell in run.cells.items()
        if name == metric and cell.n is not None and cell.n < rules.few_examples
    }
    if small:
        shown = ", ".join(f"{name_group(group)} ({n})" for group, n in sorted(small.items()))
        notes.append(f"fewer than {rules.few_examples} examples: {shown}")
    unscored = [f"{run.name} ({run.unscored})" for run in runs if run.unscored]
    if unscored:
        notes.append(f"completions without a reward, left out: {', '.join(unscored)}")
    return notes
