"""Reward for a question answered in SQL: the SELECT is run, and its result compared with that of the reference's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from rewards.hookspecs import hookimpl
from rewards.sql.altered import BOUND, GENTLE, HARSH, LARGEST_BYTES, SCALES, can_alter, know_relations, telling_copies
from rewards.sql.extremes import compare_choices, find_extreme
from rewards.sql.outlines import likeness, named_columns, outline, words_of
from rewards.sql.planted import Planting
from rewards.sql.results import finds_something, is_part, same_rows
from rewards.sql.sandbox import Limits, Result, run_queries, run_query, spending
from rewards.sql.statements import SqlStatement, find_answer, find_statement
from rewards.sql.ties import probe_ties
from rewards.text.portuguese import fold
from rewards.types import Completion, Example, RewardFunction, Score

_WITNESSES, _MOVED = 3, 2
"""Copies on which both statements must agree, and those of them on which the answer must have become another one."""

_TOP_WITNESSES = 5
"""The same for the first of a list or an extreme, which many another order or condition leaves in its place."""

_ONE_ROW_TELLS = frozenset({"limit", "max", "min"})

_MOST_CHOICES, _CHOICES_BYTES = 20_000, 2_000_000
"""Rows, and their bytes, that an extreme may be chosen from, to be looked at."""

_SCALED = 5
_PLANTINGS = 2
_ALIKE = 0.7
_PARTS = ("executes", "tables", "structure", "terms", "result")
_MAY_BE_LOOSE = frozenset({"limit", "row_number", "first_value", "last_value", "nth_value", "group_concat"})


class SqlQa(RewardFunction):
    """1 for a SELECT with the right result; less than half for one that runs over the right table and is only like it.

    Never pays for a number that is near, for a constant, nor for a result that is right only by chance: an equal result
    is checked again on altered copies of the database.
    """

    name: ClassVar[str] = "sql_qa"
    version: ClassVar[str] = "4"
    tasks: ClassVar[tuple[str, ...]] = ("sql_qa",)

    executes_share: float = Field(0.15, ge=0, le=1, description="For a SELECT that runs over a table, but is wrong.")
    tables_share: float = Field(0.05, ge=0, le=1, description="Added for reading the reference's tables, when wrong.")
    structure_share: float = Field(0.2, ge=0, le=1, description="Added for the reference's clauses, when wrong.")
    terms_share: float = Field(0.05, ge=0, le=1, description="Added for the row's domain terms, when wrong.")
    broken_share: float = Field(0.1, ge=0, le=1, description="Times the structure, for a SELECT that does not run.")
    wrapped: float = Field(0.95, ge=0, le=1, description="Factor for a SELECT with prose around it.")
    tolerance: float = Field(0.005, ge=0, description="Difference up to which two numbers of a result are the same.")
    ordered: bool = Field(False, description="Rows must come in the order that the reference's ORDER BY gives.")
    columns: Literal["as given", "any"] = Field(
        "as given", description="Order of the columns: as given by the reference, or any."
    )
    check_altered: bool = Field(True, description="Check an equal result again on altered copies of the database.")
    maximum_steps: int = Field(10_000_000, ge=1_000, description="SQLite's steps that a statement may take.")
    maximum_rows: int = Field(500, ge=1, description="Rows that a result may have.")
    maximum_bytes: int = Field(20_000, ge=1, description="Bytes that a result may have.")

    @model_validator(mode="after")
    def _keep_wrong_below_right(self) -> SqlQa:
        total = self.executes_share + self.tables_share + self.structure_share + self.terms_share
        if total > 0.9:
            raise ValueError(f"the shares of a wrong statement add up to {total:g}; keep them at 0.9 or less")
        return self

    def problems(self, example: Example) -> list[str]:
        problems = []
        database = example.columns.get("database")
        if not isinstance(database, (str, os.PathLike)):
            problems.append("database: missing; give the path of a SQLite file")
        elif not os.path.isfile(database):
            problems.append(f"database: no such file: {database}")
        terms = example.columns.get("terms", ())
        if (
            isinstance(terms, str)
            or not isinstance(terms, Sequence)
            or not all(isinstance(term, str) for term in terms)
        ):
            problems.append(f"terms: {terms!r}; give a list of words that the right SQL uses")
        statement = find_statement(example.reference or "")
        if statement.sql is None:
            problems.append(f"reference: {statement.reason}; write one SELECT")
        if problems:
            return problems
        if outline(statement.tokens).constant:
            problems.append("reference: selects no column and counts nothing; a constant proves nothing")
        try:
            result = self._run(example, statement)
        except (OSError, sqlite3.Error) as error:
            return [*problems, f"database: cannot be read as SQLite: {error}"]
        if result.status != "ok":
            problems.append(f"reference: does not run: {result.message}")
        elif not result.tables:
            problems.append("reference: reads no table")
        return problems

    def warnings(self, example: Example) -> list[str]:
        reference = find_statement(example.reference or "")
        result = self._run(example, reference)
        found = []
        if not finds_something(result.rows):
            found.append(
                "reference: finds nothing (no rows, NULL or 0), as an impossible condition does too; "
                "ask for something that is there"
            )
        if self._is_loose(example, reference, 0):
            found.append(
                "reference: its LIMIT or its order cuts through a tie, so that other rows are as right; "
                "order by one more column"
            )
        return found

    def __call__(self, example: Example, completion: Completion) -> Score:
        with spending():
            return self._score(example, completion)

    def _score(self, example: Example, completion: Completion) -> Score:
        statement = find_answer(completion)
        if statement.sql is None:
            return _score(0.0, statement.reason)
        reference = find_statement(example.reference or "")
        expected = self._run(example, reference)
        if expected.status != "ok":
            raise ValueError(f"the reference does not run: {expected.message}")
        result = self._run(example, statement)
        wrapped = self.wrapped if statement.wrapped else 1.0
        structure = likeness(outline(reference.tokens), outline(statement.tokens))
        terms = _share_of_terms(example.columns.get("terms", ()), statement)
        if result.status == "error":
            return _score(
                self.broken_share * structure * wrapped, f"does not run: {result.message}", structure=structure
            )
        nothing = _score(0.0, "a constant: nothing in its result comes from the right tables", executes=1.0)
        if not result.sources or outline(statement.tokens).constant:
            return nothing
        tables = len(expected.tables & result.tables) / len(expected.tables | result.tables)
        parts = {"executes": 1.0, "tables": tables, "structure": structure, "terms": terms}
        found = self._compare(example, (reference, expected), (statement, result), structure)
        if found.right:
            reason = "; ".join(filter(None, ("text around the statement" if statement.wrapped else "", found.reason)))
            return _score(wrapped, reason, **parts, result=1.0)
        # Reading the tables behind the reference's view is another way to the same answer.
        if found.constant or not expected.sources & result.sources:
            return nothing
        value = (
            self.executes_share
            + self.tables_share * tables
            + self.structure_share * structure
            + self.terms_share * terms
        )
        return _score(value * wrapped, result.message or found.reason, **parts)

    def _run(
        self, example: Example, statement: SqlStatement, altered: int | Planting = 0, backwards: bool = False
    ) -> Result:
        database = os.fspath(example.columns["database"])
        return run_query(database, statement.sql or "", self._limits(), altered, backwards)

    def _run_ahead(self, example: Example, statements: Sequence[SqlStatement], copies: Sequence[int]) -> None:
        """Have the results at hand that are asked for one by one next."""
        database = os.fspath(example.columns["database"])
        run_queries(database, [(each.sql or "", copy) for each in statements for copy in copies], self._limits())

    def _same(self, reference: SqlStatement, expected: Result, result: Result) -> bool:
        ordered = self.ordered and "order" in reference.tokens
        return result.status == "ok" and same_rows(
            expected.rows, result.rows, self.tolerance, ordered, self.columns == "any"
        )

    def _compare(self, example: Example, right_side: _Side, given_side: _Side, structure: float) -> _Comparison:
        """Whether a statement gives what the reference gives: here, and where the database is another one.

        A copy where the reference finds nothing, or where a LIMIT cuts through a tie, tells nothing. Where no copy tells
        anything, the clauses must be alike. The reference's own words are right without being asked.
        """
        (reference, expected), (statement, result) = right_side, given_side
        equal = self._same(reference, expected, result)
        if statement.tokens == reference.tokens and equal:
            return _Comparison(True)
        if not equal and (result.status != "ok" or not self._is_loose(example, reference, 0)):
            return _Comparison(False, reason="another result than the reference's")
        if not self.check_altered or not can_alter(os.fspath(example.columns["database"])):
            unchecked = f"not checked on copies: the database is larger than {LARGEST_BYTES >> 20} MiB"
            other = "" if equal else "another result than the reference's"
            return _Comparison(equal, reason=other or (unchecked if self.check_altered else ""))
        choice = self._compare_choices(example, reference, statement)
        if choice == "other":
            return self._blame(example, statement, result)
        empty = not finds_something(expected.rows)
        planted = self._compare_planted(example, reference, statement, equal) if empty else None
        if planted is not None and not planted.right:
            # Where nothing is there, dates of another century let any later day find what the reference finds.
            return planted
        # Other tables may hold the same values, such as lines those of their invoices; the same number of rows is chance.
        related = bool(expected.sources & result.sources) or know_relations(
            os.fspath(example.columns["database"])
        ).share_values(expected.columns, result.columns)
        one_row = choice != "same" and not _ONE_ROW_TELLS.isdisjoint(reference.tokens)
        enough = _TOP_WITNESSES if one_row else _WITNESSES
        told, moved, scaled = 0, 0, False
        self._run_ahead(example, (reference, statement), tuple(GENTLE)[:_WITNESSES])
        for copy in (*GENTLE, *HARSH, *BOUND):
            if copy not in GENTLE and (moved >= _MOVED or (moved and told >= enough)):
                break
            if copy in BOUND and moved:
                break
            right = self._run(example, reference, copy)
            if right.status != "ok" or not finds_something(right.rows) or self._is_loose(example, reference, copy):
                continue
            given = self._run(example, statement, copy)
            if not self._same(reference, right, given) and not (
                # Where its own LIMIT cuts through a tie, it may have one of several rows that the reference gives.
                self._cuts_a_tie(example, statement, copy) and is_part(given.rows, right.rows, self.tolerance)
            ):
                return self._blame(example, statement, result, reference)
            told += 1
            if not same_rows(expected.rows, right.rows, self.tolerance):
                # One factor for all figures, or another century, tells nothing of which rows were chosen.
                only_scaled = copy == _SCALED or _is_multiple(expected, right, self.tolerance)
                moved += not only_scaled
                scaled = scaled or only_scaled
            if told >= enough and moved >= _MOVED and related:
                break
        if scaled or (moved and related):
            return _Comparison(True)
        if not told:
            planted = planted if empty else self._compare_planted(example, reference, statement, equal)
            if planted is not None:
                return planted
            why = "it finds nothing" if empty else "its LIMIT cuts through a tie"
            return _Comparison(
                equal and structure >= _ALIKE,
                reason=f"could not be checked: of the reference, {why}, here and on altered copies of the database",
            )
        alike = equal and structure >= _ALIKE and related
        return _Comparison(alike, reason="could not be checked: no altered copy of the database changes the answer")

    def _compare_choices(
        self, example: Example, reference: SqlStatement, statement: SqlStatement
    ) -> Literal["same", "other", "unknown"]:
        """Whether two extremes, or firsts of a list, are of the same rows; unknown where they order by different words."""
        right, given = find_extreme(reference.tokens), find_extreme(statement.tokens)
        if right is None or given is None or right[1:] != given[1:]:
            return "unknown"
        limits = Limits(self.maximum_steps, _MOST_CHOICES, _CHOICES_BYTES)
        results = run_queries(os.fspath(example.columns["database"]), [(right.sql, 0), (given.sql, 0)], limits)
        if any(each.status != "ok" for each in results):
            return "unknown"
        return compare_choices(results[0].rows, results[1].rows, right.greatest)

    def _blame(
        self, example: Example, statement: SqlStatement, result: Result, reference: SqlStatement | None = None
    ) -> _Comparison:
        """Of a statement that is right here only: chance, or a constant in disguise, whose result no copy changes."""
        database = os.fspath(example.columns["database"])
        others = (self._run(example, statement, copy) for copy in telling_copies(database))
        if all(other.status == "ok" and other.rows == result.rows for other in others):
            return _Comparison(False, True)
        if reference is not None and self._agree_by_keys(example, reference, statement, result):
            return _Comparison(True)
        return _Comparison(
            False, reason="right by chance: another result than the reference's on an altered copy of the database"
        )

    def _agree_by_keys(
        self, example: Example, reference: SqlStatement, statement: SqlStatement, result: Result
    ) -> bool:
        """Whether one side names rows by their key and the other by their name, and copies that keep the two together agree."""
        right, given = named_columns(reference.tokens), named_columns(statement.tokens)
        relations = know_relations(os.fspath(example.columns["database"]))
        if not relations.are_linked(right, given) and not relations.are_linked(given, right):
            return False
        moved = 0
        for copy in BOUND:
            wanted = self._run(example, reference, copy)
            if wanted.status != "ok" or not finds_something(wanted.rows):
                continue
            if not self._same(reference, wanted, self._run(example, statement, copy)):
                return False
            moved += not _is_multiple(result, wanted, self.tolerance) and wanted.rows != result.rows
        return moved > 0

    def _compare_planted(
        self, example: Example, reference: SqlStatement, statement: SqlStatement, equal: bool
    ) -> _Comparison | None:
        """The same on a copy into which the reference's own literals were put; None where that tells nothing."""
        columns, agreed = self._run(example, reference).columns, False
        for turn in range(_PLANTINGS):
            planting = Planting(reference.tokens, columns, turn)
            right = self._run(example, reference, planting)
            if right.status != "ok" or not finds_something(right.rows) or self._is_loose(example, reference, planting):
                continue
            given = self._run(example, statement, planting)
            if not self._same(reference, right, given):
                constant = given.rows == self._run(example, statement).rows and "where" not in statement.tokens
                return _Comparison(False, constant, "finds nothing as the reference does, but not for the same reason")
            agreed = True
        return _Comparison(equal) if agreed else None

    def _is_loose(self, example: Example, statement: SqlStatement, copy: int | Planting) -> bool:
        """Whether the result hangs on the order in which rows are stored: a tie that a LIMIT cuts through, or the like."""
        if self._cuts_a_tie(example, statement, copy):
            return True
        probed = probe_ties(statement.tokens) is not None
        if not self.ordered and (probed or not _MAY_BE_LOOSE.intersection(statement.tokens)):
            return False
        forwards, backwards = (self._run(example, statement, copy, turn) for turn in (False, True))
        return forwards.status == backwards.status == "ok" and not self._same(statement, forwards, backwards)

    def _cuts_a_tie(self, example: Example, statement: SqlStatement, copy: int | Planting) -> bool:
        """Whether the last row that a LIMIT keeps is as good as the first that it drops."""
        probe = probe_ties(statement.tokens)
        if probe is None:
            return False
        sql, kept = probe
        result = run_query(os.fspath(example.columns["database"]), sql, self._limits(), copy)
        return result.status == "ok" and len(result.rows) > kept > 0 and result.rows[kept - 1] == result.rows[kept]

    def _limits(self) -> Limits:
        return Limits(self.maximum_steps, self.maximum_rows, self.maximum_bytes)


_Side = tuple[SqlStatement, Result]


class _Comparison(NamedTuple):
    right: bool
    constant: bool = False
    reason: str = ""


def _is_multiple(expected: Result, right: Result, tolerance: float) -> bool:
    """Whether a result is another one with all its numbers multiplied by one factor."""
    return any(
        same_rows(
            [
                tuple(value * factor if isinstance(value, (int, float)) else value for value in row)
                for row in expected.rows
            ],
            right.rows,
            tolerance,
        )
        for factor in SCALES
    )


def _share_of_terms(terms: Sequence[str], statement: SqlStatement) -> float:
    folded = _fold_words(statement.tokens)
    # A term counts when all its words are there: `customer_state`, `São Paulo`.
    hits = sum(all(word in folded for word in words_of((fold(term),))) for term in terms)
    return hits / len(terms) if terms else 1.0


@lru_cache(maxsize=4096)
def _fold_words(tokens: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(fold, words_of(tokens)))


def _score(value: float, reason: str, **parts: float) -> Score:
    return Score(value, reason, {**dict.fromkeys(_PARTS, 0.0), **parts})


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(SqlQa)
