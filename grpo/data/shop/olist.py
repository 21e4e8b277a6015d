"""The shop's tables from the nine public Olist CSV files."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from grpo.data.shop.database import TABLES
from rewards.errors import UserError

FILES = {table: (table if table.startswith("product_category") else f"{table}_dataset") + ".csv" for table in TABLES}
"""The file that holds each table, as Olist names it."""


def fill_from_olist(connection: sqlite3.Connection, folder: Path) -> None:
    """Fill the nine tables from the CSV files; raises `UserError` with every missing file, column and short line."""
    problems = _find_problems(folder)
    if problems:
        raise UserError(problems)
    for table, columns in TABLES.items():
        names = [column.split()[0] for column in columns.split(", ")]
        numeric = [column.split()[1] in ("INTEGER", "REAL") for column in columns.split(", ")]
        marks = ", ".join("?" * len(names))
        # Of a key that comes twice the first line stands.
        connection.executemany(
            f"INSERT OR IGNORE INTO {table} VALUES ({marks})",
            _read_table(folder / FILES[table], names, numeric, problems),
        )
    if problems:
        raise UserError(problems)


def describe_olist(folder: Path) -> dict[str, list[int]]:
    """Size and time of each file, by which a later run sees that they are still the same; missing ones are left out."""
    stats = {name: (Path(folder) / name).stat() for name in FILES.values() if (Path(folder) / name).is_file()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _find_problems(folder: Path) -> list[str]:
    if not folder.is_dir():
        return [f"data.shop.olist: {folder}: no such folder; give the one with Olist's nine CSV files"]
    problems = []
    for table, columns in TABLES.items():
        path = folder / FILES[table]
        if not path.is_file():
            problems.append(
                f"data.shop.olist: {path}: no such file; Olist's nine CSV files are needed, under their own names"
            )
            continue
        header = _read_header(path)
        missing = [name for name in (column.split()[0] for column in columns.split(", ")) if name not in header]
        if missing:
            problems.append(
                f"data.shop.olist: {path}: no column {', '.join(missing)}; the header has {', '.join(header)}"
            )
    return problems


def _read_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


def _read_table(path: Path, names: list[str], numeric: list[bool], problems: list[str]) -> Iterator[tuple]:
    """The rows in the table's order of columns; an empty cell is NULL. Lines that cannot be read go into `problems`."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        places = [header.index(name) for name in names]
        try:
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    problems.append(
                        f"data.shop.olist: {path}:{reader.line_num}: {len(cells)} columns, the header has {len(header)}"
                    )
                    if len(problems) >= 20:
                        return
                    continue
                yield tuple(
                    None if not cells[at] else _to_number(cells[at]) if is_number else cells[at]
                    for at, is_number in zip(places, numeric, strict=True)
                )
        except (UnicodeDecodeError, csv.Error) as error:
            problems.append(
                f"data.shop.olist: {path}:{reader.line_num}: cannot be read ({error}); give the file as Olist has it"
            )


def _to_number(cell: str) -> float | int | str:
    """The cell as a number where it is one (Olist writes some whole numbers as `40.0`)."""
    try:
        value = float(cell)
    except ValueError:
        return cell
    return int(value) if value.is_integer() and "e" not in cell.lower() else value
