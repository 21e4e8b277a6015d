"""Copies in which texts are renamed, planted or exchanged where a condition of only one of two statements tells them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rewards.sql.bordered import Border
from rewards.sql.columns import ColumnSample, Name
from rewards.sql.conditions import LiteralCondition
from rewards.sql.database import quote_name
from rewards.sql.plans import BorderPlan

_PATTERNS = frozenset({"like", "glob"})
_BOUNDS = frozenset({"<", "<=", ">", ">=", "between"})
_EQUALITIES = frozenset({"=", "!=", "in", "is", "like"})
_MOST_VALUES = 5_000
_LONGEST = 60
_LOWEST = "!0"
"""A text before all that names begin with."""


def cross_text(plan: BorderPlan, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
    """Copies for a text that a column is compared with."""
    operator = condition.operator if condition.operator in _PATTERNS else "="
    cuts = plan.cut(name, f"{{0}} {operator} ?", f"NOT {{0}} {operator} ?", (condition.value,))
    yield from plan.with_cuts(_alter_text(plan, name, sample, condition), cuts)


def _alter_text(plan: BorderPlan, name: Name, sample: ColumnSample, condition: LiteralCondition) -> Iterator[Border]:
    operator = condition.operator if condition.operator in _PATTERNS else "="
    values = _list_values(plan, name)
    others = [value for value in values if value not in plan.literals]
    group = find_group(plan, name)
    if operator != "=":
        yield from _cross_pattern(plan, name, group, others, operator, condition)
        return
    folded = {str(value).casefold() for value in values}
    if condition.operator in _BOUNDS:
        yield Border((("prefix", (name,), _LOWEST),))
        yield Border((("halve", (name,), f"{condition.value} 2"),))
    elif condition.value in values and others and _names_alone(plan, name, condition):
        # What else is true of the rows that have this label is true of the others' too.
        yield Border((("replace", group, ((condition.value, others[0]), (others[0], condition.value))),))
    if condition.value not in values and condition.value.casefold() in folded:
        pass  # LOWER(city) = 'austin'
    elif condition.value not in values and others:
        yield Border((("replace", group, ((others[0], condition.value),)),))
        if len(others) > 3:
            half = others[: len(others) // 2]
            yield Border((("replace", group, tuple((value, condition.value) for value in half)),))
    elif sample.distinct == 1:
        yield Border((("halve", (name,), f"{values[0]} 2"),))
    elif not others and len(values) > 2:
        yield Border((("replace", group, ((values[0], f"{values[0]} 2"),)),))


def cross_length(plan: BorderPlan, name: Name, length: int) -> Iterator[Border]:
    """Texts of as many characters as a number says, and of one less."""
    others = [value for value in _list_values(plan, name) if value not in plan.literals]
    wanted = ["q" * each for each in (length, length - 1) if 0 < each <= _LONGEST]
    if others and wanted:
        yield Border((("replace", find_group(plan, name), tuple(zip(others, wanted, strict=False))),))


def rename_results(plan: BorderPlan, text: str) -> Iterator[Border]:
    """A copy that has another name for what one of two statements writes into its result itself, as `THEN 'Ana'`."""
    if text in plan.literals or not text:
        return
    for name, sample in plan.relations.samples.items():
        if sample.texts != sample.filled or not sample.filled or not plan.is_read(name):
            continue
        table, column = quote_name(name.table), quote_name(name.column)
        if plan.connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", (text,)).fetchone():
            yield Border((("replace", find_group(plan, name), ((text, f"{text} 2"),)),))
            return


def find_group(plan: BorderPlan, name: Name) -> tuple[Name, ...]:
    """The columns that share their values with one, itself among them."""
    return next((group for group in (*plan.relations.labels, *plan.relations.texts) if name in group), (name,))


def _cross_pattern(
    plan: BorderPlan,
    name: Name,
    group: tuple[Name, ...],
    others: Sequence[Any],
    operator: str,
    condition: LiteralCondition,
) -> Iterator[Border]:
    """A value that a pattern takes and another that it does not, unless the other statement has the same word without wild cards."""
    table, column = quote_name(name.table), quote_name(name.column)
    planted = re.sub(r"[%*]", "q", condition.value).translate({ord("_"): "a", ord("?"): "a"})
    counted = f"SELECT SUM({column} {operator} ?), COUNT({column}) FROM {table}"
    taken, filled = plan.connection.execute(counted, (condition.value,)).fetchone()
    if filled and taken == filled:
        for untaken in ("q", _LOWEST, f"{condition.value} 2"):
            if not plan.connection.execute(f"SELECT ? {operator} ?", (untaken, condition.value)).fetchone()[0]:
                yield Border((("halve", (name,), untaken),))
                break
    elif filled and not taken:
        yield Border((("halve", (name,), planted),))
    core = condition.value.strip("%*").casefold()
    said = {
        str(each.value).strip("%*").casefold()
        for side in plan.sides
        if condition not in side.columns
        for each in side.columns
        if each.column == condition.column and each.operator in _EQUALITIES
    }
    if core in said or name.table in plan.named:
        return  # LIKE '%Rock%' for = 'Rock'; a row's name with a wild card, for its key
    if others and len(others) <= 40:
        yield Border((("replace", group, ((others[0], planted),)),))
    elif filled:
        yield Border((("halve", (name,), planted),))


def _names_alone(plan: BorderPlan, name: Name, condition: LiteralCondition) -> bool:
    """Whether a label names rows, and nothing else of theirs does in the other statement: a code and its name stay a pair."""
    relations = plan.relations
    if name not in relations.unique or name in relations.dependent or name in relations.gapped:
        return False
    if name.table in plan.named:
        return False
    return not any(
        each.column != condition.column and any(found.table == name.table for found in plan.find(each.column))
        for side in plan.sides
        if condition not in side.columns
        for each in side.columns
    )


def _list_values(plan: BorderPlan, name: Name) -> list[Any]:
    """Different values of a column, the commonest first."""
    table, column = quote_name(name.table), quote_name(name.column)
    listed = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL GROUP BY 1 ORDER BY COUNT(*) DESC, 1 LIMIT {_MOST_VALUES}"
    return [value for (value,) in plan.connection.execute(listed)]
