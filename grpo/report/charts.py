"""The curves of the report as SVG that lives inside the page and takes its colours from the page's scheme."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

# matplotlib draws in these; the page's variables take their place, so that one drawing serves light and dark.
_INK, _MUTED, _GRID, _SERIES, _MARK, _BEST, _TRAINED = (f"#0{n}0{n}0{n}" for n in range(1, 8))
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _SERIES: "var(--series)",
    _MARK: "var(--mark)",
    _BEST: "var(--good)",
    _TRAINED: "var(--faint)",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation in a curve; the interval may be unknown."""

    step: int
    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What one chart shows: `marks` are horizontal lines with their names, `best_step` the best checkpoint's place."""

    name: str
    points: Sequence[Point]
    marks: Sequence[tuple[str, float]] = ()
    best_step: int | None = None
    before: float | None = None
    fixed_range: tuple[float, float] | None = None
    line_only: Sequence[tuple[int, float]] = field(default_factory=tuple)


def draw_curves(curves: Sequence[Curve], *, wide_first: bool = True) -> list[str]:
    """One SVG per curve, in order; the first one wider when `wide_first`. Axis 0..1 unless a curve says otherwise."""
    # The object interface draws without pyplot's global state and without a display.
    from matplotlib import rc_context

    settings = {
        "svg.fonttype": "none",  # text stays text: searchable, and in the page's own font
        "text.parse_math": False,  # names are users' and may hold a dollar sign
        "font.family": "sans-serif",
        "font.size": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    drawings = []
    for number, curve in enumerate(curves):
        with rc_context({**settings, "svg.hashsalt": f"{number}-{curve.name}"}):
            size = (4.7, 3.3) if wide_first and number == 0 else (2.8, 1.8)
            drawings.append(_draw(curve, size, f"chart{number}"))
    return drawings


def draw_lines(curves: Sequence[Curve]) -> list[str]:
    """Small charts of training metrics, one a curve, from `line_only`."""
    from matplotlib import rc_context

    drawings = []
    for number, curve in enumerate(curves):
        with rc_context(
            {
                "svg.fonttype": "none",
                "text.parse_math": False,
                "font.size": 8.0,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "svg.hashsalt": f"line-{number}",
            }
        ):
            drawings.append(_draw(curve, (3.0, 1.5), f"line{number}"))
    return drawings


def _draw(curve: Curve, size: tuple[float, float], prefix: str) -> str:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    steps = [point.step for point in curve.points]
    if curve.line_only:
        xs, ys = zip(*curve.line_only, strict=True)
        axes.plot(xs, ys, color=_TRAINED, linewidth=0.8)
        smooth = _smooth(ys)
        axes.plot(xs, smooth, color=_SERIES, linewidth=1.5)
        steps += list(xs)
    _draw_points(axes, curve)
    last = max(steps, default=1)
    first = min(steps, default=0)
    span = max(1, last - first)
    for name, value in curve.marks:
        axes.axhline(value, color=_MARK, linewidth=0.9, linestyle=(0, (4, 3)))
        # The name stands at the end where the curve is farther away.
        at_left = bool(curve.points) and abs(curve.points[0].mean - value) > abs(curve.points[-1].mean - value)
        place, side = (first, "left") if at_left else (last + 0.02 * span, "right")
        axes.annotate(name, (place, value), color=_MARK, va="bottom", ha=side, fontsize=7.5, annotation_clip=False)
    axes.set_xlim(first - 0.03 * span, last + 0.04 * span)
    _set_range(axes, curve)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, length=0, pad=4)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.set_xlabel("GRPO step", color=_MUTED, fontsize=7.5, loc="right")
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_color(_MUTED)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embed(buffer.getvalue(), prefix, curve.name)


def _draw_points(axes, curve: Curve) -> None:
    points = curve.points
    if not points:
        return
    xs, means = [point.step for point in points], [point.mean for point in points]
    if all(point.low is not None and point.high is not None for point in points):
        lows, highs = [point.low for point in points], [point.high for point in points]
        axes.fill_between(xs, lows, highs, color=_SERIES, alpha=0.16, linewidth=0)
        axes.vlines(xs, lows, highs, color=_SERIES, alpha=0.45, linewidth=0.8)
    if len(points) > 1:
        axes.plot(xs, means, color=_SERIES, linewidth=1.8, solid_capstyle="round")
    axes.plot(xs, means, color=_SERIES, marker="o", markersize=3.2, linestyle="none")
    if curve.before is not None:
        axes.plot(
            [xs[0]], [curve.before], marker="o", markersize=4, color=_MUTED, markerfacecolor="none", clip_on=False
        )
    best = next((point for point in points if point.step == curve.best_step), None)
    if best is not None:
        axes.axvline(best.step, color=_BEST, linewidth=0.8, alpha=0.6)
        axes.plot(
            [best.step],
            [best.mean],
            marker="o",
            markersize=7.5,
            color=_BEST,
            markerfacecolor="none",
            markeredgewidth=1.6,
        )


def _set_range(axes, curve: Curve) -> None:
    if curve.fixed_range is not None:
        axes.set_ylim(*curve.fixed_range)
        return
    values = [value for _, value in curve.marks] + [value for _, value in curve.line_only]
    for point in curve.points:
        values += [value for value in (point.mean, point.low, point.high) if value is not None]
    if curve.before is not None:
        values.append(curve.before)
    low, high = min(values, default=0.0), max(values, default=1.0)
    space = max(0.02, 0.12 * (high - low)) if high > low else max(0.02, abs(high) * 0.1)
    axes.set_ylim(low - space if low - space > 0 or low < 0 else -0.02 * max(high, 0.1), high + space)


def _smooth(values: Sequence[float]) -> list[float]:
    """A running mean over about a twentieth of the run, so that the eye finds the trend."""
    width = max(1, len(values) // 20)
    sums, total = [], 0.0
    for index, value in enumerate(values):
        total += value
        if index >= width:
            total -= values[index - width]
        sums.append(total / min(index + 1, width))
    return sums


def _embed(svg: str, prefix: str, name: str) -> str:
    """The drawing as an element of the page: no XML head, ids of its own, colours by variable, size by the page."""
    svg = svg[svg.index("<svg") :]
    # The marker and clip ids of several drawings would meet in one page.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for drawn, variable in _VARIABLES.items():
        svg = svg.replace(drawn, variable)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[^"]*pt"', "", svg, count=2)
    label = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
