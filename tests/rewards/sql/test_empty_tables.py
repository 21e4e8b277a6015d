"""sql_qa on a schema without rows, as public text-to-SQL sets ship it: conditions are told apart on made-up rows."""

from __future__ import annotations

import sqlite3

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.sql.filled import ROWS, open_filled
from rewards.types import Completion, Example

SCHEMA = """
CREATE TABLE head (head_ID INTEGER, name VARCHAR, born_state VARCHAR, age INTEGER);
CREATE TABLE department (department_id INTEGER, name VARCHAR, creation VARCHAR, ranking INTEGER, budget_in_billions REAL);
CREATE TABLE management (department_id INTEGER, head_id INTEGER, temporary_acting VARCHAR);
CREATE TABLE flights (flight_no VARCHAR, origin VARCHAR, dep_date DATE, price REAL);
CREATE TABLE table_name_72 (year VARCHAR, winner VARCHAR, age VARCHAR);
"""
JOINED = (
    "SELECT DISTINCT d.creation FROM department AS d JOIN management AS m ON d.department_id = m.department_id "
    "JOIN head AS h ON m.head_id = h.head_ID WHERE h.born_state = 'Alabama'"
)
# A reference, statements that ask the same, statements that do not.
CASES = [
    (
        "SELECT COUNT(*) FROM head WHERE age > 56",
        ["SELECT COUNT(1) FROM head WHERE 56 < age"],
        ["SELECT COUNT(*) FROM head WHERE age < 56", "SELECT COUNT(*) FROM head WHERE age >= 56", "SELECT COUNT(*) FROM head"],
    ),
    (
        "SELECT MAX(budget_in_billions), MIN(budget_in_billions) FROM department",
        ["SELECT max(d.budget_in_billions), min(d.budget_in_billions) FROM department d"],
        ["SELECT MAX(ranking), MIN(ranking) FROM department"],
    ),
    (
        "SELECT COUNT(*) FROM department WHERE NOT department_id IN (SELECT department_id FROM management)",
        [
            "SELECT COUNT(*) FROM department d LEFT JOIN management m ON d.department_id = m.department_id "
            "WHERE m.department_id IS NULL",
        ],
        ["SELECT COUNT(*) FROM department WHERE department_id IN (SELECT department_id FROM management)"],
    ),
    (
        JOINED,
        [
            "SELECT DISTINCT creation FROM department WHERE department_id IN (SELECT department_id FROM management "
            "WHERE head_id IN (SELECT head_ID FROM head WHERE born_state = 'Alabama'))",
        ],
        [JOINED.replace("Alabama", "Texas"), "SELECT DISTINCT creation FROM department"],
    ),
    (
        "SELECT born_state FROM head GROUP BY born_state HAVING COUNT(*) >= 3",
        ["SELECT born_state FROM (SELECT born_state, COUNT(*) AS n FROM head GROUP BY born_state) WHERE n >= 3"],
        ["SELECT born_state FROM head GROUP BY born_state HAVING COUNT(*) >= 4", "SELECT DISTINCT born_state FROM head"],
    ),
    (
        "SELECT winner FROM table_name_72 WHERE year = '1998'",
        ["SELECT t.winner FROM table_name_72 t WHERE t.year = 1998"],
        ["SELECT winner FROM table_name_72 WHERE year = '1999'", "SELECT winner FROM table_name_72"],
    ),
    (
        "SELECT AVG(price) FROM flights WHERE origin = 'GRU' AND dep_date >= '2023-01-01'",
        ["SELECT SUM(price) / COUNT(price) FROM flights WHERE dep_date >= '2023-01-01' AND origin = 'GRU'"],
        [
            "SELECT AVG(price) FROM flights WHERE origin = 'GRU'",
            "SELECT AVG(price) FROM flights WHERE origin = 'GRU' AND dep_date >= '2024-01-01'",
        ],
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("empty") / "schema.db"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    connection.close()
    return str(path)


@pytest.mark.parametrize(("reference", "right", "wrong"), CASES, ids=range(len(CASES)))
def test_statement_when_tables_are_empty_then_only_what_asks_the_same_is_right(database, reference, right, wrong):
    """Without rows every one of them gives nothing."""
    example = Example("1", "sql_qa", [{"role": "user", "content": "?"}], reference, {"database": database})
    grade = SqlQa()
    assert [grade(example, Completion(sql)).value for sql in (reference, *right)] == [1.0] * (1 + len(right))
    assert all(grade(example, Completion(sql)).value < 0.5 for sql in wrong)


def test_open_filled_when_some_tables_have_rows_then_these_stay_as_they_are(tmp_path):
    """Keys of an empty table count from one, references are among them, what a check refuses is left out."""
    path = tmp_path / "some.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO city VALUES (7, 'Natal');"
        "CREATE TABLE shop (shop_id INTEGER PRIMARY KEY, size INTEGER CHECK (size < 50));"
        "CREATE TABLE sale (sale_id INTEGER PRIMARY KEY, shop_id INTEGER REFERENCES shop (shop_id), day DATE NOT NULL);"
        "CREATE TABLE shut (a INTEGER CHECK (a < 0));"
    )
    connection.close()
    filled = open_filled(str(path))
    assert filled.execute("SELECT * FROM city").fetchall() == [(7, "Natal")]
    assert 0 < filled.execute("SELECT COUNT(*) FROM shop").fetchone()[0] < ROWS
    assert filled.execute("SELECT COUNT(*), MIN(sale_id), MAX(sale_id) FROM sale").fetchone() == (ROWS, 1, ROWS)
    assert filled.execute("SELECT COUNT(DISTINCT shop_id) > 5 FROM sale WHERE shop_id BETWEEN 1 AND 40").fetchone()[0]
    assert filled.execute("SELECT COUNT(*) FROM shut").fetchone()[0] == 0
    again = open_filled(str(path))
    assert list(again.iterdump()) == list(filled.iterdump())
