"""A snapshot of a run as something rich can print: progress, tasks, margins, events, curves, last completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callbacks.progress import find_direction
from grpo.watch.braille_curves import draw_curve, find_range, thin_out
from grpo.watch.snapshot import STAGES, LiveCurve, Snapshot
from rewards.screen.amounts import format_seconds
from rewards.screen.harmless_text import make_harmless
from rewards.statistics.estimates import Estimate

_CHART_WIDTH = 34
_SILENT_SECONDS = 300.0
_OUTCOME_STYLES = {"yes": "green", "no": "yellow", "within noise": "magenta", "not judged": "dim"}


def render(snapshot: Snapshot, console: Console, *, height: int | None = None) -> RenderableType:
    """The whole screen; with `height` it is kept to this many lines, the least important left out first."""
    width = console.width
    plain = not console.encoding.lower().startswith("utf")
    head: list[RenderableType] = [_render_head(snapshot, width, plain)]
    if snapshot.tasks:
        head.append(_render_tasks(snapshot))
    if snapshot.decision.get("path"):
        head.append(_render_margins(snapshot))
    if snapshot.events:
        head.append(_render_events(snapshot, 3 if height else 20))
    used = sum(len(console.render_lines(part, pad=False)) for part in head) if height else 0
    parts = list(head)
    columns = max(1, width // (_CHART_WIDTH + 2))
    curves = snapshot.curves
    if height is not None:
        room = height - used - 1
        curves = curves[: max(0, room // 6) * columns]
    if curves:
        parts.append(_render_curves(curves, snapshot.max_steps, plain))
    lines_left = None if height is None else height - used - 6 * -(-len(curves) // columns) - 2
    shown = len(snapshot.completions) if lines_left is None else max(0, lines_left // 3)
    if snapshot.completions and shown:
        parts.append(_render_completions(snapshot, shown, width))
    return Group(*parts)


def _render_head(snapshot: Snapshot, width: int, plain: bool) -> RenderableType:
    state, style = _say_state(snapshot)
    title = Text.assemble(
        (make_harmless(snapshot.run, 120), "bold"),
        f"  {make_harmless(snapshot.model, 80)}  ",
        (state, style),
    )
    lines = [title]
    bar = max(10, min(40, width - 50))
    warmup = snapshot.warmup
    if warmup is not None and warmup.steps:
        said = f" warm-up {warmup.step}/{warmup.steps} steps"
        loss = f", loss {warmup.loss:.3f}" if warmup.loss is not None else ""
        left = (
            ""
            if _is_silent(snapshot) or warmup.seconds_left is None
            else f", about {format_seconds(warmup.seconds_left)} left"
        )
        lines.append(_render_bar(warmup.step / warmup.steps, bar, plain, said + loss + left))
    elif snapshot.max_steps:
        said = f" {snapshot.step}/{snapshot.max_steps} steps{_say_time_left(snapshot)}"
        lines.append(_render_bar(snapshot.step / snapshot.max_steps, bar, plain, said))
    return Group(*lines)


def _render_bar(share: float, width: int, plain: bool, said: str) -> Text:
    full = round(min(1.0, share) * width)
    marks = ("#", ".") if plain else ("━", "─")
    return Text.assemble((marks[0] * full, "green"), (marks[1] * (width - full), "dim"), said)


def _say_state(snapshot: Snapshot) -> tuple[str, str]:
    if snapshot.finished:
        return "finished", "bold green"
    if snapshot.stopped_by:
        return f"stopped by watch rule {make_harmless(snapshot.stopped_by, 60)}", "bold red"
    said = STAGES.get(snapshot.stage, make_harmless(snapshot.stage, 40))
    if _is_silent(snapshot) and snapshot.silent_seconds is not None:
        return f"{said}; nothing was written for {format_seconds(snapshot.silent_seconds)}", "bold yellow"
    return said, "bold cyan"


def _is_silent(snapshot: Snapshot) -> bool:
    return snapshot.silent_seconds is not None and snapshot.silent_seconds > _SILENT_SECONDS


def _say_time_left(snapshot: Snapshot) -> str:
    if snapshot.finished or snapshot.stopped_by or _is_silent(snapshot):
        return ""
    if snapshot.seconds_left is not None:
        return f", about {format_seconds(snapshot.seconds_left)} left"
    return f", planned {format_seconds(snapshot.seconds_planned)} in all" if snapshot.seconds_planned else ""


def _render_tasks(snapshot: Snapshot) -> RenderableType:
    best = f", best so far: step {snapshot.best_step}" if snapshot.best_step is not None else ""
    table = _make_table(f"held-out rewards {snapshot.evaluated}{best}")
    for head in ("task", "mean", "95 % interval", "n", "vs previous", "vs warm-up"):
        table.add_column(head, justify="left" if head == "task" else "right")
    for row in snapshot.tasks:
        interval = "-" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
        table.add_row(
            Text(make_harmless(row.task, 40), "bold" if row.task == "all" else ""),
            Text("-" if row.mean is None else f"{row.mean:.3f}"),
            Text(interval),
            Text(str(row.n or "-")),
            _show_change(row.mean, row.previous, row.since_previous),
            _show_change(row.mean, row.warmup, row.since_warmup),
        )
    return table


def _show_change(mean: float | None, before: float | None, change: Estimate | None) -> Text:
    """With its interval; coloured only where that leaves out 0."""
    if mean is None or before is None:
        return Text("-")
    known = change is not None and change.low is not None and change.high is not None
    ends = f" ({change.low:+.3f} to {change.high:+.3f})" if change is not None and known else ""
    style = {1: "green", -1: "red"}.get(find_direction(change), "") if change is not None else ""
    return Text(f"{mean - before:+.3f}{ends}", style)


def _render_margins(snapshot: Snapshot) -> RenderableType:
    decision = snapshot.decision
    said = "decision" if decision.get("final") else "decision if it ended now"
    table = _make_table(f"{said}: {make_harmless(decision.get('title', ''), 100)}")
    for head in ("node", "", "value", "threshold", "margin", "95 % interval", "n"):
        table.add_column(head, justify="left" if head in ("node", "") else "right")
    for node in decision.get("path") or ():
        if not isinstance(node, Mapping):
            continue
        low, high = node.get("low"), node.get("high")
        outcome = str(node.get("outcome"))
        known = isinstance(low, int | float) and isinstance(high, int | float)
        table.add_row(
            Text(make_harmless(node.get("name", ""), 40)),
            Text(make_harmless(outcome, 20), _OUTCOME_STYLES.get(outcome, "")),
            Text(_show(node.get("value"))),
            Text(_show(node.get("threshold"))),
            Text(_show(node.get("margin"), "+.3f")),
            Text(f"{low:.3f} to {high:.3f}" if known else "-"),
            Text(str(node.get("n") or "-")),
        )
    return table


def _render_events(snapshot: Snapshot, most: int) -> RenderableType:
    lines = [Text("watch events", "bold")]
    for event in snapshot.events[-most:]:
        action = str(event.get("action"))
        text = make_harmless(event.get("text") or event.get("rule"), 300)
        lines.append(Text.assemble((f"{make_harmless(action, 10)} ", "red" if action == "stop" else "yellow"), text))
    return Padding(Group(*lines), (0, 0, 1, 0))


def _render_curves(curves: list[LiveCurve], steps: int | None, plain: bool) -> RenderableType:
    charts = [_render_curve(curve, steps, plain) for curve in curves]
    return Columns(charts, padding=(0, 2), width=_CHART_WIDTH)


def _render_curve(curve: LiveCurve, steps: int | None, plain: bool) -> RenderableType:
    # The ends of the axis are written beside the first and the last line.
    share = min(1.0, curve.points[-1][0] / steps) if steps else 1.0
    points = thin_out(curve.points, max(8, round(_CHART_WIDTH * share)))
    low, high = find_range(points, curve.limit)
    labels = [f"{high:.3g}", "", "", f"{low:.3g}"]
    room = max(map(len, labels))
    lines = draw_curve(
        points, _CHART_WIDTH - room - 1, len(labels), limit=curve.limit, steps=steps, ascii_only=plain
    )  # fmt: skip
    head = Text.assemble(
        (make_harmless(curve.metric, 60), "bold"), f" {curve.points[-1][1]:.3g}", no_wrap=True, overflow="ellipsis"
    )
    body = [
        Text.assemble((f"{label:>{room}} ", "dim"), (line, "cyan")) for label, line in zip(labels, lines, strict=True)
    ]
    return Group(head, *body, Text(""))


def _render_completions(snapshot: Snapshot, most: int, width: int) -> RenderableType:
    lines: list[RenderableType] = [Text("last completions", "bold")]
    for record in snapshot.completions[:most]:
        reward = record.get("reward")
        value = f"{reward:.3f}" if isinstance(reward, int | float) else "not scored"
        cut = ", truncated" if record.get("truncated") else ""
        where = f"{make_harmless(record.get('stage', ''), 12)} step {make_harmless(record.get('step', ''), 12)}"
        lines.append(Text(f"{where}  {make_harmless(record.get('task', ''), 30)}  reward {value}{cut}", "dim"))
        text = Text(make_harmless(record.get("completion") or "", max(20, 2 * width - 20)))
        lines.append(Padding(text, (0, 0, 0, 2)))
    return Group(*lines)


def _make_table(title: str) -> Table:
    return Table(title=Text(title, "bold"), box=SIMPLE_HEAD, title_justify="left", pad_edge=False, show_edge=False)


def _show(value: Any, form: str = ".3f") -> str:
    return format(value, form) if isinstance(value, int | float) else "-"
