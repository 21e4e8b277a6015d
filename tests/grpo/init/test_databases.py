"""Rows of SQL that bring their own tables: SQLite files, and queries that are run on them."""

import json
import sqlite3
from contextlib import closing

import pytest

from grpo.init.__main__ import main
from grpo.init.databases import build_database, find_schema
from rewards.types import Example
from tests.timing import at_most

CITIES = ("Lisboa", "Porto", "Braga", "Faro")


def make_example(prompt, **columns):
    return Example("r", "t", [{"role": "user", "content": prompt}], "SELECT 1", columns)


def ask(content, query):
    """What a query finds in a database that was made."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(content)
        return connection.execute(query).fetchall()


def make_row(n, form):
    """A question over tables with rows, as gretel's set ships them, or over tables without, as b-mc2's does."""
    city, least = CITIES[n % 4], 10 + n
    table = f"CREATE TABLE shops_{n % 3} (id INT, city VARCHAR(50), sales DECIMAL(10,2))"
    asked = f"Which shops of {city} sold more than {least} crates in week {n}?"
    query = f"SELECT id FROM shops_{n % 3} WHERE city = '{city}' AND sales > {least}"
    if form == "gretel":
        rows = ", ".join(f"({k}, '{CITIES[k % 4]}', {k * 7.5})" for k in range(12))
        filled = f"{table}; INSERT INTO shops_{n % 3} (id, city, sales) VALUES {rows};"
        return {"sql_prompt": asked, "sql_context": filled, "sql": f"{query};"}
    if form == "alpaca":
        return {"instruction": asked, "input": table, "output": f"```sql\n{query}\n```"}
    return {"question": asked, "context": table, "answer": query}


@pytest.mark.parametrize(("form", "made"), [("gretel", 3), ("b-mc2", 3), ("alpaca", 3)])
def test_init_when_rows_bring_their_tables_then_queries_are_run_on_sqlite_files(
    form, made, tmp_path, monkeypatch, capsys
):
    """One file a schema, named by each row relative to its file; a file that was there before is replaced."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(make_row(n, form)) + "\n" for n in range(40)))
    assert main(["rows.jsonl", "--out", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [reward["name"] for reward in found["rewards"]] == ["sql_qa"]
    assert "databases" in found["files"] and len(list((tmp_path / "mine/databases").iterdir())) == made
    rows = [json.loads(line) for line in (tmp_path / "mine/train.jsonl").read_text().splitlines()]
    assert {(tmp_path / "mine" / row["database"]).is_file() for row in rows} == {True}
    assert any("3 SQLite files" in note for note in found["notes"])
    assert any("generated rows" in note for note in found["notes"]) == (form != "gretel")
    assert main(["rows.jsonl", "--out", "mine"]) == 2
    assert "mine/databases" in capsys.readouterr().err.replace("\\", "/")


def test_init_when_some_tables_are_not_sqlites_then_their_rows_are_named_and_dropped(tmp_path, monkeypatch, capsys):
    """The others are worth running all the same."""
    monkeypatch.chdir(tmp_path)
    rows = [make_row(n, "b-mc2") for n in range(40)]
    rows[3]["context"] = "CREATE TABLE shops (id INT, at GEOMETRY(POINT, 'x'))"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rows.jsonl", "--out", "mine"]) == 2
    assert "rows.jsonl:4: SQLite rejects its tables: " in capsys.readouterr().err
    assert main(["rows.jsonl", "--out", "mine", "--drop", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["left_out"]) == 1


@pytest.mark.parametrize(
    ("odd", "said"),
    [("none.db", "4: database: no such file: none.db"), (5, "4: database: a path is allowed, not number"), (None, "4: no CREATE TABLE")],
)  # fmt: skip
def test_init_when_rows_name_a_database_beside_them_then_it_is_found_and_an_odd_row_is_told(
    odd, said, tmp_path, monkeypatch, capsys
):
    """The file lies beside the rows, not beside what is written; one row without it does not change what the others are."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.execute("CREATE TABLE shops (id INT, sales REAL)")
        connection.executemany("INSERT INTO shops VALUES (?, ?)", [(n, n) for n in range(60)])
        connection.commit()
    rows = [
        {"question": f"Shops beyond {n}?", "answer": f"SELECT id FROM shops WHERE sales > {n}", "database": "shop.db"}
        for n in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rows.jsonl", "--out", "made/mine", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["rewards"]] == ["sql_qa"]
    row = json.loads((tmp_path / "made/mine/train.jsonl").read_text().splitlines()[0])
    assert row["database"] == "../../shop.db"
    rows[3]["database"] = odd
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rows.jsonl", "--out", "mine"]) == 2
    assert f"rows.jsonl:{said}" in capsys.readouterr().err


@pytest.mark.parametrize("odd", [5, "none.db"])
def test_init_when_one_row_of_many_with_tables_names_a_database_then_the_others_keep_theirs(
    odd, tmp_path, monkeypatch, capsys
):
    """A number is left out with a note, a file that is missing is told with its row; no query is compared as text for it."""
    monkeypatch.chdir(tmp_path)
    rows = [make_row(n, "b-mc2") for n in range(40)]
    rows[3]["database"] = odd
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rows.jsonl", "--out", "mine", "--json", "--drop"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [reward["name"] for reward in found["rewards"]] == ["sql_qa"]
    assert any("not a path" in note for note in found["notes"]) == (odd == 5)
    assert [line.partition(": ")[2][:26] for line in found["left_out"]] == (
        [] if odd == 5 else ["database: no such file: no"]
    )


def test_init_when_most_tables_are_not_sqlites_then_queries_are_compared_as_texts(tmp_path, monkeypatch, capsys):
    """As before there were databases, and the note says what would change it."""
    monkeypatch.chdir(tmp_path)
    rows = [{**make_row(n, "b-mc2"), "context": "CREATE TABLE shops (at GEOMETRY(POINT, 'x'))"} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rows.jsonl", "--out", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [reward["name"] for reward in found["rewards"]] == ["text_overlap"]
    assert not (tmp_path / "mine/databases").exists()


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("CREATE TABLE head (age INTEGER)\n\nHow many (old) heads are there?", ["CREATE TABLE head (age INTEGER)"]),
        ("Tables: CREATE TABLE a (x INT); CREATE TABLE b (y TEXT); Say it.", ["CREATE TABLE a (x INT)", "CREATE TABLE b (y TEXT)"]),
        ("CREATE TABLE a (x TEXT);\nINSERT INTO a VALUES ('a;b'), ('(');\nWho?", ["CREATE TABLE a (x TEXT)", "INSERT INTO a VALUES ('a;b'), ('(')"]),
        ("create table a\n(\n  x int\n)\n\ncreate view v as select x from a;", ["create table a\n(\n  x int\n)", "create view v as select x from a"]),
        ("INSERT INTO a VALUES (1)", []),
        ("Please create a table of shops", []),
        ("CREATE TABLE a (x INT", ["CREATE TABLE a (x INT"]),
    ],
)  # fmt: skip
def test_schema_when_it_stands_amid_words_then_only_its_statements_are_cut_out(text, statements):
    """The question follows on a line of its own, or behind a semicolon; brackets of its own are not the schema's."""
    assert find_schema(make_example(text)) == statements


def test_schema_when_the_prompt_has_none_then_a_column_may(tmp_path):
    """Sets that ask by the question alone keep the tables beside it."""
    assert find_schema(make_example("Who?", ddl="CREATE TABLE a (x INT);")) == ["CREATE TABLE a (x INT)"]


def test_database_when_keys_count_up_in_other_dialects_then_they_do_so_in_sqlite():
    """With NULL for a key, as SQLite has it for SERIAL, every join would be empty."""
    for kind in (
        "SERIAL PRIMARY KEY",
        "INT UNSIGNED AUTO_INCREMENT PRIMARY KEY",
        "INT NOT NULL PRIMARY KEY AUTO_INCREMENT",
    ):
        content = build_database(
            [f"CREATE TABLE a (id {kind}, name VARCHAR(9)) ENGINE=InnoDB", "INSERT INTO a (name) VALUES ('x'), ('y')"]
        )
        assert isinstance(content, bytes) and ask(content, "SELECT id FROM a") == [(1,), (2,)], (kind, content)


def test_database_when_a_table_comes_twice_then_it_has_the_columns_of_both():
    """As sets do that cut a schema down to what each part of a query needs."""
    content = build_database(["CREATE TABLE s (name TEXT, id INT)", "CREATE TABLE S (id INT, city TEXT)"])
    assert ask(content, "SELECT name, id, city FROM s") == []


def test_database_when_making_it_would_never_end_then_it_is_refused():
    """A schema comes with foreign data."""
    endless = "CREATE TABLE a AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"
    assert "interrupted" in build_database([endless])


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE a (x)", "INSERT INTO a VALUES (zeroblob(900000000))"],
        ["CREATE TABLE a AS WITH RECURSIVE n(x) AS (SELECT zeroblob(900000) UNION ALL SELECT x FROM n LIMIT 200) SELECT x FROM n"],
        ["CREATE TABLE a (x DEFAULT '\ud800')"],
        ["CREATE TABLE a\x00 (x)"],
    ],
)  # fmt: skip
def test_database_when_its_values_are_huge_or_no_text_then_it_is_refused_in_a_line(statements):
    """One short statement makes a gigabyte; half a character is no SQL."""
    assert "SQLite rejects its tables: " in build_database(statements)


def test_database_when_a_table_is_temporary_then_the_file_has_it():
    """A file keeps no temporary tables, and the row asks about this one."""
    content = build_database(["CREATE TEMPORARY TABLE a (x INT)", "INSERT INTO a VALUES (7)"])
    assert ask(content, "SELECT x FROM a") == [(7,)]


@pytest.mark.parametrize("text", ["CREATE TABLE a (x) /* ", "CREATE TABLE a (x TEXT) COMMENT 'it) comment "])
def test_schema_when_nothing_in_it_closes_then_it_is_read_in_time(text):
    """A comment without its end took the square of the length, and so did what looks like MySQL's words behind a table."""
    with at_most(5):
        build_database(find_schema(make_example((text * 9_000)[:199_000])))
