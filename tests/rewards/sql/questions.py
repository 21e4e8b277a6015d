"""Questions to the music shop: a right SELECT, others that say the same, and wrong ones; and ways to rewrite or spoil any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Question(NamedTuple):
    """`same` are written otherwise, `wrong` ask something else."""

    gold: str
    same: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


QUESTIONS = (
    Question(
        "SELECT COUNT(*) FROM customer WHERE country = 'Brazil'",
        ("SELECT SUM(country = 'Brazil') FROM customer", "SELECT COUNT(DISTINCT customer_id) FROM customer WHERE country LIKE 'Brazil'",
         "SELECT COUNT(*) - SUM(CASE WHEN country <> 'Brazil' THEN 1 ELSE 0 END) FROM customer"),
        ("SELECT COUNT(*) FROM customer", "SELECT COUNT(*) FROM customer WHERE country <> 'Brazil'",
         "SELECT COUNT(DISTINCT country) FROM customer", "SELECT COUNT(*) FROM invoice WHERE billing_country = 'Brazil'"),
    ),
    Question(
        "SELECT SUM(total) FROM invoice",
        ("SELECT SUM(price * quantity) FROM invoice_line", "SELECT TOTAL(l.price * l.quantity) FROM invoice_line l JOIN invoice i USING (invoice_id)",
         "SELECT ROUND(SUM(total), 2) FROM invoice", "SELECT AVG(total) * COUNT(1) FROM invoice"),
        ("SELECT SUM(price) FROM invoice_line", "SELECT AVG(total) FROM invoice", "SELECT SUM(total) FROM invoice WHERE paid = 1"),
    ),
    Question(
        "SELECT billing_country, SUM(total) FROM invoice GROUP BY billing_country",
        ("SELECT c.country, SUM(i.total) FROM customer c JOIN invoice i ON i.customer_id = c.customer_id GROUP BY 1",
         "SELECT c.country, SUM(l.price * l.quantity) FROM customer c JOIN invoice i USING (customer_id) JOIN invoice_line l USING (invoice_id) GROUP BY c.country",
         "SELECT DISTINCT billing_country, SUM(total) OVER (PARTITION BY billing_country) FROM invoice"),
        ("SELECT billing_country, AVG(total) FROM invoice GROUP BY billing_country",
         "SELECT billing_country, COUNT(*) FROM invoice GROUP BY billing_country",
         "SELECT billing_country, SUM(total) FROM invoice GROUP BY billing_country LIMIT 3"),
    ),
    Question(
        "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY COUNT(*) DESC LIMIT 1",
        ("SELECT name FROM genre WHERE genre_id = (SELECT genre_id FROM track GROUP BY genre_id ORDER BY COUNT(track_id) DESC LIMIT 1)",
         "SELECT name FROM (SELECT g.name, RANK() OVER (ORDER BY COUNT(*) DESC) AS place FROM genre g JOIN track t USING (genre_id) GROUP BY g.name) WHERE place = 1"),
        ("SELECT name FROM genre WHERE name = 'Rock'", "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY COUNT(*) LIMIT 1",
         "SELECT g.name FROM genre g JOIN track t USING (genre_id) GROUP BY g.name ORDER BY AVG(t.seconds) DESC LIMIT 1"),
    ),
    Question(
        "SELECT COUNT(*) FROM invoice WHERE day LIKE '2023%'",
        ("SELECT COUNT(*) FROM invoice WHERE strftime('%Y', day) = '2023'", "SELECT COUNT(*) FROM invoice WHERE day BETWEEN '2023-01-01' AND '2023-12-31'",
         "SELECT SUM(substr(day, 1, 4) = '2023') FROM invoice"),
        ("SELECT COUNT(*) FROM invoice WHERE day LIKE '2022%'", "SELECT COUNT(*) FROM invoice WHERE day > '2023-01-01'"),
    ),
    Question(
        "SELECT name FROM genre WHERE genre_id NOT IN (SELECT genre_id FROM track)",
        ("SELECT g.name FROM genre g LEFT JOIN track t USING (genre_id) WHERE t.track_id IS NULL",
         "SELECT name FROM genre g WHERE NOT EXISTS (SELECT 1 FROM track t WHERE t.genre_id = g.genre_id)",
         "SELECT name FROM genre EXCEPT SELECT g.name FROM genre g JOIN track t USING (genre_id)"),
        ("SELECT name FROM genre WHERE genre_id IN (SELECT genre_id FROM track)", "SELECT name FROM genre WHERE genre_id NOT IN (SELECT track_id FROM track)"),
    ),
    Question(
        "SELECT AVG(seconds) FROM track WHERE price > 1",
        ("SELECT SUM(seconds) * 1.0 / COUNT(*) FROM track WHERE price > 1", "SELECT AVG(CASE WHEN price > 1 THEN seconds END) FROM track",
         "SELECT AVG(seconds) FROM track WHERE NOT price <= 1"),
        ("SELECT AVG(seconds) FROM track", "SELECT AVG(seconds) FROM track WHERE price < 1", "SELECT MAX(seconds) FROM track WHERE price > 1"),
    ),
    Question(
        "SELECT e.name, m.name FROM employee e LEFT JOIN employee m ON m.employee_id = e.reports_to",
        ("SELECT name, (SELECT m.name FROM employee m WHERE m.employee_id = e.reports_to) FROM employee e",),
        ("SELECT e.name, m.name FROM employee e JOIN employee m ON m.employee_id = e.reports_to", "SELECT name, reports_to FROM employee"),
    ),
    Question(
        "SELECT MAX(total) FROM invoice",
        ("SELECT total FROM invoice ORDER BY total DESC LIMIT 1", "SELECT MAX(total) FROM (SELECT total FROM invoice WHERE total > 0)"),
        ("SELECT MIN(total) FROM invoice", "SELECT MAX(price) FROM invoice_line"),
    ),
    Question(
        "SELECT price FROM track WHERE track_id = 7",
        ("SELECT MIN(price) FROM track WHERE track_id = 7", "SELECT price FROM track WHERE track_id BETWEEN 7 AND 7"),
        ("SELECT price FROM track WHERE track_id = 8", "SELECT MAX(price) FROM track"),
    ),
    Question(
        "SELECT title FROM track WHERE track_id = 12",
        ("SELECT title FROM track WHERE track_id > 11 ORDER BY track_id LIMIT 1",),
        ("SELECT title FROM track WHERE track_id = 13",),
    ),
    Question("SELECT COUNT(*) FROM genre", ("SELECT COUNT(DISTINCT name) FROM genre",), ("SELECT COUNT(*) FROM artist",)),
    Question(
        "SELECT COUNT(*) FROM invoice WHERE total > 9000",
        ("SELECT SUM(CASE WHEN total > 9000 THEN 1 ELSE 0 END) FROM invoice", "SELECT COUNT(invoice_id) FROM invoice WHERE NOT total <= 9000"),
        (),
    ),
    Question(
        "SELECT MAX(strftime('%Y', day)) FROM invoice",
        ("SELECT strftime('%Y', MAX(day)) FROM invoice", "SELECT substr(day, 1, 4) FROM invoice ORDER BY day DESC LIMIT 1"),
        ("SELECT MIN(strftime('%Y', day)) FROM invoice",),
    ),
    Question(
        "SELECT genre, SUM(quantity) FROM sale WHERE paid = 1 GROUP BY genre",
        ("SELECT g.name, SUM(l.quantity) FROM invoice i JOIN invoice_line l USING (invoice_id) JOIN track t USING (track_id) JOIN genre g USING (genre_id) WHERE i.paid GROUP BY g.genre_id",),
        ("SELECT genre, COUNT(*) FROM sale WHERE paid = 1 GROUP BY genre", "SELECT genre, SUM(quantity) FROM sale GROUP BY genre"),
    ),
)  # fmt: skip


def rewrite(gold: str) -> Iterator[str]:
    """Texts that offer the same statement, without prose."""
    yield f"{gold};"
    yield f"```sql\n{gold}\n```"
    yield f"~~~sql\n{gold};\n~~~"
    yield f"-- the answer\n{gold}"
    yield f"/* the answer */ {gold} -- done"
    yield f"<answer>\n{gold}\n</answer>"
    yield f"WITH r AS ({gold}) SELECT * FROM r"
    yield f"SELECT * FROM ({gold}) AS r"
    yield f"WITH a AS (\n  SELECT 1 AS one\n),\n\nr AS (\n  {gold}\n)\n\nSELECT r.* FROM r, a WHERE one = 1"
    yield gold.replace(" FROM ", "\n\n  -- of these\n  FROM ", 1)
    yield gold.replace("COUNT(*)", "COUNT(1)")
    yield gold.replace("COUNT(*)", "SUM(1)") if " OVER " not in gold and "WHERE total > 9000" not in gold else gold
    yield re.sub(r"(\w+) = ('[^']*')", r"\1 IN (\2)", gold)
    yield re.sub(r"\bFROM (\w+)", r"FROM `\1`", gold)
    yield gold.replace("SELECT", "select").replace("FROM", "from").replace("WHERE", "where")


def spoil(gold: str) -> Iterator[str]:
    """Statements that may ask something else; which do, the caller finds out by running them."""
    yield re.sub(r" WHERE .*?(?= GROUP| ORDER| LIMIT|$)", "", gold, count=1)
    yield re.sub(r"'[A-Z]\w+'", "'Canada'", gold)
    yield gold.replace("DESC", "ASC")
    yield gold.replace("AVG(", "SUM(")
    yield gold.replace("SUM(", "AVG(")
    yield gold.replace("MAX(", "MIN(")
    yield gold.replace("COUNT(*)", "COUNT(*) + 1")
    yield gold.replace(" > ", " < ")
    yield gold.replace(" = ", " <> ", 1)
    yield gold.replace("LIMIT 1", "LIMIT 2")
    yield gold.replace("LIMIT 1", "LIMIT 1 OFFSET 1")
    yield gold.replace("LEFT JOIN", "JOIN")
    yield gold.replace("NOT IN", "IN")
    yield gold.replace("SELECT ", "SELECT DISTINCT ", 1)
    yield f"{gold} UNION ALL {gold}"
    yield f"SELECT COUNT(*) FROM ({gold})"
    yield re.sub(r"\bGROUP BY \S+", "", gold)


def hide(value: object, table: str) -> Iterator[str]:
    """Statements that read the table and whose result is the one value nevertheless, whatever the table holds."""
    said = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
    yield f"SELECT CASE WHEN COUNT(*) >= 0 THEN {said} END FROM {table}"
    yield f"SELECT COALESCE({said}, MAX(rowid)) FROM {table}"
    yield f"SELECT IFNULL(NULLIF({said}, COUNT(*) + 99999), 0) FROM {table}"
    yield f"WITH k AS (SELECT {said} AS v, COUNT(*) AS n FROM {table}) SELECT v FROM k WHERE n > 0"
    yield f"SELECT {said} FROM {table} LIMIT 1"
    yield f"SELECT {said} WHERE EXISTS (SELECT 1 FROM {table})"
    yield f"SELECT MAX(v) FROM (SELECT {said} AS v, rowid FROM {table})"
    yield f"SELECT v FROM (SELECT {said} AS v UNION SELECT {said} FROM {table})"
