"""Altered copies of a database in memory, in which a statement that is right only by chance gives itself away.

In each copy rows are missing or values are others, yet what belongs together stays together: rows go with all that refers
to them, columns that share values change alike, money and whole series of numbers change by one factor.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from rewards.sql.chances import deal_references, split_members
from rewards.sql.columns import ColumnSample, Link, Name
from rewards.sql.database import QUICK_BYTES, copy_to_memory, keep_readonly, quote_name, version_of
from rewards.sql.moments import kind_of
from rewards.sql.relations import MOST_LABELS, Relations, read_relations

LARGEST_BYTES = 32 << 20
_ONE_SIDED = 0.6
"""Share of the commonest label from which its column is not thinned out: too few rows would be left."""

_FEW_ROWS = 20
_ENOUGH_ROWS = 60
_MOST_VALUES = 50_000
_FEW_MOVES = 12
_CALENDAR = 28
"""Years after which weekdays and leap years come again."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """`kept` is the share of rows that stay, of root tables, of those that have parts (`wholes`) or `everywhere`; the rest are steps by which values move on.

    `scale` multiplies measures, `merge` replaces a column's least (-1) or greatest (1) value by its neighbour, `deal` gives
    rows the references of the rows so many places on, `split` halves the members of groups.
    """

    kept: float = 1.0
    everywhere: bool = False
    wholes: bool = False
    labels: int = 0
    texts: int = 0
    levels: int = 0
    scale: int = 1
    years: int = 0
    merge: int = 0
    deal: int = 0
    split: bool = False


GENTLE: Mapping[int, Alteration] = MappingProxyType(
    {
        1: Alteration(kept=0.75, labels=1),
        2: Alteration(kept=0.6, labels=2, split=True),
        3: Alteration(kept=0.45, labels=3, deal=7),
        4: Alteration(kept=0.75, labels=5, scale=2),
        5: Alteration(scale=3, years=_CALENDAR),
        6: Alteration(kept=0.5, labels=7, deal=13, split=True),
        7: Alteration(kept=0.35, labels=11),
    }
)
"""By number, copies in which everything that follows from something else still does."""

HARSH: Mapping[int, Alteration] = MappingProxyType(
    {
        8: Alteration(kept=0.85, everywhere=True, labels=1, texts=1, levels=1, scale=3),
        9: Alteration(scale=2, years=_CALENDAR, merge=-1),
        10: Alteration(texts=3, merge=1),
        11: Alteration(kept=0.7, everywhere=True, labels=2, texts=2, levels=2, scale=5, years=_CALENDAR),
        12: Alteration(labels=3, texts=7, levels=1, scale=7),
    }
)
"""By number, copies in which values move between rows; asked where the gentle ones leave the answer as it was."""


BOUND: Mapping[int, Alteration] = MappingProxyType(
    {
        13: Alteration(kept=0.8, everywhere=True, scale=3),
        14: Alteration(kept=0.65, everywhere=True),
        15: Alteration(kept=0.75, everywhere=True, deal=5),
        16: Alteration(kept=0.7, everywhere=True, scale=2),
    }
)
"""By number, copies in which rows are missing everywhere and yet every key keeps its name; asked of `genre_id = 1`."""

WHOLE: Mapping[int, Alteration] = MappingProxyType(
    {17: Alteration(kept=0.7, wholes=True), 18: Alteration(kept=0.55, wholes=True, scale=2)}
)
"""By number, copies in which wholes are missing with their parts, though others may be left without any."""

SCALES = tuple(
    sorted(
        {
            alteration.scale
            for copies in (GENTLE, HARSH, BOUND)
            for alteration in copies.values()
            if alteration.scale > 1
        }
    )
)


def can_alter(path: str) -> bool:
    """Whether the file is small enough to be copied into memory."""
    return os.path.getsize(path) <= LARGEST_BYTES


def telling_copies(path: str) -> tuple[int, ...]:
    """The copies that tell a constant: all of them, or the gentle ones where each takes its time to be made."""
    return (*GENTLE, *HARSH) if os.path.getsize(path) <= QUICK_BYTES else tuple(GENTLE)


def open_altered(path: str, copy: int) -> sqlite3.Connection:
    """The copy of that number; the same number always gives the same copy."""
    alteration = {**GENTLE, **HARSH, **BOUND, **WHOLE}[copy]
    connection = copy_to_memory(path)
    relations = relations_of(path, connection)
    # A column that refuses a change, by a check or a trigger, stays as it is.
    for table in relations.tables:
        wholes = _list_wholes(relations) if alteration.wholes else relations.roots
        thinned = alteration.everywhere or table in wholes
        if alteration.kept < 1 and thinned:
            with suppress(sqlite3.Error):
                _thin_out(connection, table, relations, alteration.kept, copy)
        for link in relations.links:
            if link.child.table == table:
                with suppress(sqlite3.Error):
                    _follow(connection, link)
    if alteration.split:
        split_members(connection, relations, chance_of(copy + 31))
    if alteration.deal:
        deal_references(connection, relations, alteration.deal)
    _move_values(connection, relations, alteration)
    return connection


def relations_of(path: str, connection: sqlite3.Connection) -> Relations:
    """The relations of a file, read once for a version of it; `connection` is an unaltered copy."""
    return _remember(_Held(connection), os.path.abspath(path), *version_of(path))


def know_relations(path: str) -> Relations:
    """The relations of a file, read where they are not known yet."""
    return relations_of(path, keep_readonly(path))


class _Held:
    """A connection that does not count in a comparison of arguments."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=64)
def _remember(held: _Held, path: str, changed: int, size: int) -> Relations:
    return read_relations(held.connection)


def _thin_out(connection: sqlite3.Connection, table: str, relations: Relations, kept: float, copy: int) -> None:
    """Take rows away at random, and more of those whose labels are frequent."""
    name = quote_name(table)
    # Chance may take none, and then their number would not tell.
    first = f"(SELECT rowid FROM {name} ORDER BY {chance_of(copy)} DESC LIMIT 1)"
    rows = connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0]
    if rows <= _FEW_ROWS:
        # Of a few rows, such as employees whom all customers have, chance may leave one, and nothing below it.
        left = f"(SELECT rowid FROM {name} ORDER BY {chance_of(copy)} LIMIT {max(round(rows * kept), (rows * 3 + 4) // 5)})"
        connection.execute(f"DELETE FROM {name} WHERE rowid NOT IN {left}")
    else:
        connection.execute(f"DELETE FROM {name} WHERE {chance_of(copy)} >= {round(1000 * kept)} OR rowid = {first}")
    labels = [label for group in relations.labels for label in group if label.table == table]
    if table in relations.roots:
        turn = copy % max(1, len(labels))
        for label in labels[turn:] + labels[:turn]:
            # Not below what a count needs to differ from another.
            if connection.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] >= _ENOUGH_ROWS:
                _thin_label(connection, label, copy)


def _thin_label(connection: sqlite3.Connection, label: Name, copy: int) -> None:
    table, column = quote_name(label.table), quote_name(label.column)
    counted = f"SELECT {column}, COUNT(*) FROM {table} WHERE typeof({column}) = 'text' GROUP BY 1 ORDER BY 1 LIMIT ?"
    counts = dict(connection.execute(counted, (MOST_LABELS + 1,)).fetchall())
    if not 2 <= len(counts) <= MOST_LABELS or max(counts.values()) >= _ONE_SIDED * sum(counts.values()):
        return
    mean = sum(counts.values()) / len(counts)
    for place, (value, count) in enumerate(counts.items()):
        # Nearly to one size, so that any other condition puts another label first, but not so near that all counts tie.
        share = mean / count * (0.9 + 0.1 * ((place * 7 + copy * 3) % 5) / 4)
        gone = f"{chance_of(copy + 17)} >= {round(1000 * share)}"
        connection.execute(f"DELETE FROM {table} WHERE {column} = ? AND {gone}", (value,))


def chance_of(copy: int, row: str = "rowid") -> str:
    """A number below 1000, as SQL, that a row's id and the copy decide."""
    mixed = f"((({row} % 1000003) * 2654435761 + {copy} * 2246822519) & 4294967295)"
    # The product of its halves: of the sum alone, rows that stand side by side would go or stay together in every copy.
    return f"((({mixed} >> 16) + 40503) * (({mixed} & 65535) + 30011) >> 9) % 1000"


def _follow(connection: sqlite3.Connection, link: Link) -> None:
    """Take the rows away whose parent is gone; within one table, the reference alone."""
    table, column = quote_name(link.child.table), quote_name(link.child.column)
    there = f"(SELECT {quote_name(link.parent.column)} FROM {quote_name(link.parent.table)})"
    if link.child.table == link.parent.table:
        connection.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} NOT IN {there}")
    else:
        connection.execute(f"DELETE FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN {there}")


def _list_wholes(relations: Relations) -> frozenset[str]:
    owners = {link.parent.table for link in relations.links if link.owner}
    return frozenset(owners - {link.child.table for link in relations.links if link.owner})


def follow_parents(connection: sqlite3.Connection, relations: Relations) -> None:
    """Take all rows away whose parents are gone."""
    for table in relations.tables:
        for link in relations.links:
            if link.child.table == table:
                with suppress(sqlite3.Error):
                    _follow(connection, link)


def _move_values(connection: sqlite3.Connection, relations: Relations, alteration: Alteration) -> None:
    harsh = bool(alteration.levels or alteration.texts or alteration.merge)
    for groups, step in ((relations.labels, alteration.labels), (relations.texts, alteration.texts)):
        for group in groups if step else ():
            if harsh or not (relations.dependent | relations.key_names).intersection(group):
                gapped = () if harsh or len(group) > 1 else relations.gapped.get(group[0], ())
                for values in _list_classes(connection, group, gapped):
                    _rotate(connection, group, step, values)
    for group in relations.names if alteration.labels else ():
        _rotate(connection, group, alteration.labels, _list_values(connection, group))
    for group in relations.levels if alteration.levels else ():
        _rotate(connection, group, alteration.levels, _list_values(connection, group))
    if alteration.merge:
        for group in (*relations.labels, *relations.levels):
            if not relations.unique.intersection(group):
                _merge(connection, group, alteration.merge)
    if alteration.scale > 1:
        for name in relations.measures:
            _scale(connection, name, alteration.scale)
    if alteration.years:
        for name in relations.dates:
            _shift(connection, name, alteration.years, "text")
        for name in relations.years:
            _shift(connection, name, alteration.years, "integer")
        for name in relations.epochs:
            days = round(alteration.years * 365.25)
            with suppress(sqlite3.Error):
                shift_epoch(connection, name, days * 86_400, relations.samples[name])


def _list_values(connection: sqlite3.Connection, group: tuple[Name, ...]) -> list[Any]:
    listed = " UNION ".join(
        f"SELECT {quote_name(name.column)} AS v FROM {quote_name(name.table)} WHERE {quote_name(name.column)} IS NOT NULL"
        for name in group
    )
    return [
        value for (value,) in connection.execute(f"SELECT DISTINCT v FROM ({listed}) ORDER BY v LIMIT {_MOST_VALUES}")
    ]


def _list_classes(connection: sqlite3.Connection, group: tuple[Name, ...], gapped: tuple[Name, ...]) -> list[list[Any]]:
    """The values of a group; apart by which of the columns `gapped` are empty beside them, so that none gets another's gaps."""
    if not gapped:
        return [_list_values(connection, group)]
    table, column = quote_name(group[0].table), quote_name(group[0].column)
    empty = " || ".join(f"MAX({quote_name(name.column)} IS NULL)" for name in gapped)
    classes: dict[str, list[Any]] = {}
    for value, gaps in connection.execute(
        f"SELECT {column}, {empty} FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ):
        classes.setdefault(gaps, []).append(value)
    return list(classes.values())


def _rotate(connection: sqlite3.Connection, group: tuple[Name, ...], step: int, values: list[Any]) -> None:
    """Give each of these values of a group of columns to the rows of another one, the same one in all its columns."""
    with suppress(sqlite3.Error):
        # A step that is not a multiple of their number leaves no value where it was.
        step = step % len(values) or 1 if len(values) > 1 else 0
        if step:
            replace_values(connection, group, dict(zip(values, values[step:] + values[:step], strict=True)))


def _merge(connection: sqlite3.Connection, group: tuple[Name, ...], end: int) -> None:
    with suppress(sqlite3.Error):
        values = _list_values(connection, group)
        if len(values) > 1:
            gone, there = (values[0], values[1]) if end < 0 else (values[-1], values[-2])
            replace_values(connection, group, {gone: there})


def replace_values(connection: sqlite3.Connection, group: tuple[Name, ...], moves: Mapping[Any, Any]) -> None:
    """Put new values in the place of old ones, in all columns of a group that take them."""
    if len(moves) <= _FEW_MOVES and _replace_few(connection, group, moves):
        return
    kinds = {str: "TEXT", float: "REAL"}
    kind = kinds.get(type(next(iter(moves))), "INTEGER")
    connection.execute("CREATE TEMP TABLE recompensa_moves (old PRIMARY KEY, new)")
    try:
        connection.executemany("INSERT INTO recompensa_moves VALUES (?, ?)", moves.items())
        for name in group:
            table, column = quote_name(name.table), quote_name(name.column)
            connection.execute("SAVEPOINT recompensa_move")
            try:
                # By way of blobs, which no text or number equals, or a column without duplicates would refuse the first.
                connection.execute(
                    f"UPDATE {table} SET {column} = CAST((SELECT new FROM recompensa_moves WHERE old = {column}) AS BLOB) "
                    f"WHERE {column} IN (SELECT old FROM recompensa_moves)"
                )
                connection.execute(
                    f"UPDATE {table} SET {column} = CAST({column} AS {kind}) WHERE typeof({column}) = 'blob'"
                )
            except sqlite3.Error:
                connection.execute("ROLLBACK TO recompensa_move")
            connection.execute("RELEASE recompensa_move")
    finally:
        connection.execute("DROP TABLE recompensa_moves")


def _replace_few(connection: sqlite3.Connection, group: tuple[Name, ...], moves: Mapping[Any, Any]) -> bool:
    """The same in one statement a column; False, and nothing is done, where a column takes no value twice."""
    whens = " ".join("WHEN ? THEN ?" for _ in moves)
    marks = ", ".join("?" * len(moves))
    connection.execute("SAVEPOINT recompensa_few")
    try:
        for name in group:
            table, column = quote_name(name.table), quote_name(name.column)
            connection.execute(
                f"UPDATE {table} SET {column} = CASE {column} {whens} END WHERE {column} IN ({marks})",
                (*(value for move in moves.items() for value in move), *moves),
            )
    except sqlite3.Error:
        connection.execute("ROLLBACK TO recompensa_few")
        return False
    finally:
        connection.execute("RELEASE recompensa_few")
    return True


def _scale(connection: sqlite3.Connection, name: Name, factor: int) -> None:
    column = quote_name(name.column)
    with suppress(sqlite3.Error):
        connection.execute(
            f"UPDATE {quote_name(name.table)} SET {column} = CASE typeof({column}) WHEN 'real' "
            f"THEN ROUND({column} * {factor}, 6) ELSE {column} * {factor} END WHERE typeof({column}) IN ('integer', 'real')"
        )


def shift_epoch(connection: sqlite3.Connection, name: Name, seconds: int, sample: ColumnSample) -> None:
    """Move the moments of a column of numbers by so many seconds."""
    unit = {"epoch": 1.0, "milliseconds": 1000.0, "julian": 1 / 86_400}[kind_of(sample) or "epoch"]
    by: float = seconds * unit
    column = quote_name(name.column)
    connection.execute(
        f"UPDATE {quote_name(name.table)} SET {column} = {column} + ? WHERE typeof({column}) IN ('integer', 'real')",
        (by if unit < 1 else int(by),),
    )


def _shift(connection: sqlite3.Connection, name: Name, years: int, kind: str) -> None:
    column = quote_name(name.column)
    later = f"{column} + {years}"
    if kind == "text":
        later = f"CAST(substr({column}, 1, 4) + {years} AS TEXT) || substr({column}, 5)"
    with suppress(sqlite3.Error):
        connection.execute(f"UPDATE {quote_name(name.table)} SET {column} = {later} WHERE typeof({column}) = '{kind}'")
