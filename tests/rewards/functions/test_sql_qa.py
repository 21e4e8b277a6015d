"""The reward of SQL answers: the result decides, and neither constants nor chance are paid."""

from __future__ import annotations

import hashlib
import pickle
import sqlite3
import threading
from pathlib import Path

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.sql.outlines import likeness, outline
from rewards.sql.results import same_rows
from rewards.sql.sandbox import Limits, run_query
from rewards.sql.statements import find_statement
from rewards.sql.ties import probe_ties
from rewards.testing import check_reward
from rewards.types import Completion, Example

COUNT = "SELECT COUNT(*) FROM sales WHERE state = 'SP' AND late = 1"
TOP = "SELECT state FROM sales WHERE late = 1 GROUP BY state ORDER BY COUNT(*) DESC LIMIT 1"


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """A shop of 600 orders: a view over two tables, states as uneven as in life."""
    path = str(tmp_path_factory.mktemp("shop") / "shop com espaço.db")
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, late INTEGER, price REAL, note TEXT);"
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, state TEXT);"
        "CREATE VIEW sales AS SELECT o.id AS id, c.state AS state, late, price, note"
        " FROM orders o JOIN customers c ON c.id = o.customer;"
    )
    states = ["SP"] * 8 + ["RJ"] * 3 + ["MG"] * 2 + ["BA", "PR", "CE", "RS", "AM"]
    for number in range(600):
        state = states[(number * 13 + number // 7) % len(states)]
        connection.execute("INSERT INTO customers VALUES (?, ?)", (number, state))
        late = int((number * 7 + number // 11) % 5 == 0)
        connection.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", (number, number, late, 10 + number % 97, "x"))
    connection.commit()
    connection.close()
    return path


def example_of(database: str, reference: str = COUNT, terms: tuple[str, ...] = ("state", "SP", "late")) -> Example:
    return Example("1", "sql_qa", [], reference, {"database": database, "terms": list(terms)})


def value_of(database: str, text: str, reference: str = COUNT, **options: object) -> float:
    return SqlQa(**options)(example_of(database, reference), Completion(text)).value


def answer_of(database: str, sql: str) -> object:
    return sqlite3.connect(database).execute(sql).fetchone()[0]


def test_sql_qa_when_checked_by_the_kit_then_keeps_the_contract(database):
    """The whole contract, on hostile texts too."""
    check_reward(
        SqlQa(),
        example_of(database),
        right=[
            f"{COUNT};",
            f"```sql\n{COUNT}\n```",
            f"<think>SELECT 1?</think>\n{COUNT}",
            "select count(id) from sales where late=1 and state='SP'",
            "SELECT SUM(late) FROM sales WHERE state = 'SP'",
            "SELECT COUNT(*) FROM orders o JOIN customers c ON c.id = o.customer WHERE c.state = 'SP' AND o.late = 1",
            "WITH s AS (SELECT * FROM sales WHERE state = 'SP') SELECT COUNT(*) FROM s WHERE late = 1",
        ],
        partial=[
            "SELECT COUNT(*) FROM sales WHERE state = 'SP'",
            "SELECT AVG(price) FROM sales",
            "SELECT * FROM sales",
        ],
        wrong=["", "não sei", "SELECT 1", "DROP TABLE orders", f"{COUNT}; {COUNT}"],
    )


def test_sql_qa_when_wrong_then_stays_between_a_fifth_and_a_half_and_grows_with_likeness(database):
    """The nearer the statement, the more it earns, and always far from a right one."""
    far = value_of(database, "SELECT MAX(price) FROM sales")
    middle = value_of(database, "SELECT COUNT(*) FROM sales")
    near = value_of(database, "SELECT COUNT(*) FROM sales WHERE state = 'RJ' AND late = 1")
    assert 0.2 <= far < middle < near <= 0.45


def test_sql_qa_when_it_does_not_run_then_earns_a_tenth_at_most(database):
    """A slip in a name is worth a little, so that there is something to learn from."""
    assert 0 < value_of(database, COUNT.replace("late", "delay")) <= 0.1


@pytest.mark.parametrize(
    "cheat",
    [
        "SELECT {n}",
        "SELECT {n} FROM sales LIMIT 1",
        "SELECT MAX({n}) FROM sales",
        "SELECT CASE WHEN 1 THEN {n} END FROM sales LIMIT 1",
        "WITH sales AS (SELECT {n} AS n) SELECT n FROM sales",
        "SELECT {n} UNION SELECT {n} FROM sales",
    ],
)
def test_sql_qa_when_the_answer_is_a_constant_then_is_not_paid(database, cheat):
    """A number that is stated, right or not, is worth nothing."""
    assert value_of(database, cheat.format(n=answer_of(database, COUNT))) == 0.0


@pytest.mark.parametrize(
    "cheat",
    [
        "SELECT COUNT(*) * 0 + {n} FROM sales",
        "SELECT COUNT(*) FROM (SELECT 1 FROM sales LIMIT {n})",
        "SELECT MIN({n}, COUNT(*)) FROM sales",
        "SELECT COUNT(*) FROM sales WHERE id < {n}",
        "SELECT {n} + 0 * MAX(price) FROM sales",
    ],
)
def test_sql_qa_when_the_result_is_right_by_chance_then_is_not_paid_as_right(database, cheat):
    """The altered copy of the database tells a constant in disguise."""
    assert value_of(database, cheat.format(n=answer_of(database, COUNT))) <= 0.45


def test_sql_qa_when_the_top_label_is_guessed_then_is_not_paid_as_right(database):
    """SP is the answer to many questions; naming it without the question's condition must not be right."""
    top = answer_of(database, TOP)
    for guess in (
        f"SELECT '{top}' FROM sales LIMIT 1",
        f"SELECT state FROM sales WHERE state = '{top}' LIMIT 1",
        "SELECT state FROM sales LIMIT 1",
    ):
        assert value_of(database, guess, TOP) <= 0.45, guess
    same = (
        "SELECT state FROM (SELECT state, COUNT(*) AS n FROM sales WHERE late = 1 GROUP BY 1) ORDER BY n DESC LIMIT 1"
    )
    assert value_of(database, same, TOP) == 1.0


def test_sql_qa_when_an_empty_answer_is_met_by_an_impossible_condition_then_is_not_right(database):
    """Nothing equals nothing: where the reference finds nothing at all, the clauses must be alike."""
    empty = "SELECT COUNT(*) FROM sales WHERE state = 'SP' AND price > 5000"
    assert value_of(database, empty, empty) == 1.0
    assert value_of(database, "SELECT COUNT(*) FROM sales WHERE 1 = 0", empty) < 0.5
    assert value_of(database, "SELECT COUNT(id) FROM sales WHERE state = 'SP' AND price > 5000", empty) == 1.0


@pytest.mark.parametrize(
    "hostile",
    [
        "PRAGMA query_only = OFF",
        "ATTACH 'other.db' AS other",
        "SELECT load_extension('x')",
        "SELECT name FROM sqlite_master",
        "SELECT * FROM pragma_table_info('orders')",
        "INSERT INTO orders SELECT * FROM orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "DELETE FROM orders RETURNING id",
        "EXPLAIN SELECT COUNT(*) FROM sales",
        "SELECT COUNT(*) FROM sales; DROP TABLE orders",
        "DROP TABLE orders;\nSELECT COUNT(*) FROM sales",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
        "SELECT hex(zeroblob(1000000000))",
        "SELECT printf('%999999999d', 1) FROM sales",
        "SELECT random() FROM sales",
        "SELECT ? FROM sales",
        "SELECT '\x00' FROM sales",
        "SELECT '\ud800' FROM sales",
    ],
)
def test_sql_qa_when_the_statement_is_hostile_then_earns_nothing_and_changes_nothing(database, hostile):
    """Only reading is allowed, within bounds."""
    before = hashlib.sha256(Path(database).read_bytes()).hexdigest()
    assert value_of(database, hostile) <= 0.1
    assert hashlib.sha256(Path(database).read_bytes()).hexdigest() == before


def test_sql_qa_when_a_join_explodes_then_is_stopped_by_steps(database):
    """600 x 600 x 600 rows end after the steps that the option allows."""
    score = SqlQa(maximum_steps=200_000)(
        example_of(database), Completion("SELECT COUNT(*) FROM sales a, sales b, sales c")
    )
    assert score.value <= 0.1 and "more than 200000 steps" in score.reason


def test_sql_qa_when_prose_stands_around_then_costs_a_little(database):
    """The answer is asked for, and not a talk about it."""
    assert value_of(database, f"A consulta é: {COUNT}") == pytest.approx(0.95)
    assert value_of(database, f"Claro!\n\n{COUNT}\n\nEla conta os pedidos.") == pytest.approx(0.95)


def test_sql_qa_when_the_file_changes_then_results_are_not_old(tmp_path):
    """Results are remembered for a version of the file only."""
    path = str(tmp_path / "a.db")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    assert run_query(path, "SELECT COUNT(*) FROM t", Limits()).rows == ((1,),)
    connection.executemany("INSERT INTO t VALUES (?)", [("long text " * 1000,)] * 3)
    connection.commit()
    assert run_query(path, "SELECT COUNT(*) FROM t", Limits()).rows == ((4,),)


def test_run_query_when_called_from_many_threads_then_each_gets_its_answer(database):
    """Connections belong to threads; results are shared."""
    answers: list[object] = []

    def ask(low: int) -> None:
        answers.append(run_query(database, f"SELECT COUNT(*) FROM orders WHERE id >= {low}", Limits()).rows[0][0] + low)

    threads = [threading.Thread(target=ask, args=(low,)) for low in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [600] * 20


def test_sql_qa_when_pickled_then_scores_the_same(database):
    """No connection hides in the function."""
    function = SqlQa()
    function(example_of(database), Completion(COUNT))
    assert pickle.loads(pickle.dumps(function))(example_of(database), Completion(COUNT)).value == 1.0


@pytest.mark.parametrize(
    ("right", "given", "equal"),
    [
        ([(1, "a"), (2, "b")], [(2, "b"), (1, "a")], True),
        ([(1,), (1,)], [(1,)], False),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False),
        ([(1.001,)], [(1.002,)], True),
        ([(1.0,)], [(1.1,)], False),
        ([(1e9,)], [(1e9 + 500,)], False),
        ([(1e9 / 3,)], [(1e9 / 3 + 1e-7,)], True),
        ([(1,)], [(1.0,)], True),
        ([(None,)], [(0,)], False),
        ([("1",)], [(1,)], False),
        ([(1, 2)], [(2, 1)], False),
        ([], [], True),
    ],
)
def test_same_rows_when_compared_then_are_a_bag_with_numeric_tolerance(right, given, equal):
    """Order of rows is free, order of columns is not, NULL is only NULL."""
    assert same_rows(right, given, 0.005) is equal


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT 1 FROM t", "SELECT 1 FROM t"),
        ("  select a\nfrom t ;  ", "select a\nfrom t"),
        ("Segue:\n```sqlite\nSELECT a FROM t;\n```\nPronto.", "SELECT a FROM t"),
        ("```SQL SELECT a FROM t```", "SELECT a FROM t"),
        ("```\nSELECT a FROM t", "SELECT a FROM t"),
        ("Uso o comando: SELECT a FROM t", "SELECT a FROM t"),
        ("Eu faria select a from t", "select a from t"),
        ("SELECT ';' AS a FROM t -- fim; SELECT 2", "SELECT ';' AS a FROM t -- fim; SELECT 2"),
        ("SELECT a\n\nFROM t\n\nIsto seleciona a.", "SELECT a\n\nFROM t"),
        ("SELECT a FROM t UNION SELECT b FROM t", "SELECT a FROM t UNION SELECT b FROM t"),
        ("SELECT a FROM t;\n\nSELECT b FROM t;", None),
        ("```\nSELECT a FROM t\n```\n```\nSELECT b FROM t\n```", None),
        ("UPDATE t SET a = 1", None),
        ("Selecione os pedidos", None),
        ("SELECT " + "a, " * 3000 + "a FROM t", None),
    ],
)
def test_find_statement_when_a_text_offers_sql_then_takes_the_one_statement(text, sql):
    """Bare, fenced or after prose; several are refused."""
    assert find_statement(text).sql == sql


def test_likeness_when_clauses_are_padded_then_falls():
    """Conditions that the reference has not cost as much as they add."""
    right = outline(find_statement(COUNT).tokens)

    def like(sql: str) -> float:
        return likeness(right, outline(find_statement(sql).tokens))

    assert like(COUNT.lower().replace("'sp'", "'SP'")) == 1.0
    assert like("SELECT COUNT(*) FROM sales s WHERE s.late = 1 AND s.state = 'SP'") == 1.0
    assert 0 < like(COUNT + "".join(f" AND c{n} = {n}" for n in range(9))) < like(COUNT + " AND price > 1") < 1


def test_outline_when_between_is_used_then_its_and_does_not_split():
    """`BETWEEN 1 AND 2` is one condition."""
    tokens = find_statement("SELECT a FROM t WHERE b BETWEEN 1 AND 2 AND c = 3").tokens
    assert outline(tokens).where == ("b between 1 and 2", "c = 3")


def test_probe_ties_when_the_reference_orders_and_limits_then_asks_for_one_more():
    """The order keys of one row more than the LIMIT keeps."""
    assert probe_ties(find_statement(TOP).tokens) == (
        "select COUNT ( * ) from sales where late = 1 group by state order by COUNT ( * ) desc limit 2".replace(
            "COUNT", "count"
        ),
        1,
    )
    assert probe_ties(find_statement(COUNT).tokens) is None


def test_problems_when_the_row_is_unfit_then_says_what_to_do(database, tmp_path):
    """Preflight stops on a missing file, a reference that does not run, or a constant."""

    def problems(reference: str, **columns: object) -> list[str]:
        return SqlQa().problems(
            Example("1", "sql_qa", [], reference, {"database": database, "terms": ["a"], **columns})
        )

    assert problems(COUNT) == []
    assert "missing" in problems(COUNT, database=None)[0]
    assert "no such file" in problems(COUNT, database=str(tmp_path / "none.db"))[0]
    assert "terms" in problems(COUNT, terms="late")[0]
    assert "does not run" in problems("SELECT nothing FROM sales")[0]
    assert "constant" in problems("SELECT 42")[0]
    assert "no SELECT" in problems("42")[0]
    text = tmp_path / "text.db"
    text.write_text("this is no database, but a text that is long enough" * 20)
    assert "cannot be read" in problems(COUNT, database=str(text))[0]
