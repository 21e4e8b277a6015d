"""What of a row follows from the rest of it: factors of a total, labels that another column tells, gaps that a label tells."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import combinations

from rewards.sql.columns import SAMPLE, ColumnSample, Link, Name
from rewards.sql.database import quote_name

_MOST_NUMBERS = 8
"""Numeric columns of a table between which products are looked for."""

_TOTALS, _FEW_TOTALS = 200, 3
"""Wholes that are looked at for being the totals of their parts, and different totals that they have at least."""

_MOST_COLUMNS = 30
"""Columns of a table whose gaps a label may tell."""


def find_factors(
    connection: sqlite3.Connection, names: Sequence[Name], seen: dict[Name, ColumnSample]
) -> tuple[set[Name], set[Name]]:
    """Whole numbers that another column of their row is a multiple of, as a total of its quantity; and all columns so tied.

    Columns are tied too where one is the sum of two others.
    """
    factors: set[Name] = set()
    tied: set[Name] = set()
    for table in {name.table for name in names}:
        numbers = [name for name in names if name.table == table][:_MOST_NUMBERS]
        for one, other in combinations(numbers, 2):
            for product in numbers:
                if product in (one, other):
                    continue
                a, b, c = (quote_name(name.column) for name in (one, other, product))
                wrong = f"SELECT 1 FROM {quote_name(table)} WHERE ABS({a} * {b} - {c}) > 0.006 LIMIT 1"
                some = f"SELECT 1 FROM {quote_name(table)} WHERE {a} > 1 AND {b} > 1 AND {c} > 1 LIMIT 1"
                if connection.execute(some).fetchone() and not connection.execute(wrong).fetchone():
                    factors.add(one if seen[one].reals <= seen[other].reals else other)
                    tied |= {one, other, product}
                unequal = f"SELECT 1 FROM {quote_name(table)} WHERE ABS({a} + {b} - {c}) > 0.006 LIMIT 1"
                if connection.execute(some).fetchone() and not connection.execute(unequal).fetchone():
                    tied |= {one, other, product}
    return factors, tied


def find_totals(
    connection: sqlite3.Connection, links: Sequence[Link], seen: dict[Name, ColumnSample]
) -> Iterable[tuple[Link, set[Name]]]:
    """Links whose parent says how many children it has, or the sum or mean of their figures; with all figures so tied."""
    for link in links:
        if link.child.table == link.parent.table:
            continue
        mine, theirs = (
            [
                name
                for name, values in seen.items()
                if name.table == side.table and name != side and values.integers + values.reals == values.filled > 0
            ][:_MOST_NUMBERS]
            for side in (link.parent, link.child)
        )
        if mine:
            yield from _match_totals(connection, link, mine, theirs)


def _match_totals(
    connection: sqlite3.Connection, link: Link, mine: Sequence[Name], theirs: Sequence[Name]
) -> Iterable[tuple[Link, set[Name]]]:
    columns = {name: f"c.{quote_name(name.column)}" for name in theirs}
    made: list[tuple[str, set[Name]]] = [("COUNT(*)", set())]
    # The mean of equal figures is a copy of theirs, such as a price, and no total; nor is the sum of a single one.
    several = ("CASE WHEN COUNT(*) > 1 THEN SUM({0}) END", "CASE WHEN MIN({0}) < MAX({0}) THEN AVG({0}) END")
    made += [(form.format(columns[name]), {name}) for name in theirs for form in several]
    made += [(f"SUM({columns[one]} * {columns[other]})", {one, other}) for one, other in combinations(theirs, 2)]
    key, reference = quote_name(link.parent.column), quote_name(link.child.column)
    asked = ", ".join((*(f"p.{quote_name(name.column)}" for name in mine), *(expression for expression, _ in made)))
    rows = connection.execute(
        f"SELECT {asked} FROM {quote_name(link.parent.table)} AS p JOIN {quote_name(link.child.table)} AS c "
        f"ON c.{reference} = p.{key} GROUP BY p.{key} LIMIT {_TOTALS}"
    ).fetchall()
    for at, name in enumerate(mine):
        for place, (_, parts) in enumerate(made, len(mine)):
            told = [row for row in rows if row[place] is not None]
            if len({row[at] for row in told}) >= _FEW_TOTALS and all(
                row[at] is not None and abs(row[at] - row[place]) < 0.006 for row in told
            ):
                yield link, {name, *parts}


def find_dependent(
    connection: sqlite3.Connection, labels: Sequence[Name], seen: dict[Name, ColumnSample], dates: Sequence[Name]
) -> Iterable[Name]:
    """Labels of which another column of few values tells the value, or the other way round."""
    for name in labels:
        if name in dates and any(other.table == name.table and other != name for other in dates):
            yield name
            continue
        for other, values in seen.items():
            if other.table != name.table or other == name or not 2 <= values.distinct <= 0.5 * values.filled:
                continue
            a, b = quote_name(name.column), quote_name(other.column)
            pairs = (
                f"SELECT COUNT(*) FROM (SELECT DISTINCT {a}, {b} FROM (SELECT {a}, {b} FROM {quote_name(name.table)} "
                f"WHERE {a} IS NOT NULL AND {b} IS NOT NULL LIMIT {SAMPLE}))"
            )
            if connection.execute(pairs).fetchone()[0] <= max(seen[name].distinct, values.distinct):
                yield name
                break


def find_gapped(
    connection: sqlite3.Connection, labels: Sequence[Name], seen: dict[Name, ColumnSample]
) -> dict[Name, tuple[Name, ...]]:
    """Labels that tell where other columns of their row have no value, and those columns."""
    found = {}
    for name in labels:
        others = [other for other in seen if other.table == name.table and other != name][:_MOST_COLUMNS]
        told = tuple(other for other in others if _tells_gaps(connection, name, other, seen))
        if told:
            found[name] = told
    return found


def _tells_gaps(connection: sqlite3.Connection, name: Name, other: Name, seen: dict[Name, ColumnSample]) -> bool:
    """Whether a label tells where another column of its row has no value, as a status does of the day of delivery."""
    if seen[other].filled in (0, seen[name].filled):
        return False
    a, b = quote_name(name.column), quote_name(other.column)
    pairs = (
        f"SELECT COUNT(*) FROM (SELECT DISTINCT {a}, {b} IS NULL FROM (SELECT {a}, {b} FROM {quote_name(name.table)} "
        f"WHERE {a} IS NOT NULL LIMIT {SAMPLE}))"
    )
    return bool(connection.execute(pairs).fetchone()[0] == seen[name].distinct)
