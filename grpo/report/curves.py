"""Which curves a report shows: held-out reward for all and for each task, and the health of the training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from callbacks.config import DecisionSection
from callbacks.decision.decision import OWN, RECIPE, REHEARSAL, TREES
from callbacks.decision.tree import choose_tree
from callbacks.watch.rules import WatchRule, WatchSection, rename_metric
from grpo.report import tables
from grpo.report.charts import Curve, Point, draw_spread
from grpo.report.run_files import RunFiles, as_mapping, is_number
from rewards.screen.harmless_text import make_label
from rewards.statistics.estimates import ALL

# Metrics of training worth a look.
WATCHED = (
    ("reward", "training reward"),
    ("frac_reward_zero_std", "zero-spread groups"),
    ("completions/mean_length", "completion length, tokens"),
    ("completions/clipped_ratio", "truncated completions"),
    ("entropy", "entropy"),
    ("grad_norm", "gradient norm"),
    ("completions/repetition", "repeated phrases"),
    ("learning_rate", "learning rate"),
    ("kl", "KL to the reference policy"),
)


def make_curves(run: RunFiles) -> list[Curve]:
    """A learning curve for all and for each task, with the lines the decision was made against."""
    section, tree = read_thresholds(run)
    warmup, before = run.find_evaluation("warmup"), run.find_evaluation("before")
    curves = []
    for name in tables.list_tasks(run):
        points = {
            item.step: Point(item.step, estimate.mean, estimate.low, estimate.high, estimate.n)
            for item in run.evaluations
            if item.stage != "before" and (estimate := item.task(name)) is not None and estimate.mean is not None
        }
        marks: list[tuple[str, float]] = []
        start = warmup.task(name) if warmup else None
        if tree == RECIPE and name == ALL:
            marks.append((f"scale up at {section.scale_at:g}", section.scale_at))
        elif tree == RECIPE and name in section.floors:
            marks.append((f"floor {section.floors[name]:g}", section.floors[name]))
        elif tree == OWN and name == ALL and section.target is not None:
            marks.append((f"target {section.target:g}", section.target))
        elif tree == REHEARSAL and name == ALL and start is not None and start.mean is not None:
            marks.append((f"warm-up +{section.rehearsal_gain:.0%}", start.mean * (1 + section.rehearsal_gain)))
        elif tree != RECIPE and name != ALL and start is not None and start.low is not None:
            marks.append(("low end of the start" if tree == OWN else "low end of the warm-up", start.low))
        untrained = before.task(name) if before else None
        curves.append(
            Curve(
                name="all tasks" if name == ALL else make_label(name, 60),
                points=[points[step] for step in sorted(points)],
                marks=marks,
                best_step=run.best.step,
                before=untrained.mean if untrained else None,
            )
        )
    return curves


def make_lines(run: RunFiles) -> list[Curve]:
    """The metrics of training that were recorded at two steps or more."""
    lines = []
    watch, facts = read_watch(run)
    bounds = read_bounds(run)
    for key, name in WATCHED:
        values = [
            (row["step"], float(row[key])) for row in run.metrics if row["stage"] == "train" and is_number(row.get(key))
        ]
        if len(values) < 2:
            continue
        top = max(value for _, value in values)
        band = watch.expected.get(key) if watch.enabled else None
        said = band is not None and band.enabled and all(facts[fact] for fact in band.only_with)
        lines.append(
            Curve(
                name=name,
                marks=[(label, bound) for bound, label in bounds.get(key, ()) if top >= 0.6 * bound],
                values=values,
                band=(band.low, band.high, band.label) if band is not None and said else None,
                events=[
                    event["step"] for event in run.events if event.get("metric") == key and is_number(event.get("step"))
                ],
            )
        )
    return lines


def read_bounds(run: RunFiles) -> dict[str, list[tuple[float, str]]]:
    """By metric where the watch rules of this run warned or stopped: the bound, and its label such as `stop at 0.5`."""
    watch, facts = read_watch(run)
    grpo = as_mapping(run.config.get("grpo"))
    settings = {key: float(value) for key, value in grpo.items() if is_number(value)}
    bounds: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for rule in watch.rules.values() if watch.enabled else ():
        said = rule.enabled and all(facts[fact] for fact in rule.only_with)
        # A rule for the first steps only is not a line across the whole picture.
        said = said and rule.until_step is None and rule.condition in ("above", "below")
        if said and (rule.of is None or rule.of in settings):
            bound = rule.limit(settings)
            bounds[rename_metric(rule.metric)].append(
                (bound, f"{rule.action} {'at' if rule.condition == 'above' else 'below'} {bound:g}{_say_window(rule)}")
            )
    return bounds


def _say_window(rule: WatchRule) -> str:
    """Over how many steps a rule looks, where one step across the line breaks nothing."""
    if rule.window <= 1 or rule.over == "last":
        return ""
    return f", mean of {rule.window}" if rule.over == "mean" else f", {rule.window} in a row"


def read_watch(run: RunFiles) -> tuple[WatchSection, dict[str, bool]]:
    """What this run is watched by, the shipped rules where it recorded none, and the facts that rules and bands ask for."""
    decision, grpo = as_mapping(run.config.get("decision")), as_mapping(run.config.get("grpo"))
    watch = WatchSection()
    # Rules of another version of the config are no reason to have no report.
    with suppress(ValueError):
        watch = WatchSection.model_validate(as_mapping(decision.get("watch")))
    recipe = decision.get("relative_to", "thresholds") == "thresholds"
    return watch, {"beta": bool(grpo.get("beta")), "recipe": recipe}


def draw_tasks(run: RunFiles, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the tasks with a picture each of what every stage reached, all on one scale from 0."""
    kinds = (
        ("before", "before training"),
        ("warmup", "after the warm-up"),
        ("sft", "further SFT"),
        ("final", "at the end" if tables.is_over(run) else "so far"),
    )
    section, tree = read_thresholds(run)
    drawn = []
    for row in rows:
        marks = []
        for kind, what in kinds:
            value = row[kind]
            if value is not None and value.mean is not None:
                marks.append((kind, what, Point(0, value.mean, value.low, value.high)))
        drawn.append((row, marks))
    most = max((point.high or point.mean for _, marks in drawn for _, _, point in marks), default=1.0)
    thresholds = _list_limits(section, tree)
    most = min(1.0, max(0.1, most * 1.08, *(thresholds.get(row["task"], 0.0) * 1.08 for row in rows)))
    return [
        {**row, "spread": draw_spread(marks, most, thresholds.get(row["task"])), "most": most} if marks else row
        for row, marks in drawn
    ]


def read_thresholds(run: RunFiles) -> tuple[DecisionSection, str]:
    """The thresholds of the run, the recipe's where it recorded none, and the name of the tree that it is judged by."""
    section = DecisionSection()
    known = {
        key: value
        for key, value in as_mapping(run.config.get("decision")).items()
        if key in DecisionSection.model_fields and key != "watch"
    }
    # The thresholds of another version of the config are no reason to have no report.
    with suppress(ValueError):
        section = DecisionSection.model_validate(known)
    made = run.decision.get("tree")
    if made in TREES:
        return section, made
    return section, choose_tree(section, rehearsal=run.decision.get("rehearsal") is True, evaluations=run.evaluations)


def _list_limits(section: DecisionSection, tree: str) -> Mapping[str, float]:
    """The lines that means are held against whatever the start was, by `all` or task."""
    if tree == OWN:
        return {} if section.target is None else {ALL: section.target}
    return {ALL: section.scale_at, **section.floors} if tree == RECIPE else {}
