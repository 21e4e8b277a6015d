"""Builds SQLite files for rows that bring the tables they ask about as `CREATE TABLE` in their prompt."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grpo.init.proposals import SQL
from rewards.sql.database import quote_name
from rewards.sql.tokens import TOKEN
from rewards.types import Example

FOLDER = "databases"
_LONGEST = 200_000
_MOST_STEPS = 2_000_000
_MOST_BYTES, _LONGEST_VALUE = 32 << 20, 1_000_000
_BEGINS = re.compile(
    r"\b(?:create\s+(?:temp(?:orary)?\s+)?(?:table|view)|insert\s+(?:or\s+\w+\s+)?into)\b", re.IGNORECASE
)
_INT = r"\b(?:tiny|small|medium|big)?int(?:eger)?(?:\s*\(\s*\d+\s*\))?(?:\s+unsigned)?"
# Changed in any case: SQLite counts up INTEGER PRIMARY KEY alone, and leaves other keys of MySQL and PostgreSQL NULL.
_READY = (
    (re.compile(r"\Acreate\s+temp(?:orary)?\s+", re.IGNORECASE), "CREATE "),  # a file keeps no temporary ones
    (re.compile(r"\b(?:small|big)?serial\b", re.IGNORECASE), "INTEGER"),
    (re.compile(rf"{_INT}((?:\s+not\s+null)?(?:\s+primary\s+key)?)\s+auto_increment\b", re.IGNORECASE), r"INTEGER\1"),
)
# What SQLite refuses and no SELECT depends on.
_FOREIGN = (
    (re.compile(r"\benum\s*\([^()]*\)", re.IGNORECASE), "TEXT"),
    (re.compile(r"\bauto_increment\b", re.IGNORECASE), ""),
    (re.compile(r"\)\s*(?:engine|default\s+charset|charset|collate|comment)\b[^;]{0,2500}\Z", re.IGNORECASE), ")"),
    (re.compile(r"\bdefault\s+now\s*\(\s*\)", re.IGNORECASE), "DEFAULT CURRENT_TIMESTAMP"),
    (re.compile(r"\bon\s+update\s+current_timestamp\b(?:\s*\(\s*\))?", re.IGNORECASE), ""),
    (re.compile(r"\b(?:date|timestamp)\s+(?=')", re.IGNORECASE), ""),
)


@dataclass
class MadeDatabases:
    """The rows with a column `database`, the content of each file by name, and by row id why a row has no database."""

    rows: list[Example]
    files: dict[str, bytes] = field(default_factory=dict)
    unfit: dict[str, str] = field(default_factory=dict)


def place_databases(
    rows: Sequence[Example], kinds: Mapping[str, str], data: str, lines: Mapping[str, str], folder: Path
) -> MadeDatabases:
    """The rows, whose relative `database` is looked for beside the file they come from and then named from `folder`.

    Without such a file a row of SQL is unfit; of any other row the column is left out.
    """
    made = MadeDatabases([])
    found: dict[tuple[Path, str], str | None] = {}
    for row in rows:
        named = row.columns.get("database")
        if not isinstance(named, str):
            made.rows.append(row)
            continue
        source = Path(lines[row.id].rpartition(":")[0])
        source = source if source.is_file() else Path(data)
        key = (source.parent if source.is_file() else source, named)
        if key not in found:
            path = Path(named).expanduser()
            there = path if path.is_absolute() else key[0] / path
            placed = named if path.is_absolute() else os.path.relpath(there.resolve(), folder.resolve())
            found[key] = placed if there.is_file() else None
        place = found[key]
        if place is None and kinds.get(row.task) != SQL:
            made.rows.append(replace(row, columns={k: v for k, v in row.columns.items() if k != "database"}))
        elif place is None:
            made.unfit[row.id] = f"database: no such file: {named}; a relative path starts at the folder of the rows"
        else:
            made.rows.append(replace(row, columns={**row.columns, "database": place}))
    return made


def make_databases(rows: Sequence[Example], kinds: Mapping[str, str]) -> MadeDatabases | None:
    """SQLite files for the rows whose answers are SQL; rows with the same schema share a file.

    Rows that name a database keep it. None if all do, or if more than half of the rows neither do nor bring usable tables.
    """
    asked = [row for row in rows if kinds.get(row.task) == SQL]
    if all("database" in row.columns for row in asked):
        return None
    made = MadeDatabases([])
    built: dict[str, bytes | str] = {}
    for row in rows:
        if kinds.get(row.task) != SQL or "database" in row.columns:
            made.rows.append(row)
            continue
        statements = find_schema(row)
        key = hashlib.sha256("\n".join(statements).encode(errors="surrogatepass")).hexdigest()[:12]
        if key not in built:
            built[key] = build_database(statements)
        content = built[key]
        if isinstance(content, str):
            made.unfit[row.id] = content
            continue
        name = f"{FOLDER}/{key}.db"
        made.files[name] = content
        made.rows.append(replace(row, columns={**row.columns, "database": name}))
    return made if 2 * len(made.unfit) <= len(asked) else None


def tell_databases(made: MadeDatabases) -> str:
    """A note for the user: what was made, and what the reward does if the tables came without rows."""
    count = len(made.files)
    said = f"the CREATE TABLE statements of the rows were written to {count} SQLite file{'s' if count != 1 else ''} in {FOLDER}/"
    if all(not _has_rows(content) for content in made.files.values()):
        said += "; their tables have no rows, so sql_qa compares queries on generated rows"
    return said


def _has_rows(content: bytes) -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        ]
        return any(
            connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quote_name(name)})").fetchone()[0] for name in names
        )


def find_schema(row: Example) -> list[str]:
    """The CREATE and INSERT statements in the first text of a row's prompt or columns that creates a table; empty if
    none does.
    """
    texts: list[Any] = [turn["content"] for turn in row.prompt] + list(row.columns.values())
    for text in texts:
        if isinstance(text, str) and len(text) <= _LONGEST:
            found = list(_cut_statements(text))
            if any(statement[:6].lower() == "create" for statement in found):
                return found
    return []


def build_database(statements: Sequence[str]) -> bytes | str:
    """The content of a SQLite file with these tables; if it cannot be built, one line saying why (str, not bytes)."""
    with closing(_open_limited()) as connection:
        for statement in statements:
            for pattern, put in _READY if statement[:6].lower() == "create" else ():
                statement = pattern.sub(put, statement)
            try:
                connection.execute(statement)
            except (sqlite3.Error, ValueError) as error:  # ValueError: half a character, a null
                if not (_build_translated(connection, statement) or _add_columns(connection, statement)):
                    return f"SQLite rejects its tables: {error} (in {' '.join(statement.split())[:80]!r})"
        connection.commit()
        connection.set_progress_handler(None, 0)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'").fetchone():
            return "no CREATE TABLE in its prompt or columns"
        return connection.serialize()


def _open_limited() -> sqlite3.Connection:
    """An in-memory database with bounded work and size, because the SQL comes from elsewhere."""
    connection = sqlite3.connect(":memory:")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {_MOST_BYTES // page}")
    steps = iter(range(_MOST_STEPS // 1000))
    connection.set_progress_handler(lambda: next(steps, None) is None, 1000)
    return connection


def _add_columns(connection: sqlite3.Connection, statement: str) -> bool:
    """Whether a repeated `CREATE TABLE` added columns to its table: some data sets spread one table over several."""
    with closing(_open_limited()) as alone, suppress(sqlite3.Error, ValueError):
        alone.execute(statement)
        (name,) = alone.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        place = quote_name(name)
        there = {row[1].lower() for row in connection.execute(f"PRAGMA table_info({place})").fetchall()}
        for _, column, kind, *_ in alone.execute(f"PRAGMA table_info({place})").fetchall() if there else ():
            if column.lower() not in there:
                connection.execute(f"ALTER TABLE {place} ADD COLUMN {quote_name(column)} {kind}")
        return bool(there)
    return False


def _build_translated(connection: sqlite3.Connection, statement: str) -> bool:
    for pattern, put in _FOREIGN:
        statement = pattern.sub(put, statement)
    with suppress(sqlite3.Error, ValueError):
        connection.execute(statement)
        return True
    return False


def _cut_statements(text: str) -> Iterator[str]:
    """The `CREATE TABLE`, `CREATE VIEW` and `INSERT` statements in a text, each without its semicolon."""
    at = 0
    while found := _BEGINS.search(text, at):
        end = _find_end(text, found.start())
        yield text[found.start() : end].strip()
        at = max(end, found.end())


def _find_end(text: str, start: int) -> int:
    """The end of a statement: its semicolon or, without one, the last closing bracket before other words.

    Data sets often leave out the last semicolon and put the question on the next line.
    """
    depth, closed = 0, -1
    for token in TOKEN.finditer(text, start):
        mark = token[0]
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
            closed = token.end()
        elif depth > 0:
            continue
        elif mark == ";":
            return token.start()
        elif closed >= 0 and mark.isspace() and "\n" in mark and text[token.end() : token.end() + 1] not in ("(", ","):
            return closed
    return closed if closed >= 0 and depth <= 0 and text[start : start + 6].lower() == "create" else len(text)
