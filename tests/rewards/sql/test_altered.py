"""Altered copies: what belongs together stays together, what answers hang on changes, and the clock stays out."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.audit.audit import audit_rows
from rewards.functions.sql_qa import SqlQa
from rewards.host.scoring import RewardHost
from rewards.host.weighted import WeightedFunction
from rewards.sql.altered import GENTLE, HARSH, know_relations, open_altered
from rewards.sql.results import same_rows
from rewards.sql.sandbox import Limits, run_query
from rewards.types import Completion, Example
from tests.rewards.sql.music import build_music


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    return build_music(tmp_path_factory.mktemp("music") / "shop.db")


def value_of(database: str, gold: str, text: str, **options: object) -> tuple[float, str]:
    score = SqlQa(**options)(Example("1", "sql_qa", [], gold, {"database": database}), Completion(text))
    return score.value, score.reason


def test_relations_when_read_then_tell_keys_parts_and_shared_labels(database):
    """Declared links, lines as parts of invoices, countries under two names."""
    found = know_relations(database)
    links = {(link.child.table, link.parent.table): link for link in found.links}
    assert links["invoice_line", "invoice"].owner and not links["invoice_line", "track"].owner
    assert "customer" in found.roots and not {"track", "invoice_line", "invoice"} & found.roots
    assert any({name.column for name in group} == {"country", "billing_country"} for group in found.labels)
    assert {name.column for name in found.measures} == {"seconds", "price", "total"}
    assert [name.column for name in found.dates] == ["day"]


@pytest.mark.parametrize("copy", [*GENTLE, *HARSH])
def test_open_altered_when_any_copy_is_made_then_no_reference_points_nowhere(database, copy):
    """Foreign keys hold in every copy, and the same number gives the same copy."""
    first, second = open_altered(database, copy), open_altered(database, copy)
    assert first.execute("PRAGMA foreign_key_check").fetchall() == []
    everything = "SELECT * FROM invoice_line JOIN invoice USING (invoice_id) ORDER BY 1, 2"
    rows = first.execute(everything).fetchall()
    assert rows == second.execute(everything).fetchall() and len(rows) > 10


@pytest.mark.parametrize("copy", GENTLE)
def test_open_altered_when_a_copy_is_gentle_then_totals_and_twin_columns_still_agree(database, copy):
    """An invoice has its lines' total and its customer's country, and something has changed."""
    altered = open_altered(database, copy)
    apart = (
        "SELECT COUNT(*) FROM invoice i JOIN customer c USING (customer_id) WHERE i.billing_country <> c.country OR "
        "ABS(i.total - (SELECT SUM(price * quantity) FROM invoice_line l WHERE l.invoice_id = i.invoice_id)) > 0.01"
    )
    assert altered.execute(apart).fetchone()[0] == 0
    total = "SELECT SUM(total), MAX(day) FROM invoice"
    assert altered.execute(total).fetchall() != sqlite3.connect(database).execute(total).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT strftime('%f', 'now')",
        "SELECT date()",
        "SELECT datetime('n' || 'ow')",
        "WITH n (x) AS (SELECT substr('xnow', 2)) SELECT julianday(x) FROM n",
        "SELECT strftime('%s', '2024-01-01', 'localtime')",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT time(x'6e6f77')",
        "SELECT random()",
        "SELECT * FROM invoice ORDER BY random()",
        "SELECT sqlite_version()",
    ],
)
def test_run_query_when_a_statement_asks_for_the_clock_or_chance_then_is_refused(database, sql):
    """However it is written."""
    assert run_query(database, sql, Limits()).status == "error"


def test_run_query_when_dates_are_computed_then_are_sqlite_s_own(database):
    """The guard changes no other result, in plain and in guarded statements, one after the other."""
    plain = sqlite3.connect(database)
    for sql in (
        "SELECT strftime('%Y', day) FROM invoice",
        "SELECT strftime('%Y', substr(day, 1, 10)), julianday(day) FROM invoice",
        "SELECT date('2024-01-31', '+1 month')",
        "SELECT date(day, '-1 day', 'start of month') FROM invoice WHERE lower(billing_country) = 'usa'",
    ):
        assert list(run_query(database, sql, Limits()).rows) == plain.execute(sql).fetchall()


def test_sql_qa_when_scored_in_other_processes_then_gives_the_same(database):
    """No seed, clock or order of hashing takes part."""
    program = (
        "import sys; from rewards.functions.sql_qa import SqlQa; from rewards.types import Completion, Example;"
        "e = Example('1', 'sql_qa', [], sys.argv[2], {'database': sys.argv[1]});"
        "print([SqlQa()(e, Completion(t)).value for t in sys.argv[3:]])"
    )
    gold = "SELECT name FROM customer ORDER BY customer_id LIMIT 1"
    texts = [
        "SELECT name FROM customer WHERE customer_id = 1 + (strftime('%f', 'now') < 30)",
        "SELECT name FROM customer LIMIT 1",
        "SELECT MAX(name) FROM customer WHERE customer_id = (SELECT MIN(customer_id) FROM customer)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, database, gold, *texts],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    here = [value_of(database, gold, text)[0] for text in texts]
    assert done.stdout.strip() == str(here) and here[0] <= 0.45 and here[2] == 1.0


def test_sql_qa_when_order_or_columns_are_options_then_compares_as_they_say(database):
    """As Spider's checker does."""
    gold = "SELECT name, country FROM customer ORDER BY name"
    assert value_of(database, gold, "SELECT name, country FROM customer ORDER BY name DESC")[0] == 1.0
    assert value_of(database, gold, "SELECT name, country FROM customer ORDER BY name DESC", ordered=True)[0] <= 0.45
    assert value_of(database, gold, "SELECT country, name FROM customer")[0] <= 0.45
    assert value_of(database, gold, "SELECT country, name FROM customer", columns="any")[0] == 1.0
    assert (
        value_of(database, gold, "SELECT country, name FROM customer ORDER BY 2", columns="any", ordered=True)[0] == 1.0
    )
    assert value_of(database, gold, "SELECT country, country FROM customer", columns="any")[0] <= 0.45


def test_audit_when_a_reference_finds_nothing_or_cuts_a_tie_then_warns(database):
    """Such rows pass, and are named."""
    rows = [
        Example("none", "sql_qa", [], "SELECT COUNT(*) FROM invoice WHERE total > 9000", {"database": database}),
        Example("tie", "sql_qa", [], "SELECT title FROM track ORDER BY price DESC LIMIT 1", {"database": database}),
        Example("fit", "sql_qa", [], "SELECT COUNT(*) FROM invoice", {"database": database}),
    ]
    with RewardHost([WeightedFunction(SqlQa())]) as host:
        found = audit_rows(host, rows)
    said = [line for line in found.warnings if "sql_qa" in line]
    assert any("'none'" in line and "finds nothing" in line for line in said)
    assert any("'tie'" in line and "tie" in line for line in said)
    assert not any("'fit'" in line for line in said)


def test_sql_qa_when_the_reference_cuts_a_tie_then_another_row_of_the_tie_is_right(database):
    """Which row the LIMIT keeps is up to the database, so copies without the tie decide; never `right by chance`."""
    gold = "SELECT t.title FROM track t JOIN invoice_line l USING (track_id) GROUP BY t.track_id ORDER BY COUNT(*) DESC LIMIT 1"
    other = gold.replace("DESC LIMIT", "DESC, t.title DESC LIMIT")
    value, reason = value_of(database, gold, other)
    assert value == 1.0 or "could not be checked" in reason


@pytest.mark.parametrize(
    ("right", "given", "equal"),
    [
        ([(4.0, "a"), (4.0, "b")], [(4.001, "b"), (4.004, "a")], True),
        ([(1.0, 2.0), (1.004, 1.0)], [(1.0, 1.0), (1.004, 2.0)], True),
        ([(50030230,)], [(50030247,)], False),
        ([(3000000,)], [(3000001.0,)], False),
        ([(0.0001,)], [(0.0042,)], False),
        ([(0.0,)], [(0.0042,)], True),
        ([(0.1523,)], [(0.15,)], True),
        ([(0.0042,)], [(0.0,)], False),
        ([(0.1 + 0.2,)], [(0.3,)], True),
        ([(i / 7, -i / 7) for i in range(300)], [(i / 7, -i / 7) for i in reversed(range(300))], True),
        ([(i * 0.004, 0.0) for i in range(300)], [(i * 0.004 + 0.004, 0.0) for i in range(300)], False),
    ],
)
def test_same_rows_when_numbers_nearly_tie_or_are_small_or_whole_then_pairs_them_right(right, given, equal):
    """Sorting does not decide who is compared with whom, and a tolerance does not swallow small figures."""
    assert same_rows(right, given, 0.005) is equal
