"""Which statement is taken from a text: one case for each thing that decides it."""

from __future__ import annotations

import json

import pytest

from rewards.sql.statements import MAXIMUM_STATEMENT, find_statement

SQL = "SELECT COUNT(*) FROM orders WHERE state = 'SP'"
OTHER = "SELECT price FROM orders"


@pytest.mark.parametrize(
    ("text", "wrapped"),
    [
        (json.dumps([SQL]), False),
        (json.dumps(SQL), False),
        (json.dumps({"note": f"not as in {OTHER}", "out": SQL}), True),
        (json.dumps({"note": f"a consulta: {SQL}"}), True),
        (json.dumps({"out": OTHER, "sql": SQL}), True),
        (json.dumps({"name": "run", "arguments": {"query": SQL}}), False),
        (json.dumps({"name": "run", "arguments": {"query": SQL, "limit": 3}}), True),
        (f"```\nresultado\n```\n```sql\n{SQL}\n```", True),
        (f"Em vez de {OTHER}\nuse:\n{SQL}", True),
        (f"{SQL}\n\nHere we select rows from orders only.", True),
    ],
)
def test_statement_when_another_text_holds_sql_too_then_the_one_that_is_offered_is_taken(text, wrapped):
    """By its key, by where it stands, by how it begins; words of SQL in a sentence are no second statement."""
    found = find_statement(text)
    assert (found.tokens, found.wrapped, found.reason) == (find_statement(SQL).tokens, wrapped, "")


@pytest.mark.parametrize(
    "rest",
    [f"\n\n{OTHER}", f"; ou {OTHER}", "\n\nSELECT 1", "; ou select avg(price) from orders", "\nDELETE FROM orders"],
)
def test_statement_when_a_second_one_follows_then_neither_is_taken(rest):
    """On a line of its own, in capitals within a sentence, or with marks that prose has not."""
    assert find_statement(SQL + rest).reason == "several statements"


@pytest.mark.parametrize(
    "text",
    [
        f"Limpe antes:\nDROP TABLE orders;\n{SQL}",
        f"Rode EXPLAIN {SQL}",
        f"{'Pense nisto. ' * 8}\nRode EXPLAIN QUERY PLAN {SQL}",
    ],
)
def test_statement_when_another_command_stands_before_it_then_it_is_not_cut_out(text):
    """Wherever it is placed."""
    assert find_statement(text).reason == "not a SELECT"


@pytest.mark.parametrize("text", ["", "[1, 2]", "Não sei.", '{"a": 1}'])
def test_statement_when_a_text_has_none_then_it_says_so(text):
    """Empty, JSON without SQL, prose."""
    found = find_statement(text)
    assert (found.sql, found.reason) == (None, "no SELECT found")


def test_statement_when_it_begins_within_a_sentence_then_its_own_lines_are_not_taken_for_it():
    """The SELECT on the second line is the middle of a WITH."""
    with_clause = "WITH a AS (SELECT state FROM orders)\nSELECT COUNT(*) FROM a"
    assert find_statement(f"A resposta é {with_clause}").sql == with_clause


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT 1\nConta pedidos atrasados", "SELECT 1"),
        ("SELECT price\nlate FROM orders WHERE", "SELECT price\nlate FROM orders WHERE"),
        ("SELECT a FROM t\nwhere x and y or z is", "SELECT a FROM t\nwhere x and y or z is"),
        ("SELECT a FROM t\nWHERE x = 1\n\nORDER BY a", "SELECT a FROM t\nWHERE x = 1\n\nORDER BY a"),
        ("SELECT a FROM t\n\nPedidos", "SELECT a FROM t"),
        ("SELECT a FROM t. Pronto!", "SELECT a FROM t"),
    ],
)
def test_statement_when_lines_follow_then_clauses_belong_to_it_and_remarks_do_not(text, sql):
    """Three words that SQL does not know are a remark; a clause is not, even in a statement that is broken."""
    assert find_statement(text).sql == sql


def test_statement_when_it_is_longer_than_any_answer_then_it_is_refused_by_its_length():
    """At the limit it is taken."""
    fits = "SELECT a FROM t WHERE x = '" + "y" * (MAXIMUM_STATEMENT - 28) + "'"
    assert len(fits) == MAXIMUM_STATEMENT and find_statement(fits).sql == fits
    longer = fits.replace("'y", "'yy")
    assert find_statement(longer).reason == f"statement longer than {MAXIMUM_STATEMENT} characters"
    broken = longer.replace("FROM t", "FROM FROM t")
    assert find_statement(broken).reason == f"statement longer than {MAXIMUM_STATEMENT} characters"


def test_statement_when_it_is_broken_then_what_looks_most_like_it_is_taken_without_the_remark():
    """SQLite's grammar accepts none of it; it fails when it is run, and says why."""
    broken = "SELECT a FROM FROM t"
    for text in (f"{broken}\n\nConta os pedidos atrasados de SP", f"{broken}; Pronto", f"Assim:\n{broken}"):
        found = find_statement(text)
        assert (found.sql, found.wrapped) == (broken, True)
    assert find_statement(f"{broken};").wrapped is False and find_statement(broken).sql == broken
    assert find_statement("SELECT a FROM FROM t\n\nWHERE b = 1").sql == "SELECT a FROM FROM t\n\nWHERE b = 1"


@pytest.mark.parametrize("rest", ["; DELETE FROM orders", "\nSELECT b FROM FROM u", "\n\nDROP TABLE t"])
def test_statement_when_it_is_broken_and_another_follows_then_neither_is_taken(rest):
    """Two that cannot be read are two."""
    assert find_statement(f"SELECT a FROM FROM t{rest}").reason == "several statements"


def test_statement_when_it_is_broken_then_selects_within_brackets_and_unions_are_one():
    """Only those side by side are several."""
    for text in (
        "SELECT a FROM FROM t UNION ALL SELECT b FROM FROM u",
        "SELECT a FROM FROM (SELECT b FROM FROM u) WHERE (SELECT c FROM FROM v)",
    ):
        assert find_statement(text).sql == text


@pytest.mark.parametrize(
    "text",
    [
        f"{SQL}\nSelect carefully.",
        f"{SQL} -- all of them\nSelect carefully.",
        f"{SQL}. Select carefully.",
        f"{SQL};\nWith care.",
        f"{SQL}\nWith care.",
        f"{SQL}\n\nSelect carefully from the list (as shown).",
        f"{SQL}\n\nSelect carefully from the list.",
        f"Select carefully.\n{SQL}",
    ],
)
def test_statement_when_a_remark_begins_like_one_then_it_is_prose(text):
    """A remark such as "Select carefully." is no second statement: it costs what prose costs."""
    found = find_statement(text)
    assert found.sql is not None and found.sql.partition(" --")[0] == SQL and found.wrapped


@pytest.mark.parametrize("other", ["SELECT * FROM orders", "select price from orders", "SELECT * FROM the_list"])
@pytest.mark.parametrize("between", ["\n", ";\n", "\n\n"])
def test_statement_when_a_second_one_follows_then_both_are_refused(other, between):
    """What reads a table is a statement, however it is written."""
    assert find_statement(f"{SQL}{between}{other}").reason == "several statements"
