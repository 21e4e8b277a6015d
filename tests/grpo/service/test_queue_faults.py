"""What goes wrong around the queue: a clock that is set back, a full disk, damaged files, a hundred runs at once."""

from __future__ import annotations

import datetime
import errno
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("huey")

from grpo.service.ledger import Ledger, QueuedRun
from grpo.service.processes import RunProcess
from grpo.service.queue import RunQueue
from grpo.service.turns import Turns
from rewards.errors import UserError

# Counts what SIGTERM it gets, and takes a while to end.
COUNTS = """
import pathlib, signal, sys, time
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
pathlib.Path(sys.argv[1]).write_text("up")
while not got:
    time.sleep(0.02)
time.sleep(2)
pathlib.Path(sys.argv[1]).write_text(str(len(got)))
sys.exit(75)
"""


def wait_until(holds, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def make_queue(root: Path, *words: str, **settings) -> RunQueue:
    return RunQueue(root, start_words=lambda run, root: list(words), **settings)


def has_state(queue: RunQueue, name: str, state: str):
    return lambda: (run := queue.ledger.find(name)) is not None and run.state == state


def test_turn_when_the_clock_is_set_back_an_hour_then_it_comes_all_the_same(tmp_path, monkeypatch):
    """What is tried again in a second is, whatever the time of day says meanwhile."""
    from huey import api

    came = threading.Event()
    turns = Turns(tmp_path / "queue.db", lambda name: came.set())
    turns.start(1)
    turns.offer("a", 0.0, 1.0)
    now = api.Huey._get_timestamp
    monkeypatch.setattr(api.Huey, "_get_timestamp", lambda self: now(self) - datetime.timedelta(hours=1))
    monkeypatch.setattr(time, "time", lambda: 1.0)
    assert turns.is_early("a")
    assert came.wait(30) and not turns.is_early("a")
    turns.stop()


def test_turn_when_a_name_is_offered_anew_then_the_last_offer_counts(tmp_path):
    """One that waits for its next try, and is resumed by hand, starts at once."""
    came: list[str] = []
    turns = Turns(tmp_path / "queue.db", came.append)
    turns.start(1)
    turns.offer("a", 0.0, 3600.0)
    turns.offer("a", 0.0)
    wait_until(lambda: came == ["a"])
    turns.stop()


def test_turn_when_it_is_put_off_in_the_instant_that_it_comes_then_it_does_not_come_early(tmp_path, monkeypatch):
    """The waiter has seen both due, and hands over the first, when the second is offered for an hour from now."""
    handed: list[str] = []
    turns = Turns(tmp_path / "queue.db", handed.append)

    def hand(name: str, priority: float) -> None:
        handed.append(name)
        if name == "a":
            turns.offer("b", 0.0, 3600.0)

    monkeypatch.setattr(turns, "_carry", hand)
    for name in ("a", "b", "c"):
        turns.offer(name, 0.0, 0.01)
    turns.start(1)
    wait_until(lambda: "c" in handed)
    turns.stop()
    assert handed == ["a", "c"] and turns.is_early("b")


def test_turn_when_the_disk_is_full_as_it_comes_then_it_comes_once_there_is_room(tmp_path, monkeypatch):
    """At once or put off: a turn that cannot be written down is not forgotten."""
    handed: list[str] = []
    turns = Turns(tmp_path / "queue.db", handed.append)

    def hand(name: str, priority: float) -> None:
        handed.append(name)
        if handed.count(name) < 3:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(turns, "_carry", hand)
    turns.offer("now", 0.0)
    turns.offer("later", 0.0, 0.01)
    turns.start(1)
    wait_until(lambda: handed.count("now") == 3 and handed.count("later") == 3)
    turns.stop()
    assert not turns.is_early("now") and not turns.is_early("later")


def test_try_again_when_a_stale_turn_is_left_then_the_run_waits_all_the_same(root, monkeypatch):
    """In the instant that the ledger says queued, nothing may start it before its time."""
    with make_queue(root, "true") as queue:
        queue.ledger.add([QueuedRun("a", "c", state="running", tries=4)])
        monkeypatch.setattr(queue, "_tell", lambda run: early.append(queue._turns.is_early("a")))
        early: list[bool] = []
        queue._try_again(queue.ledger.find("a"), 9)
        assert early == [True] and has_state(queue, "a", "queued")()


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_queue_when_its_turns_are_damaged_then_they_are_filled_again_from_the_ledger(root, content):
    """Nothing stands in that file that the ledger does not say."""
    (root / ".service").mkdir()
    Ledger(root / ".service" / "runs.db").add([QueuedRun("a", "c")])
    (root / ".service" / "queue.db").write_bytes(content)
    with make_queue(root, "true") as queue:
        wait_until(has_state(queue, "a", "done"))


@pytest.mark.parametrize("damage", ["text", "cut", "zeroed", "folder"])
def test_queue_when_its_ledger_is_damaged_then_one_line_says_so(root, damage):
    """It holds what was asked; nobody guesses that."""
    path = root / ".service" / "runs.db"
    path.parent.mkdir()
    ledger = Ledger(path)
    ledger.add([QueuedRun(f"run-{n}", "c" * 500) for n in range(50)])
    ledger.close()
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        half = len(content) // 2
        path.write_bytes({"text": b"no database" * 50, "cut": content[:half], "zeroed": bytes(len(content))}[damage])
    with pytest.raises(UserError, match=r"runs\.db: cannot be read") as refused:
        make_queue(root, "true")
    assert len(refused.value.problems) == 1


def test_queue_when_one_run_of_its_ledger_is_damaged_then_the_others_go_on(root):
    """The one is shown as failed, and its name can be resumed or asked for anew."""
    (root / ".service").mkdir()
    ledger = Ledger(root / ".service" / "runs.db")
    ledger.add([QueuedRun("bad", "c"), QueuedRun("good", "c")])
    ledger.close()
    with sqlite3.connect(root / ".service" / "runs.db") as connection:
        connection.execute("UPDATE runs SET document = '[1' WHERE id = 'bad'")
    with make_queue(root, "true") as queue:
        wait_until(has_state(queue, "good", "done"))
        assert has_state(queue, "bad", "failed")()
        assert "cannot be read" in queue.ledger.find("bad").reason


def test_settle_when_the_disk_is_full_as_a_run_ends_then_it_is_settled_once_there_is_room(root, monkeypatch):
    """The worker that watches over a run does not go away over a row that cannot be written."""
    full = threading.Event()
    write, refused = Ledger._write, []

    def refuse(self, run):
        if full.is_set() and run.state == "done":
            refused.append(run.id)
            raise sqlite3.OperationalError("database or disk is full")
        write(self, run)

    monkeypatch.setattr(Ledger, "_write", refuse)
    monkeypatch.setattr("grpo.service.queue._PAUSE", 0.2)
    with make_queue(root, "true") as queue:
        full.set()
        queue.submit([QueuedRun("a", "c")])
        wait_until(lambda: len(refused) > 1)
        assert has_state(queue, "a", "running")()
        full.clear()
        wait_until(has_state(queue, "a", "done"))


def test_start_when_the_disk_is_full_then_it_is_tried_again_and_the_reason_says_why(root, monkeypatch):
    """Not as one that was killed, and not ten times in a second."""
    start, failed = RunProcess.start, []

    def refuse(self, *arguments):
        if len(failed) < 2:
            failed.append(time.monotonic())
            raise OSError(errno.ENOSPC, "No space left on device")
        return start(self, *arguments)

    monkeypatch.setattr(RunProcess, "start", refuse)
    said = []
    with make_queue(root, "true") as queue:
        queue.listen(lambda run: said.append(run.reason))
        queue.submit([QueuedRun("a", "c")])
        wait_until(has_state(queue, "a", "done"))
    assert said.count("could not be started (No space left on device); queued again") == 2


def test_cancel_when_a_run_takes_its_time_then_it_is_asked_once(root, tmp_path):
    """A second SIGTERM would end it where it is, without the checkpoint that it is saving."""
    (tmp_path / "counts.py").write_text(COUNTS)
    said = tmp_path / "said"
    with make_queue(root, sys.executable, str(tmp_path / "counts.py"), str(said)) as queue:
        queue.submit([QueuedRun("a", "c")])
        wait_until(lambda: said.exists() and said.read_text() == "up")
        queue.cancel("a")
        queue.process("a").ask_to_stop()
        wait_until(has_state(queue, "a", "cancelled"))
    assert said.read_text() == "1"


@pytest.mark.slow
def test_queue_when_a_hundred_runs_wait_then_each_is_done_once(root, tmp_path):
    """Two slots, priorities of all kinds, some cancelled while they wait."""
    notes = tmp_path / "notes"
    with RunQueue(root, slots=2, start_words=lambda run, root: ["/bin/sh", "-c", f"echo {run.id} >> {notes}"]) as queue:
        queue.submit([QueuedRun(f"run-{n}", "c", priority=n % 7 - 3) for n in range(100)])
        cancelled = [f"run-{n}" for n in range(100) if n % 10 == 9 and queue.cancel(f"run-{n}").state == "cancelled"]
        wait_until(lambda: not queue.ledger.list("queued", "running", "cancelling"), 300)
        done = [run.id for run in queue.ledger.list("done")]
    assert sorted(done + cancelled) == sorted(f"run-{n}" for n in range(100))
    assert sorted(notes.read_text().split()) == sorted(done)
