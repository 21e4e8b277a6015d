"""Comparing a statement with a reference: the same result here, on altered copies of the database, and at their literals."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, NamedTuple

from rewards.sql.altered import (
    BOUND,
    HARSH,
    LARGEST_BYTES,
    WHOLE,
    can_alter,
    know_relations,
    telling_copies,
)
from rewards.sql.bordered import Border
from rewards.sql.borders import plan_borders
from rewards.sql.conditions import list_conditions
from rewards.sql.copies import fill_if_empty
from rewards.sql.database import quote_name, version_of
from rewards.sql.extremes import compare_choices, compare_orders, find_extreme
from rewards.sql.naming import Naming, compare_naming
from rewards.sql.outlines import named_columns
from rewards.sql.plans import Reading
from rewards.sql.planted import Planting
from rewards.sql.results import finds_something, is_part, same_rows
from rewards.sql.sandbox import Copy, Limits, Result, has_time_left, run_queries, run_query
from rewards.sql.statements import SqlStatement
from rewards.sql.ties import probe_ties
from rewards.sql.witnesses import Witnesses, choose_witnesses, is_multiple

_WITNESSES = 3
"""Copies on which both statements must agree."""

_TOP_WITNESSES = 5
"""The same for the first of a list or an extreme, which many another order or condition leaves in its place."""

_ONE_ROW_TELLS = frozenset({"limit", "max", "min"})

_MOST_CHOICES, _CHOICES_BYTES = 20_000, 2_000_000
"""Rows, and their bytes, that an extreme may be chosen from, to be looked at."""

_REMEMBERED = 8_192
_known: OrderedDict[tuple, SqlComparison] = OrderedDict()
_REMEMBERED_REFERENCES = 512
_witnesses: OrderedDict[tuple, Witnesses] = OrderedDict()
_lock = threading.Lock()

_AT_ONCE = 4
"""Copies at literals that are asked together, after a first one alone, which tells most look-alikes."""

_PLANTINGS = 2
_ALIKE = 0.7
_BY_CHANCE = "right by chance: another result than the reference's on an altered copy of the database"
_MAY_BE_LOOSE = frozenset({"limit", "row_number", "first_value", "last_value", "nth_value", "group_concat"})


Side = tuple[SqlStatement, Result]


class SqlComparison(NamedTuple):
    right: bool
    constant: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Comparer:
    """One database, and what counts as the same result; `check_altered` asks copies too."""

    database: str
    limits: Limits
    tolerance: float
    ordered: bool
    any_columns: bool
    check_altered: bool

    def run(self, statement: SqlStatement, altered: Copy = 0, backwards: bool = False) -> Result:
        return run_query(self.database, statement.sql or "", self.limits, altered, backwards)

    def _run_ahead(self, statements: Sequence[SqlStatement], copies: Sequence[Copy]) -> None:
        """Have the results at hand that are asked for one by one next."""
        run_queries(self.database, [(each.sql or "", copy) for each in statements for copy in copies], self.limits)

    def _same(self, reference: SqlStatement, expected: Result, result: Result) -> bool:
        ordered = self.ordered and "order" in reference.tokens
        return result.status == "ok" and same_rows(
            expected.rows, result.rows, self.tolerance, ordered, self.any_columns
        )

    def compare(self, right_side: Side, given_side: Side, structure: float) -> SqlComparison:
        """Whether a statement asks what the reference asks, wherever that can be told; remembered until the file changes."""
        key = (self, *version_of(self.database), right_side[0].sql, given_side[0].sql, structure)
        with _lock:
            if key in _known:
                _known.move_to_end(key)
                return _known[key]
        found = self._compare_filled(right_side, given_side, structure)
        if has_time_left():
            # What was not found out for want of time may be another time.
            with _lock:
                _known[key] = found
                while len(_known) > _REMEMBERED:
                    _known.popitem(last=False)
        return found

    def _compare_filled(self, right_side: Side, given_side: Side, structure: float) -> SqlComparison:
        """As `_compare`; where all tables that the reference reads are empty, on a copy whose empty tables are filled."""
        (reference, expected), (statement, result) = right_side, given_side
        if (
            self.check_altered
            and statement.tokens != reference.tokens
            and not finds_something(expected.rows)
            and self._same(reference, expected, result)
            and can_alter(self.database)
        ):
            filled = fill_if_empty(self.database, expected.sources)
            if filled is not None:
                there = replace(self, database=filled)
                right, given = there.run(reference), there.run(statement)
                if right.status == "ok":
                    return there._compare((reference, right), (statement, given), structure)
        return self._compare(right_side, given_side, structure)

    def _compare(self, right_side: Side, given_side: Side, structure: float) -> SqlComparison:
        (reference, expected), (statement, result) = right_side, given_side
        found = self._compare_copies(right_side, given_side, structure)
        if (
            not found.right
            or statement.tokens == reference.tokens
            or not self.check_altered
            or not can_alter(self.database)
        ):
            return found
        naming = compare_naming(self.database, reference.tokens, statement.tokens)
        if naming is not None and not naming.alike:
            return SqlComparison(False, reason=_BY_CHANCE)
        borders = plan_borders(
            self.database,
            Reading(reference.tokens, expected.columns),
            Reading(statement.tokens, result.columns),
            frozenset(key.table for key, _ in naming.rows) if naming else frozenset(),
        )
        at_once = 1
        while some := tuple(islice(borders, at_once)):
            at_once = _AT_ONCE
            self._run_ahead((reference, statement), some)
            if not all(self._agree(reference, statement, border) for border in some):
                return self._blame(statement, result)
        return found

    def _agree(self, reference: SqlStatement, statement: SqlStatement, copy: Copy) -> bool:
        """Whether both give the same on a copy, or it tells nothing there."""
        right, given = (self.run(side, copy) for side in (reference, statement))
        if right.status != "ok" or self._same(reference, right, given):
            return True
        if given.status == "ok" and not finds_something(right.rows) and not finds_something(given.rows):
            return True
        if self.is_loose(reference, copy):
            return True
        return self._cuts_a_tie(statement, copy) and is_part(given.rows, right.rows, self.tolerance)

    def _compare_copies(self, right_side: Side, given_side: Side, structure: float) -> SqlComparison:
        """Whether a statement gives what the reference gives: here, and where the database is another one.

        A copy where the reference finds nothing, or where a LIMIT cuts through a tie, tells nothing. Where no copy tells
        anything, the clauses must be alike. The reference's own words are right without being asked.
        """
        (reference, expected), (statement, result) = right_side, given_side
        equal = self._same(reference, expected, result)
        if statement.tokens == reference.tokens and equal:
            return SqlComparison(True)
        if not equal and (result.status != "ok" or not self.is_loose(reference, 0)):
            return SqlComparison(False, reason="another result than the reference's")
        if not self.check_altered or not can_alter(self.database):
            unchecked = f"not checked on copies: the database is larger than {LARGEST_BYTES >> 20} MiB"
            other = "" if equal else "another result than the reference's"
            return SqlComparison(equal, reason=other or (unchecked if self.check_altered else ""))
        choice = self._compare_choices(reference, statement)
        if choice == "other":
            return self._blame(statement, result)
        empty = not finds_something(expected.rows)
        planted = self._compare_planted(reference, statement, equal) if empty else None
        if planted is not None and not planted.right:
            # Where nothing is there, dates of another century let any later day find what the reference finds.
            return planted
        # Other tables may hold the same values, such as lines those of their invoices; the same number of rows is chance.
        related = bool(expected.sources & result.sources) or know_relations(self.database).share_values(
            expected.columns, result.columns
        )
        one_row = choice != "same" and not _ONE_ROW_TELLS.isdisjoint(reference.tokens)
        enough = _TOP_WITNESSES if one_row else _WITNESSES
        witnesses = self._know_witnesses(reference, expected, enough, related)
        asked = [(statement.sql or "", witness.copy) for witness in witnesses.asked]
        answers = run_queries(self.database, asked, self.limits)
        for (copy, right, scaled_before), given in zip(witnesses.asked, answers, strict=True):
            if not self._same(reference, right, given) and not (
                # Where its own LIMIT cuts through a tie, it may have one of several rows that the reference gives.
                self._cuts_a_tie(statement, copy) and is_part(given.rows, right.rows, self.tolerance)
            ):
                if copy in HARSH and scaled_before and self._agree_on_wholes(reference, statement, expected):
                    return SqlComparison(True)
                return self._blame(statement, result, reference)
        if witnesses.scaled or (witnesses.moved and related):
            return SqlComparison(True)
        if not witnesses.asked:
            planted = planted if empty else self._compare_planted(reference, statement, equal)
            if planted is not None:
                return planted
            why = "it finds nothing" if empty else "its LIMIT cuts through a tie"
            return SqlComparison(
                equal and structure >= _ALIKE,
                reason=f"could not be checked: of the reference, {why}, here and on altered copies of the database",
            )
        # A count of one stays one wherever it is found: with its own literals in more rows it does not.
        planted = self._compare_planted(reference, statement, equal) if equal and related and not empty else None
        if planted is not None and planted.right:
            return planted
        alike = equal and structure >= _ALIKE and related
        return SqlComparison(alike, reason="could not be checked: no altered copy of the database changes the answer")

    def _know_witnesses(self, reference: SqlStatement, expected: Result, enough: int, related: bool) -> Witnesses:
        """The copies that tell something of a reference, remembered until the file changes."""
        key = (self, *version_of(self.database), reference.sql, enough, related)
        with _lock:
            if key in _witnesses:
                _witnesses.move_to_end(key)
                return _witnesses[key]
        chosen = choose_witnesses(
            lambda copies: self._run_ahead((reference,), copies),
            lambda copy: self.run(reference, copy),
            lambda copy: self.is_loose(reference, copy),
            expected,
            self.tolerance,
            enough,
            related,
        )
        if has_time_left():
            with _lock:
                _witnesses[key] = chosen
                while len(_witnesses) > _REMEMBERED_REFERENCES:
                    _witnesses.popitem(last=False)
        return chosen

    def _agree_on_wholes(self, reference: SqlStatement, statement: SqlStatement, expected: Result) -> bool:
        """Whether two statements of the same conditions agree where wholes go with their parts: a total, and its lines."""
        if set(list_conditions(reference.tokens)) != set(list_conditions(statement.tokens)):
            return False
        moved = 0
        for copy in WHOLE:
            right = self.run(reference, copy)
            if right.status != "ok" or not self._same(reference, right, self.run(statement, copy)):
                return False
            moved += finds_something(right.rows) and right.rows != expected.rows
        return moved > 0

    def _compare_choices(self, reference: SqlStatement, statement: SqlStatement) -> Literal["same", "other", "unknown"]:
        """Whether two extremes, or firsts of a list, are of the same rows; unknown where they order by different words."""
        right, given = find_extreme(reference.tokens), find_extreme(statement.tokens)
        if right is None or given is None:
            return "unknown"
        limits = Limits(self.limits.steps, _MOST_CHOICES, _CHOICES_BYTES)
        alike = (right.measure, right.greatest) == (given.measure, given.greatest)
        asked = [(side.sql if alike else side.ranked, 0) for side in (right, given)]
        results = run_queries(self.database, asked, limits) if all(sql for sql, _ in asked) else []
        if not results or any(each.status != "ok" for each in results):
            return "unknown"
        if not alike:
            return compare_orders(results[0].rows, results[1].rows, right.greatest == given.greatest)
        return compare_choices(results[0].rows, results[1].rows, right.greatest)

    def _blame(self, statement: SqlStatement, result: Result, reference: SqlStatement | None = None) -> SqlComparison:
        """Of a statement that is right here only: chance, or a constant in disguise, whose result no copy changes."""
        naming = compare_naming(self.database, reference.tokens, statement.tokens) if reference is not None else None
        if reference is not None and naming and naming.rows:
            alike = naming.alike and self._agree_by_names(reference, statement, naming)
            if alike:
                return SqlComparison(True)
        others = (self.run(statement, copy) for copy in telling_copies(self.database))
        if all(other.status == "ok" and other.rows == result.rows for other in others):
            return SqlComparison(False, True)
        if reference is not None and self._agree_by_keys(reference, statement, result):
            return SqlComparison(True)
        return SqlComparison(False, reason=_BY_CHANCE)

    def _agree_by_names(self, reference: SqlStatement, statement: SqlStatement, naming: Naming) -> bool:
        """Whether both tell the same rows, one by key and one by name: they find them, and nothing where these are gone."""
        said = {condition.value for condition in list_conditions(statement.tokens)}
        said -= {condition.value for condition in list_conditions(reference.tokens)}
        if any(cell in said for row in self.run(statement).rows for cell in row if isinstance(cell, str)):
            return False  # the answer itself, put where a name belongs
        gone = []
        for name, keys in naming.rows:
            marks = ", ".join("?" * len(keys))
            gone.append(("keep", (name,), (f"{quote_name(name.column)} NOT IN ({marks})", keys)))
        missing = Border(tuple(gone))
        copies: tuple[Copy, ...] = (*BOUND, missing)
        if not all(self._agree(reference, statement, copy) for copy in copies):
            return False
        found = self.run(statement, missing)
        return found.status == "ok" and found.rows != self.run(statement).rows

    def _agree_by_keys(self, reference: SqlStatement, statement: SqlStatement, result: Result) -> bool:
        """Whether one side names rows by their key and the other by their name, and copies that keep the two together agree."""
        right, given = named_columns(reference.tokens), named_columns(statement.tokens)
        relations = know_relations(self.database)
        if not relations.are_linked(right, given) and not relations.are_linked(given, right):
            return False
        moved = 0
        for copy in BOUND:
            wanted = self.run(reference, copy)
            if wanted.status != "ok" or not finds_something(wanted.rows):
                continue
            if not self._same(reference, wanted, self.run(statement, copy)):
                return False
            moved += not is_multiple(result, wanted, self.tolerance) and wanted.rows != result.rows
        return moved > 0

    def _compare_planted(self, reference: SqlStatement, statement: SqlStatement, equal: bool) -> SqlComparison | None:
        """The same on a copy into which the reference's own literals were put; None where that tells nothing."""
        columns, agreed = self.run(reference).columns, False
        for turn in range(_PLANTINGS):
            planting = Planting(reference.tokens, columns, turn)
            right = self.run(reference, planting)
            if right.status != "ok" or not finds_something(right.rows) or self.is_loose(reference, planting):
                continue
            given = self.run(statement, planting)
            if not self._same(reference, right, given):
                constant = given.rows == self.run(statement).rows and "where" not in statement.tokens
                return SqlComparison(
                    False, constant, "finds nothing as the reference does, but not for the same reason"
                )
            agreed = agreed or not same_rows(self.run(reference).rows, right.rows, self.tolerance)
        return SqlComparison(equal) if agreed else None

    def is_loose(self, statement: SqlStatement, copy: Copy) -> bool:
        """Whether the result hangs on the order in which rows are stored: a tie that a LIMIT cuts through, or the like."""
        if self._cuts_a_tie(statement, copy):
            return True
        probed = probe_ties(statement.tokens) is not None
        if not self.ordered and (probed or not _MAY_BE_LOOSE.intersection(statement.tokens)):
            return False
        forwards, backwards = (self.run(statement, copy, turn) for turn in (False, True))
        return forwards.status == backwards.status == "ok" and not self._same(statement, forwards, backwards)

    def _cuts_a_tie(self, statement: SqlStatement, copy: Copy) -> bool:
        """Whether the last row that a LIMIT keeps is as good as the first that it drops."""
        probe = probe_ties(statement.tokens)
        if probe is None:
            return False
        sql, kept = probe
        result = run_query(self.database, sql, self.limits, copy)
        return result.status == "ok" and len(result.rows) > kept > 0 and result.rows[kept - 1] == result.rows[kept]


def _forget() -> None:
    """In a forked process, where another thread may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
