"""Copies in which rows are more or fewer: parts come twice, parents lose their children, groups have as many rows as is asked."""

from __future__ import annotations

from collections.abc import Iterator

from rewards.sql.bordered import Border
from rewards.sql.columns import Name
from rewards.sql.database import quote_name
from rewards.sql.extremes import Extreme
from rewards.sql.plans import BorderPlan
from rewards.sql.tokens import name_of

_MOST_GROUPINGS = 2
_TIED = 8
_DEALT = 5


def size_groups(plan: BorderPlan, count: int) -> Iterator[Border]:
    """Copies whose groups have nearly as many rows as a number of rows is compared with."""
    labels = [
        name
        for column in sorted(plan.grouped)
        for name in plan.find(column)
        if name.table.lower() in plan.tables and name not in plan.relations.unique
    ]
    links = [
        link.child
        for link in plan.relations.links
        if {link.child.table.lower(), link.parent.table.lower()} <= plan.tables
        and link.child.table != link.parent.table
    ]
    for name in list(dict.fromkeys(labels + links))[:_MOST_GROUPINGS]:
        if not plan.relations.summed or not plan.is_bound(name.table):
            yield Border((("sizes", (name,), count),))
            if 0 < 3 * count <= plan.count_rows(name.table):
                yield Border((("grow", (name,), count),))


def repeat_parts(plan: BorderPlan) -> Iterator[Border]:
    """Copies in which a table that only one statement joins has several rows where it had one: an order's payments."""
    if not plan.free:
        return
    mine, theirs = ({table for table, _ in side.columns} for side in (plan.right, plan.given))
    keys = {(name.table.lower(), name.column.lower()) for name in plan.relations.keys}
    for link in plan.relations.links:
        child, parent = link.child.table.lower(), link.parent.table.lower()
        if link.owner and plan.relations.summed:
            continue  # a whole may say how many parts it has
        alone = child in mine ^ theirs and parent in mine & theirs and child != parent
        if alone and all(each in keys for each in plan.read if each[0] == child):
            yield Border((("again", (link.child,), None),))


def repeat_numbered(plan: BorderPlan, name: Name) -> Iterator[Border]:
    """A copy with more parts than a number within a key says: a second payment, a fourth line."""
    linked = {end for link in plan.relations.links for end in (link.child, link.parent)}
    sample = plan.relations.samples[name]
    if plan.free and name not in plan.relations.single_keys | linked and sample.integers == sample.filled:
        yield Border((("again", (name,), None),))


def lose_children(plan: BorderPlan) -> Iterator[Border]:
    """Copies in which other parents have no child, where the reference asks for those that have none."""
    tokens = set(plan.right.tokens)
    lacking = (
        ("not" in tokens and tokens & {"in", "exists"})
        or "except" in tokens
        or ("left" in tokens and tokens & {"is", "isnull"})
    )
    if not lacking or not plan.free:
        return
    own, others = ({table for table, _ in side.columns} for side in (plan.right, plan.given))
    for link in plan.relations.links:
        child, parent = link.child.table.lower(), link.parent.table.lower()
        counted = link.owner and plan.relations.summed
        if child in own and parent in own and child not in others and not link.full and not counted:
            yield Border((("childless", (link.child,), link.parent),))


def double(plan: BorderPlan, column: str) -> Iterator[Border]:
    """A copy in which a figure comes often, where only one statement takes each once."""
    levels = (each for group in plan.relations.levels for each in group)
    figures = {*plan.relations.measures, *levels, *plan.relations.moments}
    for name in plan.find(column):
        if name.table.lower() in plan.tables and name in figures and plan.is_free(name):
            table, quoted = quote_name(name.table), quote_name(name.column)
            middle = f"SELECT {quoted} FROM {table} WHERE {quoted} IS NOT NULL ORDER BY 1 LIMIT 1 OFFSET (SELECT COUNT({quoted}) / 2 FROM {table})"
            yield Border((("halve", (name,), plan.connection.execute(middle).fetchone()[0]),))


def lack(plan: BorderPlan, column: str) -> Iterator[Border]:
    """A copy in which a figure that only one statement reads lacks values, unless its column must have them."""
    figures = {*plan.relations.measures, *(each for group in plan.relations.levels for each in group)}
    for name in plan.find(column):
        sample = plan.relations.samples[name]
        numbered = name in plan.relations.unique and sample.integers == sample.filled
        alone = name in figures - plan.relations.tied and not numbered and plan.reads_alone(name)
        if alone and sample.filled == plan.count_rows(name.table):
            yield Border((("halve", (name,), None),))


def tie(plan: BorderPlan, first: Extreme) -> Iterator[Border]:
    """A copy in which the greatest and the least of an order's figures come several times."""
    for word in first.measure:
        for name in plan.find(name_of(word)):
            if name.table.lower() in plan.tables and name in plan.relations.measures and plan.is_free(name):
                column = quote_name(name.column)
                listed = f"SELECT DISTINCT {column} FROM {quote_name(name.table)} WHERE {column} IS NOT NULL ORDER BY 1"
                values = [value for (value,) in plan.connection.execute(listed)]
                ends = ((values[:_TIED], values[_TIED - 1 : _TIED]), (values[-_TIED:], values[-_TIED:]))
                for several, (one, *_) in ends if len(values) > 2 * _TIED else ():
                    yield Border((("replace", (name,), tuple((value, one) for value in several)),))


def deal_orders(plan: BorderPlan, first: Extreme, second: Extreme) -> Iterator[Border]:
    """A copy in which rows have one another's values of a column by which only one statement orders: a place, not the number."""
    if len(first.measure) != 1 or len(second.measure) != 1 or first.measure == second.measure:
        return
    sides = [[name for name in plan.find(name_of(each.measure[0])) if plan.is_read(name)] for each in (first, second)]
    if not all(len(side) == 1 for side in sides) or sides[0][0].table != sides[1][0].table:
        return
    for (name,) in sides:
        dated = sum(each.table == name.table for each in plan.relations.moments)
        if name not in plan.relations.keys | plan.relations.tied and (dated < 2 or name not in plan.relations.moments):
            yield Border((("deal", (name,), _DEALT),))
            return
