"""Right statements earn 1 however they are written, wrong ones and constants never do: judged by running them on other data."""

from __future__ import annotations

import random
import re
import sqlite3

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.sql.results import finds_something, same_rows
from rewards.types import Completion, Example
from tests.rewards.sql.music import build_music
from tests.rewards.sql.questions import QUESTIONS, Question, hide, rewrite, spoil

SEEDS = (11, 12, 13, 14)


@pytest.fixture(scope="module")
def databases(tmp_path_factory) -> list[str]:
    """The database of the row, and others of the same schema that the reward never sees."""
    folder = tmp_path_factory.mktemp("music")
    return [build_music(folder / f"{seed}.db", seed) for seed in (0, *SEEDS)]


def run(path: str, sql: str) -> list[tuple] | None:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.Error:
        return None
    finally:
        connection.close()


def value_of(path: str, gold: str, text: str, **options: object) -> tuple[float, str]:
    score = SqlQa(**options)(Example("1", "sql_qa", [], gold, {"database": path}), Completion(text))
    return score.value, score.reason


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.gold[:50])
def test_sql_qa_when_a_statement_says_the_same_then_earns_everything(databases, question: Question):
    """Rewrites of the reference and equivalents by hand, over links, totals, dates and windows."""
    for text in (*rewrite(question.gold), *question.same, *(f"```sql\n{same}\n```" for same in question.same)):
        assert value_of(databases[0], question.gold, text) == (1.0, ""), text


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.gold[:50])
def test_sql_qa_when_a_statement_asks_something_else_then_never_earns_half(databases, question: Question):
    """Statements that differ from the reference on this database or on two of the others, by their results there."""
    wrong = 0
    for text in dict.fromkeys((*question.wrong, *spoil(question.gold))):
        pairs = [(run(path, question.gold), run(path, text)) for path in databases]
        if any(given is None for _, given in pairs):
            continue
        differs = [not same_rows(right or [], given or [], 0.005) for right, given in pairs]
        if differs[0] or (sum(differs) >= 2 and text in question.wrong):
            wrong += 1
            assert value_of(databases[0], question.gold, text)[0] <= 0.45, text
    assert wrong >= len(question.wrong)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.gold[:50])
def test_sql_qa_when_a_constant_is_disguised_then_earns_nothing(databases, question: Question):
    """The true answer, stated by one who has seen it; where that is nothing at all, a condition that fails says it too."""
    rows = run(databases[0], question.gold) or []
    if len(rows) != 1 or len(rows[0]) != 1:
        return
    table = re.search(r"FROM (\w+)", question.gold)[1]  # type: ignore[index]
    for text in hide(rows[0][0], table):
        assert run(databases[0], text) == rows
        most = 0.0 if finds_something(rows) else 0.3
        assert value_of(databases[0], question.gold, text)[0] <= most, text


def test_sql_qa_when_clauses_are_drawn_at_random_then_agrees_with_running_on_other_data(databases):
    """Pairs of drawn statements over one table: equal on all databases earns 1, another result here never half."""
    draw = random.Random(5)
    columns = ("total", "invoice_id", "customer_id")
    conditions = (
        "paid = 1",
        "total > 5",
        "total >= 5.01",
        "billing_country = 'USA'",
        "day >= '2023-01-01'",
        "paid <> 0",
    )
    made = []
    for _ in range(24):
        what = draw.choice([f"{name}({column})" for name in ("SUM", "MAX", "AVG", "COUNT") for column in columns])
        made.append(f"SELECT {what} FROM invoice WHERE {draw.choice(conditions)} AND {draw.choice(conditions)}")
    for gold in made[:8]:
        for text in made:
            pairs = [(run(path, gold), run(path, text)) for path in databases]
            same = [same_rows(right or [], given or [], 0.005) for right, given in pairs]
            value, reason = value_of(databases[0], gold, text)
            if all(same):
                assert value == 1.0, (gold, text, reason)
            if not same[0]:
                assert value <= 0.45, (gold, text)
