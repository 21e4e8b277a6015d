"""What a database's columns are to each other, read from its data: keys, links between tables, labels, measures, dates."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from rewards.sql.columns import ColumnSample, Link, Name, look_at
from rewards.sql.database import quote_name
from rewards.sql.dependencies import find_dependent, find_factors, find_gapped, find_totals
from rewards.sql.moments import kind_of
from rewards.sql.views import list_aliases

MOST_LABELS = 40
_FEW_LEVELS = 12
_FEW_VALUES = 4
"""Different values that a column has at least to be told for a reference by them alone."""

_OVERLAP = 0.5
_DATE = re.compile(r"(?:19|20)[0-9]{2}(?:-[0-9]{2}(?:-[0-9]{2}(?:[ T].*)?)?)?\Z", re.DOTALL)
_KEY_NAME = re.compile(r"(?:(?:^|_)(?:id|key|fk|code|cod|uuid)|(?<=[a-z])(?:Id|ID|Key))$")
_ENDING = re.compile(r"_?(?:id|key|fk|code|cod|uuid)$")


@dataclass(slots=True)
class Relations:
    """`labels`, `texts` and `levels` are groups of columns that share their values, so that all change alike."""

    tables: tuple[str, ...] = ()
    """Parents before their children."""

    columns: dict[str, tuple[Name, ...]] = field(default_factory=dict)
    """By their names in lower case, in the order of `tables`."""

    samples: dict[Name, ColumnSample] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    keys: frozenset[Name] = frozenset()
    """Columns that name rows: of primary keys, and those that refer to another table or are referred to."""

    single_keys: frozenset[Name] = frozenset()
    """Columns that alone identify the rows of their table by being its key, or what others refer to."""

    roots: frozenset[str] = frozenset()
    """Tables whose rows may go, with all that refers to them, and leave every total over parts right."""

    labels: list[tuple[Name, ...]] = field(default_factory=list)
    dependent: frozenset[Name] = frozenset()
    """Labels that follow from another column of their row, or that it follows from."""

    gapped: dict[Name, tuple[Name, ...]] = field(default_factory=dict)
    """Labels that tell where other columns of their row have no value, as a status does of the day of delivery."""

    unique: frozenset[Name] = frozenset()
    """Columns, keys apart, of which no value comes twice."""

    names: list[tuple[Name, ...]] = field(default_factory=list)
    """Keys that are names, of few values: a category and what refers to it."""

    texts: list[tuple[Name, ...]] = field(default_factory=list)
    levels: list[tuple[Name, ...]] = field(default_factory=list)
    measures: tuple[Name, ...] = ()
    summed: bool = False
    """Whether some number is made of others of its row, or a whole's of its parts."""

    tied: frozenset[Name] = frozenset()
    """Numbers of which others are made, or that are made of others."""

    dates: tuple[Name, ...] = ()
    epochs: tuple[Name, ...] = ()
    """Numbers that are moments: seconds or milliseconds since 1970, Julian days."""

    years: tuple[Name, ...] = ()
    aliases: dict[str, str] = field(default_factory=dict)
    """What views call a column, and what it is called in its table."""

    def find_columns(self, column: str) -> tuple[Name, ...]:
        """The columns of that name, given in lower case, of all tables."""
        return self.columns.get(column, ())

    @property
    def moments(self) -> tuple[Name, ...]:
        """All columns that hold dates, as texts or numbers."""
        return self.dates + self.epochs

    @property
    def key_names(self) -> frozenset[Name]:
        """Columns that name the rows of a table as well as its key does, to which other tables refer."""
        parents = {link.parent.table for link in self.links}
        return frozenset(name for name in self.unique if name.table in parents)

    def are_linked(self, keys: Iterable[str], names: Iterable[str]) -> bool:
        """Whether one of these columns is the key of a table, or refers to it, that one of those is a column of."""
        mine, theirs = set(keys), set(names)
        texts = {name for group in (*self.labels, *self.names, *self.texts) for name in group} | self.unique
        tables = {name.table for name in texts if name.column.lower() in theirs}
        return any(
            link.parent.table in tables and mine & {link.child.column.lower(), link.parent.column.lower()}
            for link in self.links
        )

    def share_values(self, some: Iterable[tuple[str, str]], others: Iterable[tuple[str, str]]) -> bool:
        """Whether of two sets of columns, as (table, column) in lower case, one of each holds the same values."""
        mine, theirs = set(some), set(others)
        for group in (*self.labels, *self.names, *self.texts):
            names = {(name.table.lower(), name.column.lower()) for name in group}
            if names & mine and names & theirs:
                return True
        return False


def read_relations(connection: sqlite3.Connection) -> Relations:
    """Look at a database's tables and their first rows; what cannot be read is left out, and so never altered."""
    declared = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    tables = [
        name
        for (name,) in connection.execute(f"{declared} AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name").fetchall()
    ]
    seen: dict[Name, ColumnSample] = {}
    keys: dict[str, list[str]] = {}
    for table in tables:
        with suppress(sqlite3.Error):
            for _, column, _, _, _, primary in connection.execute(f"PRAGMA table_info({quote_name(table)})").fetchall():
                seen[Name(table, column)] = look_at(connection, table, column)
                if primary:
                    keys.setdefault(table, []).append(column)
    found = Relations()
    found.links = _find_links(connection, tables, seen, keys)
    totals = list(find_totals(connection, found.links, seen))
    summing = [link for link, _ in totals]
    found.links = [replace(link, owner=link.owner or link in summing) for link in found.links]
    parents = {link.parent for link in found.links}
    primary = {Name(table, column) for table, columns in keys.items() for column in columns}
    linked = parents | {link.child for link in found.links}
    # A day or a language that is part of a key says something of the row; a number of a line only tells it from others.
    telling = {name for name in primary - linked if len(keys[name.table]) > 1 and not _KEY_NAME.search(name.column)}
    found.keys = frozenset(linked | primary - {name for name in telling if seen[name].texts or _are_years(seen[name])})
    found.single_keys = frozenset(name for name in primary if len(keys[name.table]) == 1) | parents
    found.tables = _order(tables, found.links)
    for name in sorted(seen, key=lambda name: found.tables.index(name.table)):
        found.columns[name.column.lower()] = (*found.columns.get(name.column.lower(), ()), name)
    found.samples = seen
    found.aliases = list_aliases(connection)
    found.roots = _find_roots(tables, found.links)
    _sort_columns(connection, found, seen, {name for _, names in totals for name in names})
    return found


def _find_links(
    connection: sqlite3.Connection, tables: Sequence[str], seen: dict[Name, ColumnSample], keys: dict[str, list[str]]
) -> list[Link]:
    """Declared foreign keys, and those that names and values tell, as far as the data keep to them."""
    spelled = {table.lower(): table for table in tables}
    pairs: dict[Name, Name] = {}
    for table in tables:
        for row in connection.execute(f"PRAGMA foreign_key_list({quote_name(table)})").fetchall():
            target = spelled.get(str(row[2]).lower(), "")
            column = row[4] or next(iter(keys.get(target, ())), None)
            if target and column:
                pairs[_spell(seen, table, row[3])] = _spell(seen, target, column)
    for name, values in seen.items():
        if name not in pairs and values.filled:
            guessed = _guess_parent(name, seen, keys) or _guess_by_values(connection, name, seen, keys)
            if guessed:
                pairs[name] = guessed
    pairs = {
        child: parent
        for child, parent in pairs.items()
        if child in seen and parent in seen and child != parent and _is_within(connection, child, parent)
    }
    links = []
    for child, parent in pairs.items():
        parents = [other.table for mine, other in pairs.items() if mine.table == child.table]
        links.append(Link(child, parent, _owns(parent, child, parents), _is_full(connection, child, parent)))
    return links


def _spell(seen: dict[Name, ColumnSample], table: str, column: str) -> Name:
    """A column as its table spells it."""
    return next(
        (name for name in seen if name.table == table and name.column.lower() == column.lower()), Name(table, column)
    )


def _guess_parent(name: Name, seen: dict[Name, ColumnSample], keys: dict[str, list[str]]) -> Name | None:
    """A column of another table that identifies its rows and that this one is named after."""
    mine = name.column.lower()
    if [name.column] == keys.get(name.table):
        return None
    stem = _ENDING.sub("", mine)
    alike = None
    for parent, values in seen.items():
        if parent.table == name.table or not values.unique:
            continue
        single = keys.get(parent.table) == [parent.column]
        same = parent.column.lower() == mine and mine not in ("id", "name", "nome")
        if single and (same or (stem and stem == _singular(parent.table))):
            return parent
        # Without declared keys, a column is taken for one where it is named so and no value comes twice.
        if same and not keys.get(parent.table) and _KEY_NAME.search(parent.column) and not seen[name].unique:
            alike = alike or parent
    return alike


def _guess_by_values(
    connection: sqlite3.Connection, name: Name, seen: dict[Name, ColumnSample], keys: dict[str, list[str]]
) -> Name | None:
    """The one key in which all values of a column named as one are found, where that is no chance: `prereq_id`, `advisor_id`."""
    values = seen[name]
    if not _KEY_NAME.search(name.column) or [name.column] == keys.get(name.table) or values.distinct < _FEW_VALUES:
        return None
    found = [
        parent
        for parent, others in seen.items()
        if keys.get(parent.table) == [parent.column]
        and (others.texts == others.filled) == (values.texts == values.filled)
        and _is_within(connection, name, parent)
    ]
    if len(found) != 1:
        return None
    # Numbers from one up are within any key of as many rows.
    parent = seen[found[0]]
    counted = parent.integers and parent.high - parent.low < 2 * parent.distinct and parent.low <= 1
    return None if counted else found[0]


def _singular(table: str) -> str:
    return re.sub(r"(?<=[a-z]{2})(?:es|s)$", "", table.lower()) if not table.lower().endswith("ss") else table.lower()


def _is_within(connection: sqlite3.Connection, child: Name, parent: Name) -> bool:
    """Whether every value of the child is one of the parent's, and there is one."""
    column = quote_name(child.column)
    lost = (
        f"SELECT 1 FROM {quote_name(child.table)} WHERE {column} IS NOT NULL AND {column} NOT IN "
        f"(SELECT {quote_name(parent.column)} FROM {quote_name(parent.table)} WHERE {quote_name(parent.column)} IS NOT NULL)"
    )
    try:
        return connection.execute(f"{lost} LIMIT 1").fetchone() is None
    except sqlite3.Error:
        return False


def _owns(parent: Name, child: Name, parents: Sequence[str]) -> bool:
    """Whether rows of the child are parts of the parent's: named after it, as `invoice_lines`."""
    others = [table for table in set(parents) if table != child.table]
    named = [
        table for table in others if child.table.lower().replace("_", "").startswith(_singular(table).replace("_", ""))
    ]
    return bool(named) and parent.table == max(named, key=len)


def _is_full(connection: sqlite3.Connection, child: Name, parent: Name) -> bool:
    """Whether every value of the parent's column is referred to."""
    column, table = quote_name(child.column), quote_name(child.table)
    there = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
    lonely = f"SELECT 1 FROM {quote_name(parent.table)} WHERE {quote_name(parent.column)} NOT IN ({there}) LIMIT 1"
    return connection.execute(lonely).fetchone() is None


def _order(tables: Sequence[str], links: Sequence[Link]) -> tuple[str, ...]:
    """Parents first; what goes round in a circle stays in the order of names."""
    left, ordered = list(tables), []
    while left:
        free = [
            table
            for table in left
            if not any(
                link.child.table == table and link.parent.table in left and link.parent.table != table for link in links
            )
        ] or left[:1]
        ordered += free
        left = [table for table in left if table not in free]
    return tuple(ordered)


def _find_roots(tables: Sequence[str], links: Sequence[Link]) -> frozenset[str]:
    """Tables that are not part of another and that none leans on for a child, under which no part of another whole hangs."""
    owned = {link.child.table for link in links if link.owner}
    bound = {link.child.table for link in links if link.child.table != link.parent.table and (link.owner or link.full)}
    roots = set()
    for table in tables:
        if table in bound:
            continue
        reached, stack, sound = {table}, [table], True
        while stack:
            at = stack.pop()
            for link in links:
                if link.parent.table == at and link.child.table not in reached:
                    sound &= link.owner or link.child.table not in owned
                    reached.add(link.child.table)
                    stack.append(link.child.table)
        if sound:
            roots.add(table)
    return frozenset(roots)


def _sort_columns(
    connection: sqlite3.Connection, found: Relations, seen: dict[Name, ColumnSample], totals: set[Name]
) -> None:
    """Put every column that is not a key with those that change as it does."""
    labels, texts, levels, measures, dates, years, epochs = [], [], [], [], [], [], []
    for name, values in seen.items():
        if name in found.keys or not values.filled:
            continue
        if values.texts == values.filled:
            if _is_dated(connection, name):
                dates.append(name)
            if 2 <= values.distinct <= MOST_LABELS:
                labels.append(name)
            elif values.distinct > MOST_LABELS and name not in dates and not _KEY_NAME.search(name.column):
                texts.append(name)
        elif kind_of(values):
            epochs.append(name)
        elif values.integers == values.filled:
            if _are_years(values):
                years.append(name)
            elif _KEY_NAME.search(name.column):
                continue
            elif 2 <= values.distinct <= _FEW_LEVELS:
                levels.append(name)
            elif values.distinct > _FEW_LEVELS or values.filled == 1:
                measures.append(name)
        elif values.integers + values.reals == values.filled:
            measures.append(name)
    found.labels = _group(connection, labels)
    found.names = _join_names(found.links, seen)
    found.texts = _group(connection, texts)
    few = [name for name in measures if 2 <= seen[name].distinct <= _FEW_LEVELS]
    found.levels = [(name,) for name in levels] + _group(connection, few)
    found.unique = frozenset(name for name, values in seen.items() if values.unique)
    found.dates, found.years, found.epochs = tuple(dates), tuple(years), tuple(epochs)
    factors, tied = find_factors(connection, [*measures, *levels], seen)
    found.measures = tuple(name for name in measures if name not in factors)
    # Parts and their whole may have figures in common, and so may columns of one name that share their values.
    spelled = Counter(name.column.lower() for name in seen)
    namesakes = [name for name in (*measures, *levels) if spelled[name.column.lower()] > 1]
    shared = {name for group in _group(connection, namesakes) if len(group) > 1 for name in group}
    found.summed = bool(tied | totals)
    found.tied = frozenset(name for name in (*measures, *levels) if name in tied | totals | shared)
    found.dependent = frozenset(find_dependent(connection, labels, seen, dates))
    found.gapped = find_gapped(connection, labels, seen)


def _are_years(values: ColumnSample) -> bool:
    return values.integers == values.filled > 0 and values.low >= 1900 and values.high <= 2100


def _join_names(links: Sequence[Link], seen: dict[Name, ColumnSample]) -> list[tuple[Name, ...]]:
    """The columns that links join, where all hold texts and few of them."""
    groups: list[set[Name]] = []
    for link in links:
        joined = [group for group in groups if group & {link.child, link.parent}]
        groups = [group for group in groups if group not in joined] + [{link.child, link.parent}.union(*joined)]
    return [
        tuple(sorted(group))
        for group in groups
        if all(seen[name].texts == seen[name].filled and 2 <= seen[name].distinct <= MOST_LABELS for name in group)
    ]


def _is_dated(connection: sqlite3.Connection, name: Name) -> bool:
    column = quote_name(name.column)
    sample = f"SELECT DISTINCT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL LIMIT 50"
    return all(_DATE.match(value) for (value,) in connection.execute(sample))


def _group(connection: sqlite3.Connection, names: Iterable[Name]) -> list[tuple[Name, ...]]:
    """Columns that share most of their values, such as a state of customers and one of sellers."""
    groups: list[tuple[list[Name], set[Any]]] = []
    for name in names:
        column = quote_name(name.column)
        sample = f"SELECT DISTINCT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL LIMIT 500"
        values = {value for (value,) in connection.execute(sample)}
        joined = [group for group in groups if len(values & group[1]) >= _OVERLAP * min(len(values), len(group[1]))]
        merged = ([name], values)
        for group in joined:
            groups.remove(group)
            merged = (group[0] + merged[0], group[1] | merged[1])
        groups.append(merged)
    return [tuple(members) for members, _ in groups]
