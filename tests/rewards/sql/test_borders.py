"""Conditions that no row of the file tells: rows are moved onto their literals and past them, and what names rows is compared."""

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.sql.conditions import LiteralCondition, list_conditions
from rewards.sql.tokens import tokenise
from rewards.types import Completion, Example
from tests.rewards.sql.music import build_music


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> str:
    return build_music(tmp_path_factory.mktemp("borders") / "music.db", 0)


def value_of(path: str, reference: str, text: str) -> float:
    return SqlQa()(Example("1", "sql_qa", [], reference, {"database": path}), Completion(text)).value


COUNT, LONGEST = "SELECT COUNT(*) FROM invoice", "SELECT title FROM track ORDER BY seconds DESC, track_id LIMIT 1"
YEAR = "SELECT COUNT(*) FROM invoice WHERE day >= '2023-01-01' AND day < '2024-01-01'"


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (COUNT, f"{COUNT} WHERE total < 1000"),
        (COUNT, f"{COUNT} WHERE total <= 16.5"),
        (COUNT, f"{COUNT} WHERE day >= '2001-01-01'"),
        (COUNT, f"{COUNT} WHERE day < '2099-01-01'"),
        (COUNT, f"{COUNT} WHERE billing_country <> 'Japan'"),
        (COUNT, f"{COUNT} WHERE invoice_id < 100000"),
        (f"{COUNT} WHERE total < 1000", COUNT),
        (f"{COUNT} WHERE billing_country = 'Brazil'", f"{COUNT} WHERE billing_country = 'Brazil' AND total < 1000"),
        ("SELECT AVG(seconds) FROM track", "SELECT AVG(seconds) FROM track WHERE seconds < 90000"),
        ("SELECT MAX(total) FROM invoice", "SELECT MAX(total) FROM invoice WHERE total > 16"),
        ("SELECT name FROM customer WHERE customer_id = 3", "SELECT name FROM customer WHERE customer_id < 4 AND customer_id > 2 AND customer_id < 90 OR 1 = 0 LIMIT 1 OFFSET 3"),
    ],
)  # fmt: skip
def test_sql_qa_when_a_condition_holds_for_every_row_of_the_file_then_it_is_told(music, reference, text):
    """A bound that no row reaches, a label that none has, a key that none exceeds; had or lacked by one side only."""
    assert value_of(music, reference, text) < 0.5


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (COUNT, f"{COUNT} WHERE total > -1"),
        (COUNT, f"{COUNT} WHERE total >= 0"),
        (COUNT, f"{COUNT} WHERE 1 = 1"),
        (COUNT, f"{COUNT} WHERE invoice_id IS NOT NULL AND invoice_id > 0"),
        (f"{COUNT} WHERE total < 1000", f"{COUNT} WHERE NOT total >= 1000"),
        (YEAR, "SELECT COUNT(*) FROM invoice WHERE strftime('%Y', day) = '2023'"),
        (YEAR, "SELECT COUNT(*) FROM invoice WHERE day BETWEEN '2023-01-01' AND '2023-12-31'"),
        ("SELECT COUNT(*) FROM track WHERE seconds > 300", "SELECT COUNT(*) FROM track WHERE seconds / 60.0 > 5"),
        (f"{COUNT} WHERE total > 10", "SELECT COUNT(*) FROM (SELECT invoice_id FROM invoice_line GROUP BY 1 HAVING SUM(price * quantity) > 10)"),
    ],
)  # fmt: skip
def test_sql_qa_when_a_condition_says_nothing_or_the_same_in_other_literals_then_earns_everything(
    music, reference, text
):
    """What no figure can be, what is always true, and bounds in other units."""
    assert value_of(music, reference, text) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        YEAR.replace("2023-01-01", "2023-01-02"),
        YEAR.replace("2024-01-01", "2023-12-31"),
        YEAR.replace("< '2024", "<= '2024"),
        YEAR.replace(">=", ">"),
    ],
)
def test_sql_qa_when_a_day_is_off_by_one_then_it_is_told_though_no_row_has_that_day(music, text):
    """Dates are shifted together until some row lies on the day that makes the difference."""
    assert value_of(music, YEAR, text) < 0.5


@pytest.mark.parametrize(("reference", "text", "right"), [
    ("SELECT name FROM artist WHERE artist_id = 2", "SELECT name FROM artist WHERE artist_id IN (2)", True),
    ("SELECT country FROM customer WHERE customer_id = 3", "SELECT country FROM customer WHERE name = '{name}'", True),
    ("SELECT country FROM customer WHERE name = '{name}'", "SELECT country FROM customer WHERE customer_id = 3", True),
    ("SELECT country FROM customer WHERE customer_id = 3", "SELECT country FROM customer WHERE name = 'nobody'", False),
    ("SELECT name FROM customer WHERE customer_id = 3", "SELECT name FROM customer WHERE name = '{name}'", False),
    ("SELECT country FROM customer WHERE name = '{name}'", "SELECT country FROM customer LIMIT 1 OFFSET 2", False),
])  # fmt: skip
def test_sql_qa_when_a_row_is_told_by_its_name_instead_of_its_key_then_both_are_right(music, reference, text, right):
    """The row is found by both, and by neither once it is gone; the answer itself in the place of a name is none."""
    import sqlite3

    connection = sqlite3.connect(music)
    name = connection.execute("SELECT name FROM customer WHERE customer_id = 3").fetchone()[0]
    connection.close()
    value = value_of(music, reference.format(name=name), text.format(name=name))
    assert value == 1.0 if right else value < 0.5


def test_conditions_when_listed_then_columns_stand_beside_their_literals():
    """Numbers of rows and what subqueries find are no values of a column, nor are the arguments of a function."""
    sql = (
        "SELECT a FROM t WHERE t.price BETWEEN 1 AND 2.5 AND substr(day, 1, 4) = '2023' AND x IS NULL AND y = -3 "
        "AND (SELECT COUNT(*) FROM u WHERE u.id = t.id) > 7 GROUP BY a HAVING COUNT(b) > 9"
    )
    assert list_conditions(tokenise(sql)) == (
        LiteralCondition("price", "between", 1),
        LiteralCondition("price", "between", 2.5),
        LiteralCondition("day", "=", "2023"),
        LiteralCondition("x", "is", None),
        LiteralCondition("y", "=", -3),
    )
