"""Statements that agree because an example database is small: a state of one city, a channel that one state used."""

from __future__ import annotations

import random
import sqlite3

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.types import Completion, Example

CITIES = {"Manaus": "AM", "Campinas": "SP", "Santos": "SP", "Sorocaba": "SP", "Niterói": "RJ", "Rio": "RJ"}
PLANS = {"b": "básico", "p": "plus", "m": "máximo"}


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """Customers in cities of states, with plans that have a code and a name; orders whose channel follows the state by chance."""
    path = tmp_path_factory.mktemp("chances") / "shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, name TEXT, city TEXT, state TEXT, plan_code TEXT, plan TEXT);"
        "CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer, channel TEXT, total REAL);"
    )
    draw = random.Random(4)
    for number in range(1, 121):
        city, code = draw.choice(list(CITIES)), draw.choice(list(PLANS))
        row = (number, f"cliente {number}", city, CITIES[city], code, PLANS[code])
        connection.execute("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?)", row)
        for _ in range(3):
            channel = "app" if CITIES[city] == "SP" else draw.choice(["site", "loja"])
            order = (number, channel, round(draw.uniform(5, 200), 2))
            connection.execute("INSERT INTO orders (customer_id, channel, total) VALUES (?, ?, ?)", order)
    connection.commit()
    connection.close()
    return str(path)


def value_of(database: str, gold: str, text: str) -> float | None:
    return SqlQa()(Example("1", "sql_qa", [], gold, {"database": database}), Completion(text)).value


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("SELECT COUNT(*) FROM customer WHERE state = 'AM'", "SELECT COUNT(*) FROM customer WHERE city = 'Manaus'"),
        ("SELECT name FROM customer WHERE city = 'Manaus'", "SELECT name FROM customer WHERE state = 'AM'"),
        (
            "SELECT SUM(total) FROM orders WHERE channel = 'app'",
            "SELECT SUM(o.total) FROM orders o JOIN customer c USING (customer_id) WHERE c.state = 'SP'",
        ),
        (
            "SELECT COUNT(*) FROM orders o JOIN customer c USING (customer_id) WHERE c.state = 'SP'",
            "SELECT COUNT(*) FROM orders WHERE channel = 'app'",
        ),
    ],
)
def test_sql_qa_when_two_conditions_hold_for_the_same_rows_by_chance_then_earns_less_than_half(database, gold, text):
    """Cities are split and references dealt anew in the copies, so that only what a schema implies stays the same."""
    connection = sqlite3.connect(database)
    assert connection.execute(gold).fetchall() == connection.execute(text).fetchall()
    assert (value_of(database, gold, text) or 0.0) < 0.5


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("SELECT COUNT(*) FROM customer WHERE plan_code = 'p'", "SELECT COUNT(*) FROM customer WHERE plan = 'plus'"),
        (
            "SELECT SUM(o.total) FROM orders o JOIN customer c USING (customer_id) WHERE c.state = 'SP'",
            "SELECT SUM(total) FROM orders WHERE customer_id IN (SELECT customer_id FROM customer WHERE state = 'SP')",
        ),
        (
            "SELECT c.city, COUNT(*) FROM customer c GROUP BY c.city",
            "SELECT city, SUM(1) FROM customer GROUP BY state, city",
        ),
        (
            "SELECT c.name, SUM(o.total) FROM customer c JOIN orders o USING (customer_id) GROUP BY c.customer_id",
            "SELECT name, (SELECT SUM(total) FROM orders o WHERE o.customer_id = c.customer_id) FROM customer c",
        ),
    ],
)
def test_sql_qa_when_a_schema_implies_that_two_statements_agree_then_earns_everything(database, gold, text):
    """A code and its name, a join and a sub-query, a finer grouping that is the same one."""
    assert value_of(database, gold, text) == 1.0
