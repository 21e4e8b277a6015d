"""The curves of the report: SVG that stretches to any width in the page's own colours, with labels that stay readable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite, log10
from typing import Any

from grpo.report.run_files import is_number

# More points than this cannot be told apart in a drawing; longer lines are averaged down to it.
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation in a curve; the interval and n may be unknown."""

    step: int
    mean: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What one chart shows: `marks` are horizontal lines with their names, `best_step` the best checkpoint's place.

    `band` is where the values are expected, from low to high (None where it has no such end), and its name.
    `before` is a mean from before any training; `values` are (step, value) pairs of a metric of training; `events` the
    steps at which a watch rule was broken.
    """

    name: str
    points: Sequence[Point] = ()
    marks: Sequence[tuple[str, float]] = ()
    best_step: int | None = None
    before: float | None = None
    values: Sequence[tuple[int, float]] = field(default_factory=tuple)
    events: Sequence[int] = ()
    band: tuple[float | None, float | None, str] | None = None

    @property
    def last(self) -> float | None:
        """The value at the right end; the smoothed one of a metric of training."""
        if self.points:
            return self.points[-1].mean
        return smooth([value for _, value in self.values])[-1] if self.values else None


class ChartFrame:
    """Maps steps and values to the 100 by 100 units of a drawing, y downwards."""

    def __init__(self, steps: Sequence[float], values: Sequence[float], scale: tuple[float, float] | None = None):
        self.first, self.last = min(steps, default=0), max(steps, default=1)
        if self.last == self.first:
            self.last = self.first + 1
        low, high = min(values, default=0.0), max(values, default=1.0)
        space = 0.1 * (high - low) or max(0.02, abs(high) * 0.2)
        # A curve of rewards or shares is not shown below nothing.
        low, high = (max(0.0, low - space) if low >= 0 else low - space), high + space
        if scale is not None:
            low, high = scale
        self.ticks = find_ticks(low, high)
        self.low, self.high = low, high

    def x(self, step: float) -> float:
        return round(1.5 + 97 * (step - self.first) / (self.last - self.first), 2)

    def y(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        return round(100 * (1 - (value - self.low) / (self.high - self.low)), 2)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart before it is markup: `shapes` in units of 100 by 100, labels with their places in per cent.

    `names` are (side, below, place, text) of the horizontal lines; every text is still to be escaped.
    """

    shapes: str
    names: list[tuple[str, bool, float, str]]
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    said: str


def lay_out_chart(curve: Curve, scale: tuple[float, float] | None = None) -> Drawing:
    """The chart of a curve; `scale` are the least and the largest value where several charts share one."""
    values = [
        *(value for point in curve.points for value in (point.mean, point.low, point.high) if value is not None),
        *(value for _, value in curve.values),
        *(value for _, value in curve.marks),
        *(end for end in (curve.band or ())[:2] if isinstance(end, float)),
    ]
    steps = [*(point.step for point in curve.points), *(step for step, _ in curve.values)]
    frame = ChartFrame(steps, values, scale)
    shapes = [f'<path class="grid" d="M0 {frame.y(tick)}H100"/>' for tick in frame.ticks]
    shapes += [f'<path class="event" d="M{frame.x(step)} 0V100"/>' for step in sorted(set(curve.events))]
    shapes += _draw_values(curve, frame)
    names = [_place_mark(curve, frame, name, value) for name, value in curve.marks]
    if curve.band is not None:
        low, high, name = curve.band
        top, bottom = frame.y(frame.high if high is None else high), frame.y(frame.low if low is None else low)
        shapes.insert(0, f'<path class="expected" d="M0 {top}H100V{bottom}H0Z"/>')
        names.append(("left", True, top, name))
    shapes += [f'<path class="mark" d="M0 {frame.y(value)}H100"/>' for _, value in curve.marks]
    shapes += _draw_points(curve, frame)
    return Drawing(
        "".join(shapes),
        names,
        [(frame.y(tick), _say(tick, frame.ticks)) for tick in frame.ticks],
        [(frame.x(tick), f"{tick:g}") for tick in find_ticks(frame.first, frame.last, whole=True)],
        _describe(curve),
    )


def share_scale(curves: Sequence[Curve]) -> tuple[float, float] | None:
    """One scale for the curves of the tasks, so that their heights can be compared; None where there is nothing."""
    values = [
        value
        for curve in curves
        for point in curve.points
        for value in (point.mean, point.low, point.high)
        if value is not None
    ] + [value for curve in curves for _, value in curve.marks]
    if not values:
        return None
    low, high = min(values), max(values)
    space = 0.08 * (high - low) or 0.05
    return max(0.0, low - space) if low >= 0 else low - space, high + space


def draw(curve: Curve, scale: tuple[float, float] | None = None, write: Callable[[str], str] = str) -> str:
    """The chart of a curve as HTML; every text of it is escaped. `write` makes a number one of the reader's language."""
    drawing = lay_out_chart(curve, scale)
    labels = "".join(
        f'<span class="name {side}{" below" if below else ""}" style="top:{place}%">{escape(name)}</span>'
        for side, below, place, name in drawing.names
    )
    y_ticks = "".join(f'<span style="top:{place}%">{write(said)}</span>' for place, said in drawing.y_ticks)
    x_ticks = "".join(f'<span style="left:{place}%">{said}</span>' for place, said in drawing.x_ticks)
    return (
        f'<div class="plot" role="img" aria-label="{escape(drawing.said)}"><div class="y">{y_ticks}</div>'
        f'<div class="area"><svg viewBox="0 0 100 100" preserveAspectRatio="none">{drawing.shapes}</svg>{labels}</div>'
        f'<div class="x">{x_ticks}</div></div>'
    )


def draw_sparkline(values: Sequence[tuple[int, float]]) -> str:
    """A small smoothed line of a metric on a scale of its own, without axes; nothing for fewer than two values."""
    if len(values) < 2:
        return ""
    even = thin(list(zip((step for step, _ in values), smooth([value for _, value in values]), strict=True)), 120)
    frame = ChartFrame([step for step, _ in even], [value for _, value in even])
    name = f"on training rows from {even[0][1]:.3f} to {even[-1][1]:.3f}"
    return (
        f'<svg class="spark" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{name}">'
        f'<path class="grid" d="M0 100H100"/><path class="line" d="{_path(even, frame)}"/><title>{name}</title></svg>'
    )


def find_ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Three to six round numbers within low..high."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return []
    raw = (high - low) / 4
    power = 10.0 ** floor(log10(raw))
    size = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    if whole:
        size = max(1, round(size))
    first = ceil(low / size - 1e-9)
    return [round(number * size, 10) for number in range(first, floor(high / size + 1e-9) + 1)]


def smooth(values: Sequence[float]) -> list[float]:
    """A running mean over about a twentieth of the run, so that the eye finds the trend."""
    width = max(1, len(values) // 20)
    sums, total = [], 0.0
    for index, value in enumerate(values):
        total += value
        if index >= width:
            total -= values[index - width]
        sums.append(total / min(index + 1, width))
    return sums


def thin(pairs: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` pairs, each the mean of neighbours, the last one kept."""
    if len(pairs) <= most:
        return list(pairs)
    cuts = [len(pairs) * part // (most - 1) for part in range(most)]
    groups = [pairs[start:end] for start, end in pairwise(cuts)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means, pairs[-1]]


def _draw_values(curve: Curve, frame: ChartFrame) -> list[str]:
    if not curve.values:
        return []
    raw = thin(curve.values)
    even = thin(
        list(zip((step for step, _ in curve.values), smooth([value for _, value in curve.values]), strict=True))
    )
    return [f'<path class="raw" d="{_path(raw, frame)}"/>', f'<path class="line" d="{_path(even, frame)}"/>']


def _draw_points(curve: Curve, frame: ChartFrame) -> list[str]:
    points = curve.points
    shapes = []
    ranges = [(p.step, p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if points and len(ranges) == len(points):
        there = [f"{frame.x(step)} {frame.y(high)}" for step, _, high in ranges]
        back = [f"{frame.x(step)} {frame.y(low)}" for step, low, _ in reversed(ranges)]
        shapes.append(f'<path class="band" d="M{"L".join(there + back)}Z"/>')
        shapes += [
            f'<path class="range" d="M{frame.x(step)} {frame.y(low)}V{frame.y(high)}"/>' for step, low, high in ranges
        ]
    if len(points) > 1:
        shapes.append(f'<path class="line" d="{_path([(p.step, p.mean) for p in points], frame)}"/>')
    # What was reached before any training is in the table; here it would flatten the curve that is looked at.
    if curve.before is not None and frame.low <= curve.before <= frame.high:
        shapes.append(_dot("hollow", frame.first, curve.before, frame, f"before any training: {curve.before:.3f}"))
    for point in points:
        if point.step == curve.best_step:
            shapes.append(_dot("best", point.step, point.mean, frame))
        interval = "" if point.low is None or point.high is None else f" ({point.low:.3f} to {point.high:.3f})"
        counted = "" if point.n is None else f", n {point.n}"
        best = ", best checkpoint" if point.step == curve.best_step else ""
        shapes.append(
            _dot("dot", point.step, point.mean, frame, f"step {point.step}: {point.mean:.3f}{interval}{counted}{best}")
        )
    return shapes


def _dot(kind: str, step: float, value: float, frame: ChartFrame, title: str = "") -> str:
    # A stroke of no length with round ends stays a circle however the drawing is stretched.
    place = f"M{frame.x(step)} {frame.y(value)}h.01"
    inner = f'<path class="core" d="{place}"/>' if kind == "hollow" else ""
    hit = f'<path class="hit" d="{place}"><title>{escape(title)}</title></path>' if title else ""
    return f'<path class="{kind}" d="{place}"/>{inner}{hit}'


def _path(pairs: Sequence[tuple[float, float]], frame: ChartFrame) -> str:
    return "M" + "L".join(f"{frame.x(step)} {frame.y(value)}" for step, value in pairs)


def _place_mark(curve: Curve, frame: ChartFrame, name: str, value: float) -> tuple[str, bool, float, str]:
    """The name of a line, at the end where the curve is farther away, and on the side of it where there is room."""
    ends = [p.mean for p in (*curve.points[:1], *curve.points[-1:])]
    ends = ends or [curve.values[0][1], curve.values[-1][1]] if curve.values else ends
    side = "left" if len(ends) == 2 and abs(ends[0] - value) > abs(ends[1] - value) else "right"
    place = frame.y(value)
    return side, place < 14, place, name


def _say(tick: float, ticks: Sequence[float]) -> str:
    size = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -floor(log10(size) + 1e-9)) if size < 1 else 0
    if size < 1 and round(size, digits) != round(size, 10):
        digits += 1
    if 0 < size < 0.001:
        return f"{tick:.3g}"
    if abs(tick) >= 10_000:
        return f"{tick / 1000:g}k"
    return f"{tick:.{min(digits, 4)}f}"


def _describe(curve: Curve) -> str:
    if curve.points:
        first, last = curve.points[0], curve.points[-1]
        said = f"{first.mean:.3f} at step {first.step}, {last.mean:.3f} at step {last.step}"
    elif curve.values:
        said = f"{curve.values[0][1]:.3g} at step {curve.values[0][0]}, {curve.last:.3g} at step {curve.values[-1][0]}"
    else:
        said = "no values"
    marks = "".join(f"; {name}" for name, _ in curve.marks)
    return f"{curve.name}: {said}{marks}"


def draw_spread(marks: Sequence[tuple[str, str, Point]], most: float, threshold: float | None = None) -> str:
    """Means with their intervals on one line from 0 to `most`; a mark is its kind (a CSS class), what it is, and the point."""
    scale = 100.0 / (most or 1.0)

    def x(value: float) -> float:
        return round(min(max(value * scale, 0.0), 100.0), 2)

    shapes = ['<path class="grid" d="M0 50H100"/>']
    if threshold is not None:
        shapes.append(f'<path class="mark" d="M{x(threshold)} 0V100"/>')
    height = 100 / (len(marks) + 1)
    for number, (kind, what, point) in enumerate(marks, 1):
        y = round(number * height, 1)
        interval = ""
        if point.low is not None and point.high is not None:
            shapes.append(f'<path class="reach {kind}" d="M{x(point.low)} {y}H{x(point.high)}"/>')
            interval = f" ({point.low:.3f} to {point.high:.3f})"
        title = f"{what}: {point.mean:.3f}{interval}"
        place = f"M{x(point.mean)} {y}h.01"
        core = f'<path class="core" d="{place}"/>' if kind == "before" else ""
        shapes.append(
            f'<path class="dot {kind}" d="{place}"/>{core}'
            f'<path class="hit" d="{place}"><title>{escape(title)}</title></path>'
        )
    said = "; ".join(f"{what} {point.mean:.3f}" for _, what, point in marks)
    return (
        f'<svg class="spread" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{escape(said)}">'
        f"{''.join(shapes)}</svg>"
    )


def place_on_bar(node: Mapping[str, Any]) -> dict[str, float] | None:
    """Where value, threshold and interval of a question lie on a bar of 100 units; None where there is nothing to draw."""
    value, threshold = node.get("value"), node.get("threshold")
    if not is_number(value) or not is_number(threshold):
        return None
    low = node["low"] if is_number(node.get("low")) else value
    high = node["high"] if is_number(node.get("high")) else value
    least, most = min(low, threshold, value), max(high, threshold, value)
    space = 0.2 * (most - least) or 0.1
    scale = 100.0 / (most - least + 2 * space)
    spots = {"low": low, "high": high, "value": value, "threshold": threshold}
    return {name: round((spot - least + space) * scale, 2) for name, spot in spots.items()}
