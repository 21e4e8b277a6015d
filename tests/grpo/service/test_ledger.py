"""What was asked of the queue is written down whole, from the state that was expected, and read back."""

from __future__ import annotations

import sqlite3

import orjson
import pytest

from grpo.service.ledger import Ledger, QueuedRun

# -- what is written down -------------------------------------------------------------------------------------------------


def test_ledger_when_a_run_is_changed_then_only_from_the_states_that_were_expected(tmp_path):
    """Two that both want it: the second is told None, and what is written is the first one's."""
    ledger = Ledger(tmp_path / "runs.db")
    ledger.add([QueuedRun("a", "c", overrides=("x=1",)), QueuedRun("b", "c", "waiting")])
    assert ledger.change("a", "queued", "waiting", state="running", slot=1).slot == 1
    assert ledger.change("a", "queued", "waiting", state="cancelled") is None
    assert ledger.change("a", tries=3).tries == 3 and ledger.change("nobody", tries=3) is None
    run = ledger.find("a")
    assert (run.state, run.slot, run.tries, run.overrides) == ("running", 1, 3, ("x=1",))
    assert ledger.update("a", lambda run: None) is None and ledger.find("a") == run
    assert [each.id for each in ledger.list()] == ["a", "b"]
    assert [each.id for each in ledger.list("waiting", "done")] == ["b"] and ledger.list("queued") == []
    again = Ledger(tmp_path / "runs.db")
    assert again.find("a") == run and run.to_json()["overrides"] == ("x=1",)


def test_ledger_when_a_change_fails_in_its_middle_then_nothing_of_it_is_written(tmp_path):
    """And the next one finds the file free."""
    ledger = Ledger(tmp_path / "runs.db")
    ledger.add([QueuedRun("a", "c")])
    with pytest.raises(ValueError, match=r"^a$"):
        ledger.add([QueuedRun("new", "c"), QueuedRun("a", "c")])
    assert ledger.find("new") is None
    with pytest.raises(KeyError):
        ledger.update("a", lambda run: {}["missing"])
    assert ledger.change("a", state="done").state == "done" and Ledger(tmp_path / "runs.db").find("a").state == "done"


def test_ledger_when_another_version_wrote_a_row_then_what_is_known_of_it_is_read(tmp_path):
    """A column that this one does not know, no list of settings; its id is that of the row."""
    path = tmp_path / "runs.db"
    Ledger(path).add([QueuedRun("a", "c")])
    with sqlite3.connect(path) as connection:
        document = orjson.dumps({"id": "other", "config": "c", "state": "done", "overrides": None, "later": 1})
        connection.execute("UPDATE runs SET document = ?", (document,))
    run = Ledger(path).find("a")
    assert (run.id, run.state, run.overrides) == ("a", "done", ())
