"""SQL that a model wrote, in processes of its own: attacks end within limits, and honest statements do not notice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rewards import limits as bounds
from rewards.sql import copies
from rewards.sql.processes import Pool, SqlQuestion
from rewards.sql.sandbox import Limits, run_queries, run_query, spending
from tests.rewards.sql.attacks import build_shop_database, list_attacks
from tests.timing import at_most

ROOT = Path(__file__).resolve().parents[3]
COUNT = "SELECT COUNT(*) FROM orders WHERE late = 1"
SLOW_STEP = "instr(replace(printf('%99000d', 1), ' ', 'ab'), replace(printf('%49000d', 1), ' ', 'ab') || 'c{0}')"
DEAF = "SELECT " + " + ".join(SLOW_STEP.format(n) for n in range(20)) + " FROM orders"


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    return build_shop_database(tmp_path_factory.mktemp("shop") / "shop.db")


@pytest.fixture
def pool():
    made = Pool(most=2)
    yield made
    made.close()


def question(database: str, sql: str, **limits: float) -> SqlQuestion:
    return SqlQuestion(database, (), False, sql, Limits(**limits))


def test_attacks_when_all_are_run_then_none_reads_writes_or_takes_more_than_it_may():
    """The list of attacks, at smaller limits than a run's, in a process whose children's memory is measured."""
    assert len(list_attacks()) >= 200
    words = [sys.executable, "benchmarks/sql_attacks.py", "--steps", "100000", "--seconds", "0.4", "--json"]
    found = json.loads(subprocess.run(words, cwd=ROOT, check=True, capture_output=True, timeout=240).stdout)
    assert found["attacks"] == len(list_attacks())
    assert found["not_refused"] == [] and not found["changed"] and found["answers_still"]
    assert found["peak_mib"] < 256


def test_run_query_when_one_step_never_ends_then_its_processor_time_does(database):
    """SQLite asks nobody within a step: the kernel ends the process, and the next statement has another one."""
    with at_most(10, time.perf_counter):
        result = run_query(database, DEAF, Limits(seconds=0.2))
    assert result.status == "error" and "0.2 s" in result.message
    assert run_query(database, f"{COUNT} AND 2", Limits()).rows == ((120,),)


def test_run_query_when_memory_is_short_then_the_answer_does_not_hang_on_what_ran_before(database):
    """A statement that needs more than all of it says so; the words are the same in a fresh process and in a used one."""
    hungry = "SELECT DISTINCT replace(printf('%90000d', 1), ' ', 'ab') || a.id || b.id FROM orders a, orders b LIMIT 1 OFFSET 9000"
    first = run_query(database, hungry, Limits())
    run_query(database, f"{COUNT} AND 3", Limits())
    second = run_query(database, hungry + " ", Limits())
    assert (first.status, first.message) == (second.status, second.message) == ("error", "more than 128 MiB of memory")


def test_pool_when_its_process_is_killed_then_the_next_question_starts_another(database, pool):
    """Killed while idle, by whomever: the statement that finds out is blamed, no later one."""
    pool.ask([question(database, COUNT)])
    os.kill(pool._idle[0]._process.pid, signal.SIGKILL)
    pool.ask([question(database, COUNT)])
    ((result, _),) = pool.ask([question(database, COUNT)])
    assert result.rows == ((120,),)


def test_pool_when_one_of_many_statements_ends_the_process_then_only_that_one_is_blamed(database, pool):
    """The others are asked again, each alone."""
    results = pool.ask([question(database, sql, seconds=0.3) for sql in (COUNT, DEAF, COUNT)])
    assert [result.status for result, _ in results] == ["ok", "error", "ok"]


def test_pool_when_many_threads_ask_then_no_more_processes_run_than_allowed_and_each_gets_its_answer(database, pool):
    """Answers carry the number of their question; nobody gets a neighbour's."""
    answers: dict[int, object] = {}

    def ask(low: int) -> None:
        ((result, _),) = pool.ask([question(database, f"SELECT COUNT(*) FROM orders WHERE id >= {low}")])
        answers[low] = result.rows[0][0]

    threads = [threading.Thread(target=ask, args=(low,)) for low in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {low: 600 - low for low in range(30)} and pool.starts <= 2


def test_run_queries_when_values_are_odd_then_they_come_back_as_sqlite_gave_them(database):
    """Infinity, blobs, big integers, text that is not UTF-8."""
    sql = "SELECT 1e999, -1e999, x'00ff', 9223372036854775807, CAST(x'ff41' AS TEXT), NULL, 0.1, '\u00e9\U0001f600'"
    assert run_query(database, sql, Limits()).rows == (
        (float("inf"), float("-inf"), b"\x00\xff", 2**63 - 1, "\ufffdA", None, 0.1, "é😀"),
    )
    assert [each.rows for each in run_queries(database, [(COUNT, 0), ("SELECT 1", 0)], Limits())] == [
        ((120,),),
        ((1,),),
    ]


def test_run_query_when_a_completion_has_spent_its_seconds_then_copies_are_asked_no_more(database):
    """All copies together have a limit: a statement just below that of one statement cannot take it thirteen times."""
    with spending(0.05):
        first = run_query(database, f"SELECT {SLOW_STEP.format('x')} FROM orders LIMIT 1", Limits())
        second = run_query(database, f"{COUNT} AND 4", Limits(), 1)
    assert first.status == "ok"
    assert second.status == "error" and "too long on copies" in second.message
    assert run_query(database, f"{COUNT} AND 4", Limits(), 1).status == "ok"


def test_copies_when_their_process_was_killed_then_the_next_one_deletes_them(tmp_path, monkeypatch, database):
    """A folder whose process is gone; that of a living one stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    gone, alive = tmp_path / f"recompensa-sql-{child.pid}-abc", tmp_path / f"recompensa-sql-{os.getppid()}-abc"
    gone.mkdir()
    alive.mkdir()
    copies._sweep(tmp_path)
    assert not gone.exists() and alive.exists()


def test_limits_when_a_machine_is_busy_then_wall_time_is_not_what_ends_a_statement():
    """Wall time is several times the processor time, so that scores do not hang on the load."""
    assert bounds.SQL_WALL_SECONDS >= 3 * bounds.SQL_PROCESSOR_SECONDS
