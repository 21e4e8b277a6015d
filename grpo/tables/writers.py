"""A table as Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io

from grpo.tables.tables import PaperTable, TableCell
from rewards.screen.harmless_text import make_harmless

_LATEX = str.maketrans({char: f"\\{char}" for char in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"})  # fmt: skip
_MARKS = {"better": " +", "worse": " -"}


def to_markdown(table: PaperTable) -> str:
    """A heading, the table, and each cell as `mean (low to high, n)`."""
    lines = [
        f"## {escape_markdown(table.title)}",
        "",
        f"| {' | '.join(map(escape_markdown, (*table.heads, *table.columns)))} |",
    ]
    lines.append("|" + "---|" * (len(table.heads) + len(table.columns)))
    for labels, figures in table.rows:
        lines.append(f"| {' | '.join((*map(escape_markdown, labels), *map(say, figures)))} |")
    return "\n".join(lines) + "\n"


def to_csv(table: PaperTable) -> str:
    """A line a cell: labels, column, value, low, high, n."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.heads, "metric", "value", "low", "high", "n"])
    for labels, figures in table.rows:
        for column, figure in zip(table.columns, figures, strict=True):
            if figure is not None:
                writer.writerow([*labels, column, figure.value, figure.low, figure.high, figure.n])
    return text.getvalue()


def to_latex(table: PaperTable) -> str:
    """A table of the package booktabs."""
    heads = " & ".join(_escape(name) for name in (*table.heads, *table.columns))
    lines = [
        "\\begin{table}",
        f"\\caption{{{_escape(table.title)}. Mean, 95\\,\\% interval, n.}}",
        f"\\begin{{tabular}}{{{'l' * len(table.heads)}{'r' * len(table.columns)}}}",
        "\\toprule",
        f"{heads} \\\\",
        "\\midrule",
        *(
            f"{' & '.join((*map(_escape, labels), *(_escape(say(figure)) for figure in figures)))} \\\\"
            for labels, figures in table.rows
        ),
        "\\bottomrule",
        "\\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def say(figure: TableCell | None) -> str:
    """`0.796 (0.771 to 0.819, n 1455)`; a change has its sign, and + or - behind it where it is beyond the noise."""
    if figure is None:
        return ""
    value = f"{figure.value:+.4f}" if figure.signed else f"{figure.value:.4f}"
    counted = "" if figure.n is None else f"n {figure.n}"
    if figure.low is None or figure.high is None:
        return f"{value} ({counted})" if counted else value
    sign = "+" if figure.signed else ""
    ends = f"{figure.low:{sign}.3f} to {figure.high:{sign}.3f}"
    return f"{value} ({ends}{f', {counted}' if counted else ''}){_MARKS.get(figure.verdict, '')}"


def escape_markdown(text: str, longest: int = 120) -> str:
    """A foreign text as a line of Markdown shows it: cut, without control characters or markup."""
    cleaned = make_harmless(text, longest)
    return "".join(f"\\{char}" if char in "\\`*[]<>|#" else char for char in cleaned)


def _escape(text: str) -> str:
    return make_harmless(text, 120).translate(_LATEX)
