"""Reward for a question answered in SQL: the SELECT is run, and its result compared with that of the reference's."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from rewards.hookspecs import hookimpl
from rewards.screen.allowed import show_value
from rewards.sql.comparing import Comparer
from rewards.sql.copies import fill_if_empty
from rewards.sql.outlines import likeness, outline, words_of
from rewards.sql.quotes import settle_quotes
from rewards.sql.results import finds_something
from rewards.sql.sandbox import Limits, spending
from rewards.sql.statements import SqlStatement, find_answer, find_statement
from rewards.text.portuguese import fold
from rewards.types import Completion, Example, RewardFunction, Score

_PARTS = ("executes", "tables", "structure", "terms", "result")


class SqlQa(RewardFunction):
    """1 for a SELECT with the right result; less than half for one that runs over the right table and is only like it.

    Never pays for a number that is near, for a constant, nor for a result that is right only by chance: an equal result
    is checked again on altered copies of the database.
    """

    name: ClassVar[str] = "sql_qa"
    version: ClassVar[str] = "8"
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
            problems.append(f"terms: {show_value(terms)}; give a list of words that the right SQL uses")
        statement = find_statement(example.reference or "")
        if statement.sql is None:
            problems.append(f"reference: {statement.reason}; write one SELECT")
        if problems:
            return problems
        try:
            statement = settle_quotes(statement, os.fspath(example.columns["database"]))
            if outline(statement.tokens).constant:
                problems.append("reference: selects no column and counts nothing; a constant proves nothing")
            result = self._comparer(example).run(statement)
        except (OSError, sqlite3.Error) as error:
            return [*problems, f"database: cannot be read as SQLite: {error}"]
        if result.status != "ok":
            problems.append(f"reference: does not run: {result.message}")
        elif not result.tables:
            problems.append("reference: reads no table")
        return problems

    def warnings(self, example: Example) -> list[str]:
        reference, database = _read_reference(example), os.fspath(example.columns["database"])
        result = self._comparer(example).run(reference)
        found = []
        # Tables without rows are filled before anything is compared.
        if not finds_something(result.rows) and not fill_if_empty(database, result.sources):
            found.append(
                "reference: finds nothing (no rows, NULL or 0), as an impossible condition does too; "
                "ask for something that is there"
            )
        if self._comparer(example).is_loose(reference, 0):
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
        statement = settle_quotes(statement, os.fspath(example.columns["database"]))
        reference = _read_reference(example)
        comparer = self._comparer(example)
        expected = comparer.run(reference)
        if expected.status != "ok":
            raise ValueError(f"the reference does not run: {expected.message}")
        result = comparer.run(statement)
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
        found = comparer.compare((reference, expected), (statement, result), structure)
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

    def _comparer(self, example: Example) -> Comparer:
        return Comparer(
            os.fspath(example.columns["database"]),
            Limits(self.maximum_steps, self.maximum_rows, self.maximum_bytes),
            self.tolerance,
            self.ordered,
            self.columns == "any",
            self.check_altered,
        )


def _read_reference(example: Example) -> SqlStatement:
    return settle_quotes(find_statement(example.reference or ""), os.fspath(example.columns["database"]))


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
