"""What the page of one run shows: figures, curves with their thresholds, the tree with its margins, watch events."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from markupsafe import Markup

from callbacks.config import DecisionSection
from callbacks.decision.tree import decide
from grpo.decide.decide_run import read_schedule
from grpo.ladder import find_rung
from grpo.report.charts import Drawing, lay_out_chart, place_on_bar, share_scale
from grpo.report.curves import make_curves, make_lines
from grpo.report.run_files import RunFiles, as_mapping, is_number, read_run
from grpo.report.tree import lay_out
from grpo.report.verdict import make_decision
from grpo.service.groups import list_evaluations, list_steps
from grpo.service.overview import Overview, RunSummary
from rewards.screen.harmless_text import make_label

_MOST_MARGINS = 40
_KEPT_TRACES = 16
_SHOWN_EVENTS = 30

Trace = dict[str, list[tuple[int, float]]]
_traces: OrderedDict[tuple[str, int, int], Trace] = OrderedDict()


def make_run_view(overview: Overview, run: RunSummary) -> dict[str, Any]:
    """The values of the template `run.html.j2`."""
    folder = overview.root / run.id
    snapshot = overview.read(run.id)
    if snapshot is None:
        return {"run": run, "there": False}
    files = read_run(folder, completions=False)
    decision = make_decision(snapshot.decision)
    trace = trace_margins(files)
    curves = make_curves(files)
    scale = share_scale(curves[1:])
    return {
        "run": run,
        "there": True,
        "tasks": snapshot.tasks,
        "evaluated": snapshot.evaluated,
        "silent_seconds": snapshot.silent_seconds,
        "decision": decision,
        "decided": bool(snapshot.decision.get("final")),
        "tree": lay_out(decision),
        "bars": {node["name"]: place_on_bar(node) for node in decision["path"]},
        "traces": {name: draw_trace(points) for name, points in trace.items() if len(points) > 1},
        "curves": [
            (curve, lay_out_chart(curve) if number == 0 else lay_out_chart(curve, scale))
            for number, curve in enumerate(curves)
        ],
        "lines": [(line, lay_out_chart(line)) for line in make_lines(files)],
        "events": [_make_event(event) for event in snapshot.events[-_SHOWN_EVENTS:]][::-1],
        "steps": list_steps(folder),
        "evaluations": list_evaluations(folder),
        "has_next_config": files.has_next_config,
    }


def trace_margins(run: RunFiles) -> Trace:
    """The margin of each question after each evaluation: what the decision would have said had the run ended there."""
    ends = [
        number
        for number, row in enumerate(run.metrics)
        if is_number(row.get("eval/mean_reward")) and row["stage"] not in ("before",)
    ][-_MOST_MARGINS:]
    key = (str(run.folder), len(run.metrics), ends[-1] if ends else -1)
    if key in _traces:
        return _traces[key]
    section = DecisionSection()
    with suppress(ValueError):
        section = DecisionSection.model_validate(as_mapping(run.config.get("decision")))
    rung, next_rung = find_rung(as_mapping(run.config.get("model")).get("name"), run.source)
    trace: Trace = {}
    for end in ends:
        with suppress(ValueError, TypeError, ArithmeticError, KeyError):
            made = decide(
                run.metrics[: end + 1], section, rung=rung, next_rung=next_rung, rehearsal=run.profile == "embedded",
                schedule=read_schedule(run.config),
            )  # fmt: skip
            for node in made.path:
                if node.margin is not None:
                    points = trace.setdefault(make_label(node.name, 300), [])
                    step = run.metrics[end]["step"]
                    if points and points[-1][0] == step:
                        points.pop()
                    points.append((step, node.margin))
    _traces[key] = trace
    while len(_traces) > _KEPT_TRACES:
        _traces.popitem(last=False)
    return trace


def draw_trace(points: Sequence[tuple[int, float]]) -> Markup:
    """How a margin moved: a small line against zero, which is where its answer turns."""
    values = [value for _, value in points]
    low, high = min(0.0, *values), max(0.0, *values)
    space = 0.12 * (high - low) or 0.01
    first, last = points[0][0], points[-1][0]

    def x(step: int) -> float:
        return round(2 + 96 * (step - first) / ((last - first) or 1), 2)

    def y(value: float) -> float:
        return round(100 * (high + space - value) / (high - low + 2 * space), 2)

    line = "L".join(f"{x(step)} {y(value)}" for step, value in points)
    said = ", ".join(f"{step}: {value:+.3f}" for step, value in points)
    return Markup(
        '<svg class="trace" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}"><title>{}</title>'
        '<path class="mark" d="M0 {}H100"/><path class="line" d="M{}"/><path class="dot" d="M{} {}h.01"/></svg>'
    ).format(said, said, y(0.0), line, x(last), y(values[-1]))


def overlay(first: RunFiles, other: RunFiles) -> list[tuple[str, Drawing, Drawing]]:
    """The curves of two runs by task, each pair on one scale."""
    theirs = {curve.name: curve for curve in make_curves(other)}
    pairs = []
    for curve in make_curves(first):
        second = theirs.get(curve.name)
        if second is None:
            continue
        scale = share_scale([curve, second])
        pairs.append((curve.name, lay_out_chart(curve, scale), lay_out_chart(second, scale)))
    return pairs


def _make_event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "step": event.get("step") if is_number(event.get("step")) else None,
        "rule": make_label(event.get("rule"), 60),
        "stops": event.get("action") == "stop",
        "metric": make_label(event.get("metric"), 80),
        "value": event.get("value") if is_number(event.get("value")) else None,
        "limit": event.get("limit") if is_number(event.get("limit")) else None,
        "message": make_label(event.get("message") or event.get("text"), 400),
    }
