"""The console of every command: tables on narrow terminals."""

from __future__ import annotations

import io

from rich.table import Table

from rewards.screen.terminal import make_console


def print_on(width: int, rows: list[list[str]], heads: list[str]) -> list[str]:
    """The lines a terminal of this width is sent."""
    table = Table(box=None)
    for head in heads:
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(*row)
    stream = io.StringIO()
    make_console(stream, width=width).print(table)
    return stream.getvalue().splitlines()


def test_table_when_its_numbers_do_not_fit_then_none_is_cut():
    """Nine columns of numbers on 40 columns: the line is longer, and every number is whole."""
    row = [f"0.{number}234" for number in range(9)]
    head, line = print_on(40, [row], [f"column{number}" for number in range(9)])
    assert line.split() == row and head.split() == [f"column{number}" for number in range(9)]


def test_table_when_its_prose_can_wrap_then_it_stays_within_the_terminal():
    """Text of many words is wrapped as before, not printed as one long line."""
    lines = print_on(40, [["0.5", "a reason of many words " * 8]], ["value", "why"])
    assert len(lines) > 4 and max(map(len, lines)) <= 40
