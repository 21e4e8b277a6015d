"""A comparison as one reads it in a terminal: alarms and the answer first, then verdicts, tables and notes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpo.compare.differences import BETTER, NOISE, WORSE, Difference
from grpo.compare.promotion import RunComparison, describe_noise, name_group
from grpo.compare.recorded import ALL, kind_of
from rewards.statistics.estimates import say_further

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_STYLES = {BETTER: "green", WORSE: "red", NOISE: "dim"}
_METHODS = {
    "holm": "Holm's correction: at most {alpha:.0%} chance of any false alarm in all",
    "bh": "Benjamini and Hochberg's correction: at most {alpha:.0%} of the alarms false",
    "none": "no correction for their number: {alpha:.0%} of them are alarms by chance",
}


_MOST_TABLES = 3
_NO_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), *range(127, 160))}


def show(comparison: RunComparison, console: Console, *, details: bool = False) -> None:
    """Print all of it; the differences of more than three runs only with `details`."""

    for alarm in comparison.alarms:
        console.print(_text(f"ALARM  {alarm.text}", style="bold red"))
    if comparison.verdicts:
        console.print(_text(f"Did training hurt? ({comparison.metric}, against {comparison.baseline})", style="bold"))
        for verdict in comparison.verdicts:
            console.print(_text(f"  {verdict.run}: {comparison.answer(verdict.run)}"))
        if comparison.alarms:
            console.print(_text("  do not trust any of this until the alarm is explained", style="bold red"))
        console.print()
    for verdict in comparison.verdicts:
        said = "promoted" if verdict.promoted else "not promoted"
        console.print(_text(f"{verdict.run}: {said}", style="bold green" if verdict.promoted else "bold"))
        for reason in verdict.reasons:
            console.print(_text(f"  {reason}"))
        further = say_further((verdict.further_examples, verdict.further_examples_80))
        if further:
            console.print(_text(f"  to decide the gain, evaluate both on {further}"))
        few = [
            describe_noise(item)
            for item in comparison.noise(verdict.run)
            if not (item.group == ALL and item.metric == comparison.metric)
            and item.in_examples() and (item.change.n or 0) < comparison.rules.few_examples
        ]  # fmt: skip
        for line in dict.fromkeys(few):  # a task that is a layer too is one line
            console.print(_text(f"  {line}", style="dim"))
    shown = comparison.verdicts if details or len(comparison.verdicts) <= _MOST_TABLES else ()
    for verdict in shown:
        _show_differences(comparison, verdict.run, console)
    _show_leaderboard(comparison, console)
    _show_notes(comparison, console)
    if len(shown) < len(comparison.verdicts):
        console.print(_text("note: --details shows every difference", style="dim"))


def _show_differences(comparison: RunComparison, run: str, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=_text(f"{run} against {comparison.baseline}"), title_justify="left", box=SIMPLE_HEAD)
    heads = (
        "metric",
        "group",
        "n",
        "before",
        "after",
        "change",
        f"{comparison.rules.confidence:.0%} interval",
        "p",
        "",
    )
    for head in heads:
        table.add_column(head, justify="left" if head in ("metric", "group", "") else "right")
    previous = None
    for item in comparison.differences:
        if item.run != run:
            continue
        if previous not in (None, item.metric):
            table.add_section()
        cells = [item.metric if item.metric != previous else "", _name(item), *_numbers(item), _say_verdict(item)]
        table.add_row(*(_text(cell) for cell in cells[:-1]), _text(cells[-1], style=_STYLES.get(item.verdict, "")))
        previous = item.metric
    console.print(table)


def _show_leaderboard(comparison: RunComparison, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    board = comparison.leaderboard
    table = Table(title=_text(f"Leaderboard by {board.metric}"), title_justify="left", box=SIMPLE_HEAD)
    for head in ("place", "run", "mean", f"{comparison.rules.confidence:.0%} interval", "n", "place may be"):
        table.add_column(head, justify="left" if head == "run" else "right")
    for place in board.places:
        interval = "" if place.low is None or place.high is None else f"{place.low:.4f} to {place.high:.4f}"
        open_to = str(place.best) if place.best == place.worst else f"{place.best} to {place.worst}"
        n = "" if place.cell.n is None else str(place.cell.n)
        table.add_row(
            str(place.place), _text(place.run), f"{place.cell.value:.4f}", interval, n, open_to if board.tests else "?"
        )
    console.print(table)
    console.print(_text(f"{board.statement} (pairs compared: {board.tests})"))


def _show_notes(comparison: RunComparison, console: Console) -> None:

    rules = comparison.rules
    lines = list(comparison.notes)
    lines += [constant.text for constant in comparison.constants if not constant.alarm]
    if comparison.tests > 1:  # of one difference there is nothing to correct
        said = _METHODS[rules.adjust].format(alpha=rules.alpha)
        lines.insert(0, f"{comparison.tests} differences tested together, {said}; intervals are those of one alone")
    for line in lines:
        console.print(_text(f"note: {line}", style="dim"))


def _text(words: str, style: str = "") -> Text:
    """Words for the terminal: names come from files, and no control code of theirs gets through."""
    from rich.text import Text

    return Text(words.translate(_NO_CONTROLS), style=style)


def _name(item: Difference) -> str:
    kind = kind_of(item.group)
    return name_group(item.group) if kind in (ALL, "task") else f"{kind} {name_group(item.group)}"


def _numbers(item: Difference) -> list[str]:
    change = item.change
    n = change.n if change.n is not None else item.after.n
    interval = "" if change.low is None or change.high is None else f"{change.low:+.4f} to {change.high:+.4f}"
    p = "" if item.p_adjusted is None else f"{item.p_adjusted:.2g}"
    return [
        "" if n is None else str(n),
        f"{item.before.value:.4f}",
        f"{item.after.value:.4f}",
        f"{change.mean:+.4f}",
        interval,
        p,
    ]


def _say_verdict(item: Difference) -> str:
    examples = item.in_examples()
    few = item.change.n is not None and item.change.n < 100
    return f"{item.verdict}{f' ({examples})' if examples and item.verdict == NOISE and few else ''}"
