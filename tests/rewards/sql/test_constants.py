"""Which select lists are made up: names of columns are no constants, whatever they are called; types, texts and aliases are no columns."""

import sqlite3

import pytest

from rewards.functions.sql_qa import SqlQa
from rewards.sql.outlines import outline
from rewards.sql.tokens import tokenise
from rewards.types import Completion, Example


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """Notes whose columns are called as types are, and as a number is."""
    path = str(tmp_path_factory.mktemp("notes") / "notes.db")
    connection = sqlite3.connect(path)
    connection.execute('CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, real REAL, "1" TEXT)')
    connection.executemany(
        "INSERT INTO notes VALUES (?, ?, ?, ?)", [(at, f"note {at % 7}", at * 1.5, f"x{at % 5}") for at in range(1, 30)]
    )
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    "reference", ["SELECT text FROM notes", 'SELECT "1" FROM notes', "SELECT real FROM notes WHERE id < 9"]
)
def test_sql_qa_when_a_column_is_called_like_a_type_or_a_number_then_it_is_asked_for(database, reference):
    """`text` and `"1"` are columns here: as references they are sound, as answers they earn everything."""
    example = Example("1", "sql_qa", [], reference, {"database": database, "terms": []})
    assert SqlQa().problems(example) == []
    assert SqlQa()(example, Completion(reference)).value == 1.0


@pytest.mark.parametrize(
    "made_up",
    ["'note 1'", '"note 1"', '"note 1" AS text', '"2"', '"2" AS "id"', "CAST(36 AS TEXT)", "36 total", "36 AS text"],
)
def test_sql_qa_when_the_select_list_is_made_up_then_nothing_is_paid(database, made_up):
    """Double quotes around no column are a text, and a name behind a value is what it is called."""
    reference = f"SELECT {made_up} FROM notes WHERE id = 1"
    example = Example("1", "sql_qa", [], "SELECT text FROM notes WHERE id = 1", {"database": database, "terms": []})
    assert SqlQa()(example, Completion(reference)).value == 0.0
    example = Example("1", "sql_qa", [], reference, {"database": database, "terms": []})
    assert SqlQa().problems(example) == ["reference: selects no column and counts nothing; a constant proves nothing"]


@pytest.mark.parametrize(
    ("items", "made_up"),
    [
        ("text", False),
        ("real, integer", False),
        ("CAST(text AS REAL) x", False),
        ("CAST(5 AS TEXT) || name", False),
        ("1 + text", False),
        ("2 * price", False),
        ("COUNT(1) n", False),
        ("t.*", False),
        ('"nome completo"', False),
        ("CASE WHEN price > 1 THEN 2 END x", False),
        ("CAST(5 AS VARCHAR(10))", True),
        ("CAST(5 AS double precision)", True),
        ("'a b c'", True),
        ("MAX(36) best", True),
        ("CASE WHEN 1 THEN 2 END x", True),
        ("NULL x", True),
        ("DISTINCT 5", True),
        ("-5 n", True),
        ("3 * 4", True),
    ],
)
def test_outline_when_items_name_no_column_then_it_is_constant(items, made_up):
    """Types after AS, words in texts and aliases name nothing."""
    assert outline(tokenise(f"SELECT {items} FROM t")).constant is made_up
