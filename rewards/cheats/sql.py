"""Cheats for answers that are SQL: constants, other tables, everything at once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from rewards.types import Example

_SELECT = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
_TABLE = re.compile(r"\bfrom\s+([A-Za-z_]\w*)", re.IGNORECASE)
_QUOTED = re.compile(r"'([^']*)'")
_AGGREGATE = re.compile(r"\b(COUNT|AVG|SUM|MAX|MIN)\b", re.IGNORECASE)
_CONDITIONS = re.compile(r"\bwhere\b(.*?)(?=\bgroup\b|\border\b|\blimit\b|;|\Z)", re.IGNORECASE | re.DOTALL)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.'-])[0-9]+(?![\w.'-])")


def is_sql(text: str) -> bool:
    return bool(_SELECT.match(text)) and _TABLE.search(text) is not None


def halve_sql(reference: str) -> list[str]:
    """The statement without half of its conditions, or with another column counted or another value asked for."""
    halves = []
    found = _CONDITIONS.search(reference)
    if found:
        conditions = _AND.split(found[1].strip())
        kept = conditions[: len(conditions) // 2]
        where = f"WHERE {' AND '.join(kept)} " if kept else ""
        halves.append(reference[: found.start()] + where + reference[found.end() :])
    halves.append(corrupt_sql(reference))
    return [half for half in halves if half != reference] or [
        f"SELECT * {reference[reference.lower().index('from') :]}"
    ]


def corrupt_sql(reference: str) -> str:
    """Like the reference, with other values in its conditions and, where it has none, another aggregate."""
    if _QUOTED.search(reference):
        return _QUOTED.sub("'XX'", reference)
    if _NUMBER.search(reference):
        return _NUMBER.sub(lambda match: str(2 * int(match[0]) + 3), reference)
    return _AGGREGATE.sub(lambda match: "MIN" if match[0].upper() != "MIN" else "MAX", reference)


def cheat_with_sql(example: Example, others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a name and a text; the constants are the true answer, as one who has seen it would state it."""
    reference = example.reference or ""
    table = _TABLE.search(reference)[1]  # type: ignore[index]
    answer, columns = _ask(example, reference, table)
    yield "another row's answer", others[0] if others else f"SELECT * FROM {table}"
    yield "the bare answer", str(answer).strip("'")
    yield "constant", f"SELECT {answer}"
    yield "constant, with a table", f"SELECT {answer} FROM {table} LIMIT 1"
    yield "constant, aggregated", f"SELECT MAX({answer}) FROM {table}"
    yield "constant, named as the table", f"WITH {table} AS (SELECT {answer} AS n) SELECT n FROM {table}"
    yield "constant, inside an expression", f"SELECT COUNT(*) * 0 + {answer} FROM {table}"
    yield "constant, coalesced", f"SELECT COALESCE({answer}, MAX({columns[0]})) FROM {table}"
    yield "constant, in a case", f"SELECT CASE WHEN COUNT(*) > 0 THEN {answer} END FROM {table}"
    yield "constant, in a case that always holds", f"SELECT CASE WHEN COUNT(*) >= 0 THEN {answer} END FROM {table}"
    yield "constant, counted", f"SELECT COUNT(1) - COUNT(*) + {answer} FROM {table}"
    yield "constant, if it is not another", f"SELECT IFNULL(NULLIF({answer}, COUNT(*) + 987654), 0) FROM {table}"
    yield "constant, unioned with itself", f"SELECT n FROM (SELECT {answer} AS n UNION SELECT {answer} FROM {table})"
    yield "constant, by the number of rows kept", f"SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT {answer})"
    yield "constant, as a bound on the rows' numbers", f"SELECT COUNT(*) FROM {table} WHERE rowid <= {answer}"
    yield (
        "constant, as a choice among the rows",
        f"SELECT {columns[0]} FROM {table} WHERE {columns[0]} = {answer} LIMIT 1",
    )
    yield "right by the clock", f"SELECT CASE WHEN strftime('%s', 'now') > '0' THEN {answer} END FROM {table} LIMIT 1"
    yield "two answers, one in a fence", f"{reference.rstrip('; ')};\n```sql\nSELECT COUNT(*) FROM {table}\n```"
    yield "constant, if anything is there", f"SELECT {answer} WHERE EXISTS (SELECT * FROM {table})"
    yield "constant, in VALUES", f"VALUES ({answer})"
    yield "constant, by a subquery", f"SELECT n FROM (SELECT {answer} AS n), {table} LIMIT 1"
    yield "without the tables", "SELECT COUNT(*) FROM sqlite_master"
    yield "the whole table", f"SELECT * FROM {table}"
    yield "the number of rows", f"SELECT COUNT(*) FROM {table}"
    yield "every column at once", f"SELECT {', '.join(columns)} FROM {table}"
    totals = ", ".join(f"COUNT({name}), AVG({name}), SUM({name}), MIN({name}), MAX({name})" for name in columns[:6])
    yield "every aggregate at once", f"SELECT {totals} FROM {table}"
    terms = " ".join(map(str, example.columns.get("terms", ())))
    yield "keyword stuffing", f"{terms} " * 5
    yield "keyword stuffing, in a comment", f"SELECT COUNT(*) FROM {table} -- {terms} {terms}"
    yield (
        "keyword stuffing, in columns",
        f"SELECT {', '.join(f'{chr(39)}{word}{chr(39)}' for word in terms.split())} FROM {table}",
    )
    clauses = reference[reference.lower().index("from") :]
    yield "right clauses of a constant", f"SELECT {answer} {clauses}"
    yield "comment with the right answer", f"SELECT 1 FROM {table} -- {reference}"
    yield "right answer unioned with all", f"{reference.rstrip('; ')} UNION ALL SELECT COUNT(*) FROM {table}"
    yield "length padding", f"SELECT COUNT(*) FROM {table} WHERE 1 = 1" + " AND 1 = 1" * 300


def _ask(example: Example, reference: str, table: str) -> tuple[str, list[str]]:
    """The answer's first value as an SQL literal, and the names of the table's columns."""
    database: Any = example.columns.get("database")
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            row = connection.execute(reference).fetchone()
            columns = [name for _, name, *_ in connection.execute(f'PRAGMA table_info("{table}")')]
        finally:
            connection.close()
    except sqlite3.Error:
        row, columns = None, []
    value = row[0] if row else 42
    literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(42 if value is None else value)
    return literal, columns or ["rowid"]
