"""What the made-up rows of empty tables hold, column by column."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

from rewards.sql.filled import ROWS, open_filled

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, age TEXT, born DATE, since_time TEXT, ano TEXT, balance REAL, rank INTEGER, plan);
CREATE TABLE orders (order_code TEXT, customer_id TEXT, place_id INTEGER, extra_id INTEGER, total VARCHAR, year_made INTEGER, CONSTRAINT c FOREIGN KEY (place_id) REFERENCES customers (id));
CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b));
CREATE TABLE kept (id INTEGER, word TEXT);
CREATE TABLE barred (id INTEGER, word TEXT CHECK (word = 'never'));
INSERT INTO kept VALUES (7, 'own');
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    path = tmp_path_factory.mktemp("filled") / "schema.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(SCHEMA)
    with closing(open_filled(str(path))) as connection:
        yield connection


def values(filled, table, column):
    return [value for (value,) in filled.execute(f"SELECT {column} FROM {table}")]


def test_filled_tables_when_they_had_no_rows_then_forty_and_those_that_had_some_are_left(filled):
    """A table that takes no made-up row stays empty."""
    counts = {table: len(values(filled, table, "rowid")) for table in ("customers", "orders", "kept", "barred")}
    assert counts == {"customers": ROWS, "orders": ROWS, "kept": 1, "barred": 0}
    assert values(filled, "kept", "word") == ["own"]


def test_filled_keys_when_they_refer_to_rows_then_they_are_numbers_of_rows(filled):
    """A key of its own counts from 1; declared or named as another table's it is one of its rows; of two parts it is drawn."""
    assert values(filled, "customers", "id") == list(range(1, ROWS + 1))
    assert values(filled, "orders", "order_code") == [str(number) for number in range(1, ROWS + 1)]
    for column, kind in (("customer_id", str), ("place_id", int)):
        found = values(filled, "orders", column)
        assert all(isinstance(value, kind) and 1 <= int(value) <= ROWS for value in found) and len(set(found)) > 10
    assert max(values(filled, "orders", "extra_id")) > ROWS, "no table is called so: a number like any other"
    assert 0 < len(values(filled, "pairs", "a")) <= ROWS and values(filled, "pairs", "a") != list(range(1, ROWS + 1))


def test_filled_columns_when_their_names_or_types_say_what_they_hold_then_they_hold_that(filled):
    """Dates within years of today, times with a clock, years, amounts, whole numbers, names that come once, few labels."""
    born, since = values(filled, "customers", "born"), values(filled, "customers", "since_time")
    assert all(re.fullmatch(r"20(19|2[0-4])-\d\d-\d\d", day) for day in born) and len(set(born)) > 20
    assert all(re.fullmatch(r"20(19|2[0-4])-\d\d-\d\d ([01]\d|2[0-3]):[0-5]\d:00", moment) for moment in since)
    assert all(isinstance(year, str) and 1990 <= int(year) <= 2024 for year in values(filled, "customers", "ano"))
    assert all(isinstance(year, int) and 1990 <= year <= 2024 for year in values(filled, "orders", "year_made"))
    balance = values(filled, "customers", "balance")
    assert all(isinstance(amount, float) and 1.0 <= amount < 200.0 for amount in balance)
    assert any(amount != int(amount) for amount in balance)
    assert all(isinstance(rank, int) and 1 <= rank <= 99 for rank in values(filled, "customers", "rank"))
    for table, column in (("customers", "age"), ("orders", "total")):
        assert all(isinstance(value, str) and 1 <= int(value) <= 99 for value in values(filled, table, column))
    names = values(filled, "customers", "name")
    assert len(set(names)) == ROWS and all(re.fullmatch(r"name \d{1,3} \d{1,2}", name) for name in names)
    cities = values(filled, "customers", "city")
    assert set(cities) <= {f"city {letter}" for letter in "abcdefgh"} and cities.count("city a") > cities.count(
        "city h"
    )
    assert len(set(cities)) > 3 and {type(value) for value in values(filled, "customers", "plan")} == {str}


def test_filled_copies_when_made_twice_then_they_are_the_same(tmp_path, filled):
    """Drawn by the names of table and column."""
    path = tmp_path / "again.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(SCHEMA)
    with closing(open_filled(str(path))) as again:
        assert list(again.iterdump()) == list(filled.iterdump())
