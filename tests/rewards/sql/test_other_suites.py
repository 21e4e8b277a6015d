"""Kinds of question that public suites ask, over databases of their manner: what says the same earns 1, what only agrees by chance does not."""

import sqlite3

import pytest

from benchmarks.sql_outside_data import DATABASES, build
from rewards.functions.sql_qa import SqlQa
from rewards.sql.altered import know_relations
from rewards.sql.conditions import LiteralCondition, list_conditions, read_conditions
from rewards.sql.extremes import compare_orders, find_extreme
from rewards.sql.groupings import list_distinct, list_grouped
from rewards.sql.quotes import settle_quotes
from rewards.sql.statements import find_statement
from rewards.sql.tokens import tokenise
from rewards.types import Completion, Example


@pytest.fixture(scope="module")
def databases(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("suites")
    return {name: build(folder, name, 0) for name in DATABASES}


def value_of(path: str, reference: str, text: str) -> float:
    return SqlQa()(Example("1", "sql_qa", [], reference, {"database": path}), Completion(text)).value


SECOND = "SELECT MAX(salary) FROM instructor WHERE salary < (SELECT MAX(salary) FROM instructor)"
ADVISED = "SELECT s.ID, i.name FROM student s LEFT JOIN instructor i ON i.ID = s.advisor_id"
PREREQUISITES = "SELECT c.title, p.title FROM prereq r JOIN course c ON c.course_id = r.course_id JOIN course p ON p.course_id = r.prereq_id"


@pytest.mark.parametrize(("database", "reference", "text"), [
    ("campus", "SELECT name FROM instructor WHERE dept_name = 'Finance'", 'SELECT name FROM instructor WHERE dept_name = "Finance"'),
    ("campus", 'SELECT COUNT(*) FROM student WHERE dept_name = "Comp. Sci."', "SELECT COUNT(*) FROM student WHERE dept_name = 'Comp. Sci.'"),
    ("campus", "SELECT COUNT(*) FROM takes WHERE grade IS NULL", "SELECT COUNT(*) FROM takes WHERE IFNULL(grade, '?') = '?'"),
    ("world", "SELECT name FROM country WHERE head_of_state IS NULL", "SELECT name FROM country WHERE COALESCE(head_of_state, '') = ''"),
    ("broker", "SELECT name FROM customer WHERE LOWER(city) = 'austin'", "SELECT name FROM customer WHERE city = 'Austin'"),
    ("campus", SECOND, "SELECT DISTINCT salary FROM instructor ORDER BY salary DESC LIMIT 1 OFFSET 1"),
    ("campus", ADVISED, "SELECT s.ID, i.name FROM student s JOIN instructor i ON i.ID = s.advisor_id UNION ALL SELECT ID, NULL FROM student WHERE advisor_id IS NULL"),
    ("campus", PREREQUISITES, "SELECT c.title, (SELECT p.title FROM course p WHERE p.course_id = r.prereq_id) FROM course c JOIN prereq r ON r.course_id = c.course_id"),
    ("broker", "SELECT DISTINCT c.state FROM customer c JOIN trade t ON t.cust_id = c.sb_cust_id WHERE t.tx_type = 'sell'",
     "SELECT state FROM customer WHERE sb_cust_id IN (SELECT cust_id FROM trade WHERE tx_type = 'sell') GROUP BY state"),
    ("broker", "SELECT status, COUNT(*) FROM customer GROUP BY status HAVING COUNT(*) > 5", "SELECT status, n FROM (SELECT status, COUNT(*) AS n FROM customer GROUP BY 1) WHERE n >= 6"),
])  # fmt: skip
def test_sql_qa_when_a_suite_writes_the_same_in_its_own_way_then_earns_everything(databases, database, reference, text):
    """Texts in double quotes, sentinels for NULL, folded case, the second greatest, references that nobody declared, a set that only merging labels alters."""
    assert value_of(databases[database], reference, text) == 1.0


@pytest.mark.parametrize(("database", "reference", "text"), [
    ("broker", "SELECT status, COUNT(*) FROM customer GROUP BY status HAVING COUNT(*) > 5", "SELECT status, COUNT(*) FROM customer GROUP BY status HAVING COUNT(*) > 4"),
    ("campus", "SELECT dept_name, AVG(salary) FROM instructor GROUP BY dept_name", "SELECT dept_name, AVG(DISTINCT salary) FROM instructor GROUP BY dept_name"),
    ("campus", "SELECT COUNT(*) FROM takes WHERE grade IS NULL", "SELECT COUNT(*) FROM takes WHERE grade IS NULL AND year = 2010"),
    ("campus", "SELECT COUNT(*) FROM takes WHERE grade IS NULL", "SELECT COUNT(*) FROM takes WHERE grade IS NULL AND year >= 2009"),
    ("campus", "SELECT COUNT(DISTINCT student_id) FROM takes WHERE year = 2009", "SELECT COUNT(DISTINCT student_id) FROM takes WHERE year = 2009 AND grade IS NOT NULL"),
    ("campus", "SELECT first_name, last_name FROM student ORDER BY tot_cred DESC, ID LIMIT 3", "SELECT first_name, last_name FROM student ORDER BY tot_cred DESC, first_name LIMIT 3"),
    ("broker", "SELECT t.symbol FROM trade x JOIN ticker t USING (ticker_id) GROUP BY t.symbol ORDER BY COUNT(*) DESC LIMIT 1",
     "SELECT t.symbol FROM trade x JOIN ticker t USING (ticker_id) GROUP BY t.symbol ORDER BY SUM(x.shares) DESC LIMIT 1"),
    ("broker", "SELECT COUNT(*) FROM trade WHERE placed_at >= '2023-01-01' AND placed_at < '2023-04-01'",
     "SELECT COUNT(*) FROM trade WHERE date(placed_at) > '2023-01-01' AND date(placed_at) < '2023-04-01'"),
    ("broker", "SELECT AVG(close) FROM daily_price WHERE ticker_id = 'T03'", "SELECT AVG(close) FROM daily_price WHERE ticker_id = 'T03' AND date >= '2023-04-01'"),
    ("broker", "SELECT ticker_id, close FROM daily_price WHERE date = (SELECT MAX(date) FROM daily_price)", "SELECT ticker_id, close FROM daily_price WHERE date = '2023-04-16'"),
    ("broker", "SELECT SUM(shares) FROM trade WHERE placed_at LIKE '2023-05%'", "SELECT SUM(shares) FROM trade WHERE strftime('%m', placed_at) = '05'"),
    ("world", "SELECT name FROM country WHERE name LIKE 'K%'", "SELECT name FROM country WHERE name LIKE 'Ka%'"),
    ("world", "SELECT continent, COUNT(*) FROM country GROUP BY continent", "SELECT continent, COUNT(*) FROM country WHERE population > 1000 GROUP BY continent"),
    ("world", "SELECT MAX(population) FROM country", "SELECT MAX(population) FROM country WHERE population > 100000"),
    ("world", "SELECT name FROM country ORDER BY population DESC LIMIT 1", "SELECT name FROM country WHERE population > 80000000 ORDER BY population DESC LIMIT 1"),
])  # fmt: skip
def test_sql_qa_when_a_suite_s_look_alike_agrees_by_chance_then_it_is_told(databases, database, reference, text):
    """Numbers of rows, figures taken once, gaps of one year, other ties, orders and days, patterns, bounds below all or on the extreme itself."""
    assert value_of(databases[database], reference, text) < 0.5


def test_relations_when_nobody_declared_a_reference_then_values_and_totals_tell_it(databases, tmp_path):
    """Keys of texts, or of numbers that do not count from one, tell what refers to them; a sum or a count of parts ties both sides."""
    links = {(link.child.column, link.parent.table) for link in know_relations(databases["campus"]).links}
    assert {("prereq_id", "course"), ("advisor_id", "instructor")} <= links
    connection = sqlite3.connect(tmp_path / "club.db")
    connection.execute("CREATE TABLE club (club_id INTEGER PRIMARY KEY, fees REAL, age INTEGER)")
    connection.execute("CREATE TABLE visit (visit_id INTEGER PRIMARY KEY, club_id INTEGER, fee REAL, minutes INTEGER)")
    for at in range(1, 7):
        connection.execute("INSERT INTO club VALUES (?, ?, ?)", (at, at * 2.5, 10 * at))
        connection.executemany(
            "INSERT INTO visit VALUES (NULL, ?, 2.5, ?)", [(at, 7 * at * turn) for turn in range(at)]
        )
    connection.commit()
    connection.close()
    relations = know_relations(str(tmp_path / "club.db"))
    assert relations.summed
    assert {name.column for name in relations.tied} == {"fees", "fee"}
    assert relations.roots == {"club"}


def test_conditions_when_a_column_has_a_sentinel_or_a_type_s_name_then_both_are_read():
    """COALESCE with the literal that it is compared with says IS NULL; counts stand apart; `date` is a column unless cast to."""
    sql = "SELECT a FROM t WHERE COALESCE(t.x, 0) = 0 AND IFNULL(y, 1) = 2 AND date > '2023-01-01' AND z NOTNULL AND CAST(w AS REAL) <= '5' GROUP BY b HAVING COUNT(*) > 9"
    found = read_conditions(tokenise(sql))
    assert found.columns == (
        LiteralCondition("x", "is", None),
        LiteralCondition("y", "=", 2),
        LiteralCondition("date", ">", "2023-01-01"),
        LiteralCondition("z", "is", None),
        LiteralCondition("w", "<=", "5"),
    )
    assert found.counts == {LiteralCondition("", ">", 9)}
    assert found.ends == {"2023-01-01"}
    assert list_conditions(tokenise("SELECT a FROM t WHERE COALESCE(x, 0) <> 0"))[0].value is None


def test_groupings_when_listed_then_columns_stand_without_their_tables():
    """What is grouped by alone, at any depth, and what an aggregate takes once."""
    sql = "SELECT SUM(DISTINCT t.a), COUNT(DISTINCT b || c) FROM (SELECT x FROM u GROUP BY u.x, lower(y)) GROUP BY z ORDER BY q"
    assert list_grouped(tokenise(sql)) == {"x", "z"}
    assert list_distinct(tokenise(sql)) == {"a"}


def test_extremes_when_orders_differ_then_only_an_inversion_tells():
    """Equal orders in other numbers say nothing, ties neither; two labels the other way round do; an OFFSET is no extreme."""
    rows = [("a", 3), ("b", 2), ("c", 1)]
    assert compare_orders(rows, [("a", 30.5), ("b", 20), ("c", 20)], True) == "unknown"
    assert compare_orders(rows, [("a", 1), ("b", 2), ("c", 3)], False) == "unknown"
    assert compare_orders(rows, [("a", 3), ("b", 1), ("c", 2)], True) == "other"
    assert compare_orders(rows[:2], [("a", 1), ("b", 2)], True) == "unknown"
    named = find_extreme(tokenise("SELECT x, COUNT(*) AS n FROM t GROUP BY x ORDER BY n DESC, t.x ASC LIMIT 1"))
    assert named is not None and named.measure == ("count", "(", "*", ")") and named.keys == (("x",),)
    assert find_extreme(tokenise("SELECT x FROM t ORDER BY x DESC LIMIT 1 OFFSET 1")) is None


def test_quotes_when_a_name_is_quoted_then_it_stays_a_name(databases):
    """Columns, aliases and tables in double quotes are names; what is none of these is a text, apostrophes and all."""
    sql = 'SELECT "name", COUNT(*) AS "n o" FROM "country" AS "c" WHERE "c"."region" = "Côte d\'Or" GROUP BY "name" ORDER BY "n o"'
    tokens = settle_quotes(find_statement(sql), databases["world"]).tokens
    assert [token for token in tokens if token[0] == "'"] == ["'Côte d''Or'"]
    assert tokens.count('"n o"') == 2 and "region" in tokens


def test_conditions_when_a_minus_stands_before_a_number_then_it_is_its_sign_or_a_subtraction():
    """After an operator, a bracket or a comma it is a sign, after a number or a column it subtracts; only IS NULL compares with NULL."""
    sql = "SELECT a FROM t WHERE a = -3 AND b BETWEEN -2 AND -1 AND c IN (-7, -8) AND d > 9 - 4 AND e = NULL AND CASE WHEN f THEN NULL END IS g"
    assert [(each.column, each.value) for each in list_conditions(tokenise(sql))] == [
        ("a", -3), ("b", -2), ("b", -1), ("c", -7), ("c", -8), ("d", 9), ("d", 4),
    ]  # fmt: skip
    assert list_conditions(tokenise("SELECT a FROM t WHERE -3 < 4")) == ()


def test_quotes_when_a_word_follows_a_value_or_a_comma_then_it_is_an_alias_or_a_text(databases):
    """An alias may follow a bracket or a name without AS; a word of a list, or after a comparison, is a text."""
    sql = 'SELECT COUNT(*) "total", name "n" FROM country WHERE region IN ("Polynesia", "Eastern Europe") AND name LIKE "K%" GROUP BY "n"'
    tokens = settle_quotes(find_statement(sql), databases["world"]).tokens
    assert [token for token in tokens if token[0] == "'"] == ["'Polynesia'", "'Eastern Europe'", "'K%'"]
    assert settle_quotes(find_statement("SELECT name FROM country"), "nowhere.db").tokens == (
        "select",
        "name",
        "from",
        "country",
    )
