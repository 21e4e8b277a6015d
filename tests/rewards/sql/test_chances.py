"""Statements that agree because an example database is small: a state of one city, a channel that one state used."""

from __future__ import annotations

import random
import sqlite3

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.types import Completion, Example
from tests.rewards.sql.music import build_music

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


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> str:
    return build_music(tmp_path_factory.mktemp("chances") / "music.db")


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("SELECT MAX(total) FROM invoice", "SELECT MAX(total) FROM invoice WHERE paid = 1"),
        ("SELECT MAX(seconds) FROM track", "SELECT MAX(seconds) FROM track WHERE artist_id > 1"),
        (
            "SELECT billing_country FROM invoice GROUP BY billing_country ORDER BY COUNT(*) DESC LIMIT 1",
            "SELECT billing_country FROM invoice WHERE day >= '2021-02-01' GROUP BY 1 ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY COUNT(*) DESC LIMIT 1",
            "SELECT g.name FROM genre g JOIN track t USING (genre_id) WHERE t.seconds < 470 GROUP BY g.name "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        ("SELECT MAX(total) FROM invoice", "SELECT MAX(total) FROM invoice WHERE total > 5"),
        (
            "SELECT title FROM track ORDER BY seconds DESC, title LIMIT 1",
            "SELECT title FROM track WHERE price < 1.9 ORDER BY seconds DESC, title LIMIT 1",
        ),
    ],
)
def test_sql_qa_when_an_extreme_is_chosen_from_other_rows_then_earns_less_than_half(music, gold, text):
    """A condition that leaves the first where it is still leaves others out: the rows behind it are compared."""
    connection = sqlite3.connect(music)
    if connection.execute(gold).fetchall() == connection.execute(text).fetchall():
        assert (value_of(music, gold, text) or 0.0) < 0.5


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("SELECT MAX(total) FROM invoice", "SELECT MAX(total) FROM invoice WHERE total > 0"),
        ("SELECT MAX(total) FROM invoice", "SELECT total FROM invoice ORDER BY total DESC LIMIT 1"),
        ("SELECT MAX(total) FROM invoice", "SELECT MAX(i.total) FROM invoice i JOIN invoice_line USING (invoice_id)"),
        (
            "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY COUNT(*) DESC LIMIT 1",
            "SELECT g.name FROM genre g LEFT JOIN track t USING (genre_id) GROUP BY g.genre_id ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY COUNT(*) DESC LIMIT 1",
            "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name HAVING COUNT(*) > 3 "
            "ORDER BY COUNT(*) DESC LIMIT 1",
        ),
        (
            "SELECT billing_country FROM invoice GROUP BY billing_country ORDER BY SUM(total) DESC LIMIT 1",
            "SELECT billing_country FROM invoice GROUP BY 1 ORDER BY SUM(total) * 100 DESC LIMIT 1",
        ),
    ],
)
def test_sql_qa_when_only_rows_that_no_choice_reaches_differ_then_earns_everything(music, gold, text):
    """A bound below all others, a join with nothing, a measure in cents."""
    assert value_of(music, gold, text) == 1.0


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        (
            "SELECT COUNT(*) FROM track t JOIN genre g USING (genre_id) WHERE g.name = 'Rock'",
            "SELECT COUNT(*) FROM track WHERE genre_id = 7",
        ),
        (
            "SELECT COUNT(*) FROM track WHERE genre_id IN (1, 2)",
            "SELECT COUNT(*) FROM track t JOIN genre g USING (genre_id) WHERE g.name IN ('Choro', 'Forró')",
        ),
        (
            "SELECT SUM(i.total) FROM invoice i JOIN customer c USING (customer_id) WHERE c.name = 'Customer 29'",
            "SELECT SUM(total) FROM invoice WHERE customer_id = 1",
        ),
    ],
)
def test_sql_qa_when_rows_are_named_by_their_key_instead_of_their_name_then_earns_everything(music, gold, text):
    """The prompt's schema may list the keys; copies where each key keeps its name settle it."""
    assert value_of(music, gold, text) == 1.0


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("SELECT name FROM genre WHERE genre_id = 7", "SELECT name FROM genre WHERE name = 'Rock'"),
        ("SELECT COUNT(*) FROM track WHERE genre_id = 7", "SELECT COUNT(*) FROM track WHERE genre_id = 7 OR price < 0"),
        (
            "SELECT COUNT(*) FROM track t JOIN genre g USING (genre_id) WHERE g.name = 'Rock'",
            "SELECT MAX(CASE WHEN genre_id = 7 THEN {0} END) FROM track",
        ),
    ],
)
def test_sql_qa_when_a_key_only_hides_a_constant_then_earns_nothing_for_the_constant(music, gold, text):
    """Naming the answer itself, or a figure beside a key, says nothing of the rows."""
    connection = sqlite3.connect(music)
    text = text.format(connection.execute(gold).fetchone()[0])
    assert connection.execute(gold).fetchall() == connection.execute(text).fetchall()
    assert value_of(music, gold, text) == (1.0 if "OR" in text else 0.0)


@pytest.mark.parametrize(
    ("gold", "text", "value"),
    [
        ("day >= '2031-01-01'", "day >= '2032-01-01'", 0.45),
        ("day > '2031-06-01'", "day > '2031-06-02'", 0.45),
        ("day = '2031-03-05'", "day = '2031-03-06'", 0.45),
        ("day LIKE '2031%'", "day LIKE '2032%'", 0.45),
        ("day LIKE '2031-05%'", "strftime('%Y-%m', day) = '2031-05'", 1.0),
        ("day >= '2031-01-01'", "CAST(strftime('%Y', day) AS INTEGER) >= 2031", 1.0),
    ],
)
@pytest.mark.parametrize("what", ["COUNT(*)", "SUM(total)", "customer_id"])
def test_sql_qa_when_a_date_finds_nothing_then_another_date_is_not_the_same(music, what, gold, text, value):
    """Dates shifted by decades would let any of them find all rows."""
    given = value_of(music, f"SELECT {what} FROM invoice WHERE {gold}", f"SELECT {what} FROM invoice WHERE {text}")
    assert given == value if value == 1.0 else given <= value


def test_sql_qa_when_a_status_tells_a_gap_then_both_ways_to_ask_are_the_same(tmp_path):
    """Only delivered orders have a day of delivery, so that one condition implies the other."""
    path = tmp_path / "orders.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (order_id INTEGER PRIMARY KEY, status TEXT, delivered TEXT, total REAL)")
    draw = random.Random(3)
    for number in range(1, 200):
        status = draw.choice(["delivered", "delivered", "shipped", "canceled"])
        day = f"2023-{draw.randint(1, 12):02}-11" if status == "delivered" else None
        connection.execute(
            "INSERT INTO orders VALUES (?, ?, ?, ?)", (number, status, day, round(draw.uniform(5, 90), 2))
        )
    connection.commit()
    connection.close()
    gold, text = (
        "SELECT AVG(total) FROM orders WHERE status = 'delivered'",
        "SELECT AVG(total) FROM orders WHERE delivered IS NOT NULL",
    )
    assert value_of(str(path), gold, text) == value_of(str(path), text, gold) == 1.0
