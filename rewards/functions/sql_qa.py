"""Reward for a question answered in SQL: the SELECT is run, and its result compared with that of the reference's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from rewards.hookspecs import hookimpl
from rewards.sql.sandbox import Limits, Result, can_alter, finds_something, run_query, same_rows
from rewards.sql.statements import Statement, find_statement, likeness, outline, probe_ties, words_of
from rewards.text.portuguese import fold
from rewards.types import Completion, Example, RewardFunction, Score

_COPIES = (1, 2, 3, 4, 5)
_WITNESSES = 3
_ALIKE = 0.7
_PARTS = ("executes", "tables", "structure", "terms", "result")


class SqlQa(RewardFunction):
    """1 for a SELECT with the right result; less than half for one that runs over the right table and is only like it.

    Never pays for a number that is near, for a constant, nor for a result that is right only by chance: an equal result
    is checked again on an altered copy of the database.
    """

    name: ClassVar[str] = "sql_qa"
    version: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("sql_qa",)

    executes_share: float = Field(0.15, ge=0, le=1, description="For a SELECT that runs over a table, but is wrong.")
    tables_share: float = Field(0.05, ge=0, le=1, description="Added for reading the reference's tables, when wrong.")
    structure_share: float = Field(0.2, ge=0, le=1, description="Added for the reference's clauses, when wrong.")
    terms_share: float = Field(0.05, ge=0, le=1, description="Added for the row's domain terms, when wrong.")
    broken_share: float = Field(0.1, ge=0, le=1, description="Times the structure, for a SELECT that does not run.")
    wrapped: float = Field(0.95, ge=0, le=1, description="Factor for a SELECT with prose around it.")
    tolerance: float = Field(0.005, ge=0, description="Difference up to which two numbers of a result are the same.")
    check_altered: bool = Field(True, description="Check an equal result again on an altered copy of the database.")
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

    def __call__(self, example: Example, completion: Completion) -> Score:
        statement = find_statement(completion.text)
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
        tables = len(expected.tables & result.tables) / len(expected.tables | result.tables)
        # Reading the tables behind the reference's view is another way to the same answer.
        reads_the_data = bool(expected.sources & result.sources) and not outline(statement.tokens).constant
        if not reads_the_data:
            return _score(0.0, "a constant: nothing in its result comes from the right tables", executes=1.0)
        parts = {"executes": 1.0, "tables": tables, "structure": structure, "terms": terms}
        reason = result.message or "another result than the reference's"
        if result.status == "ok" and same_rows(expected.rows, result.rows, self.tolerance):
            if self._holds_elsewhere(example, reference, statement, structure):
                return _score(wrapped, "text around the statement" if statement.wrapped else "", **parts, result=1.0)
            reason = "right by chance: another result than the reference's on an altered copy of the database"
        value = (
            self.executes_share
            + self.tables_share * tables
            + self.structure_share * structure
            + self.terms_share * terms
        )
        return _score(value * wrapped, reason, **parts)

    def _run(self, example: Example, statement: Statement, altered: int = 0) -> Result:
        return run_query(os.fspath(example.columns["database"]), statement.sql or "", self._limits(), altered)

    def _holds_elsewhere(self, example: Example, reference: Statement, statement: Statement, structure: float) -> bool:
        """Whether an equal result is more than chance: both statements agree on altered copies of the database too.

        Not asked of the reference's own words. A copy where the reference finds nothing, or a tie that its LIMIT breaks
        either way, tells nothing; where no copy tells anything, the clauses must be alike.
        """
        database = os.fspath(example.columns["database"])
        if not self.check_altered or statement.tokens == reference.tokens or not can_alter(database):
            return True
        witnesses = 0
        for copy in _COPIES:
            expected = self._run(example, reference, copy)
            if expected.status != "ok" or not finds_something(expected.rows) or self._ties(example, reference, copy):
                continue
            result = self._run(example, statement, copy)
            if result.status != "ok" or not same_rows(expected.rows, result.rows, self.tolerance):
                return False
            witnesses += 1
            if witnesses == _WITNESSES:
                break
        return witnesses > 0 or structure >= _ALIKE

    def _ties(self, example: Example, reference: Statement, copy: int) -> bool:
        """Whether the last row that the reference's LIMIT keeps is as good as the first that it drops."""
        probe = probe_ties(reference.tokens)
        if probe is None:
            return False
        sql, kept = probe
        result = run_query(os.fspath(example.columns["database"]), sql, self._limits(), copy)
        return result.status == "ok" and len(result.rows) > kept and result.rows[kept - 1] == result.rows[kept]

    def _limits(self) -> Limits:
        return Limits(self.maximum_steps, self.maximum_rows, self.maximum_bytes)


def _share_of_terms(terms: Sequence[str], statement: Statement) -> float:
    words = words_of(statement.tokens)
    folded = frozenset(fold(word) for word in words)
    # A term counts when all its words are there: `customer_state`, `São Paulo`.
    hits = sum(all(word in folded for word in words_of((fold(term),))) for term in terms)
    return hits / len(terms) if terms else 1.0


def _score(value: float, reason: str, **parts: float) -> Score:
    return Score(value, reason, {**dict.fromkeys(_PARTS, 0.0), **parts})


@hookimpl
def register_rewards(register):
    register(SqlQa)
