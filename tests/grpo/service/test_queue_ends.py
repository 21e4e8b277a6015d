"""What the end of a run means for it and for those that wait for it, one step at a time: no worker, no clock, no process."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("huey")

from grpo.lifecycle.resume import seal_checkpoint
from grpo.service.ledger import DECISION, QueuedRun
from grpo.service.queue import describe_end, find_place, find_reason, make_words
from rewards.errors import UserError
from tests.grpo.service.made_up import Process, put, states, write_run

# -- what an end means ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "state", "wanted", "reason"),
    [
        (0, "running", "done", ""),
        (0, "cancelling", "done", ""),
        (1, "running", "failed", "it said why"),
        (2, "running", "failed", "it said why"),
        (1, "cancelling", "cancelled", "cancelled; resume it to continue"),
        (None, "cancelling", "cancelled", "cancelled; resume it to continue"),
        (3, "running", "stopped", "stopped by a_rule"),
        (75, "running", "queued", "interrupted; queued again"),
        (-9, "running", "queued", "killed by SIGKILL; queued again"),
        (137, "running", "queued", "killed by SIGKILL; queued again"),
        (44, "running", "queued", "ended with exit code 44; queued again"),
        (None, "running", "queued", "killed together with the service or the machine; queued again"),
    ],
)
def test_end_when_a_run_ends_with_a_code_then_its_state_and_reason_are_those_of_the_table(
    make, code, state, wanted, reason
):
    """What waits behind it moves only where it is done, or never will be."""
    queue = make(QueuedRun("a", "c", state, slot=0, tries=1), QueuedRun("b", "c", "waiting", after="a"))
    write_run(queue, "a", {"stopped_by": "a_rule"})
    put(queue, "a", lines=["warning: x", "error: it said why", "more"])
    queue._settle("a", code)
    run = queue.ledger.find("a")
    assert (run.state, run.reason, run.exit_code, run.slot) == (wanted, reason, code, None)
    assert (run.ended is None) == (wanted == "queued")
    assert states(queue)["b"] == {"done": "queued", "queued": "waiting"}.get(wanted, "skipped")
    queue._settle("nobody", 0)  # its row is gone


def test_end_when_it_was_settled_already_then_it_stays_as_it_is(make):
    """Two services that both saw it: the second finds no run that goes on."""
    for code in (0, 1, 3, 75):
        queue = make(QueuedRun(f"a{code}", "c", "stopped", reason="before"))
        put(queue, f"a{code}")
        queue._settle(f"a{code}", code)
        assert (states(queue)[f"a{code}"], queue.ledger.find(f"a{code}").reason) == ("stopped", "before")
        assert queue._turns.take() == []


@pytest.mark.parametrize(
    ("tries", "code", "wait"),
    [(1, 75, 0), (2, 75, 1), (3, 75, 2), (4, -9, 4), (7, 75, 32), (8, 75, 60), (9, 75, 60), (4, None, 0)],
)
def test_try_again_when_a_run_comes_no_further_then_each_wait_is_twice_the_one_before_up_to_a_minute(
    make, tries, code, wait
):
    """One that went down with the machine is not made to wait."""
    queue = make(QueuedRun("a", "c", "running", slot=0, tries=tries, priority=2))
    process = put(queue, "a")
    before = time.time()
    queue._try_again(queue.ledger.find("a"), code)
    run = queue.ledger.find("a")
    assert (run.state, run.tries, run.slot) == ("queued", tries, None)
    offered = queue._turns.take()
    if wait:
        assert before + wait <= run.not_before <= time.time() + wait
        assert offered[0] == ("a", 2, wait)  # before the ledger says queued
        assert wait - 1 < offered[1][2] <= wait and process.said[0].endswith(f"; queued again in {wait} s")
    else:
        assert run.not_before == 0.0 and offered == [("a", 2, 0.0)] and process.said[0].endswith("; queued again")


def test_try_again_when_a_run_came_further_then_its_tries_begin_anew_and_else_it_is_given_up(make):
    """Ten starts from one and the same checkpoint are enough; a new checkpoint is a new beginning."""
    queue = make(QueuedRun("a", "c", "running", slot=0, tries=10))
    put(queue, "a")
    folder = write_run(queue, "a", {"stage": "grpo"})
    queue._try_again(queue.ledger.find("a"), 75)
    run = queue.ledger.find("a")
    assert (run.state, run.tries, run.place) == ("queued", 0, "grpo 0")
    queue.ledger.change("a", state="running", tries=10)
    checkpoint = folder / "checkpoints" / "checkpoint-20"
    checkpoint.mkdir(parents=True)
    seal_checkpoint(checkpoint, folder)
    queue._try_again(queue.ledger.find("a"), 75)
    run = queue.ledger.find("a")
    assert (run.state, run.tries, run.place) == ("queued", 0, "grpo 20")
    queue.ledger.change("a", state="running", tries=9, slot=0)
    queue._try_again(queue.ledger.find("a"), 75)
    assert queue.ledger.find("a").state == "queued"
    queue._turns.take()
    queue.ledger.change("a", state="running", tries=10, slot=0)
    queue._try_again(queue.ledger.find("a"), 75)
    run = queue.ledger.find("a")
    assert (run.state, run.reason) == ("failed", "interrupted; given up after 10 tries that came no further")
    assert (run.exit_code, run.slot) == (75, None) and run.ended is not None and queue._turns.take() == []


def test_cancel_when_it_comes_as_a_run_ends_or_cannot_be_started_then_the_run_is_not_queued_again(make):
    """Between the look at its state and the next turn: whoever cancelled it would find it running an hour later."""
    queue = make(QueuedRun("ends", "c", "running", slot=0, tries=4), QueuedRun("starts", "c"), slots=2)
    put(queue, "ends")
    seen = queue.ledger.find("ends")
    assert queue.cancel("ends").state == "cancelling"
    queue._try_again(seen, 75)
    process = put(queue, "starts", starts=OSError(28, "No space left on device"))
    queue.listen(lambda run: run.state == "running" and run.id == "starts" and queue.cancel("starts"))
    queue._carry_run("starts")
    assert process.said[:2] == ["clear", "ask"] and states(queue) == {"ends": "cancelled", "starts": "cancelled"}
    for name in ("ends", "starts"):
        run = queue.ledger.find(name)
        assert (run.reason, run.slot) == ("cancelled; resume it to continue", None) and run.ended is not None
        queue._turns.take()
        queue._carry_run(name)
        assert states(queue)[name] == "cancelled" and queue._turns.take() == []


# -- one after another ----------------------------------------------------------------------------------------------------


def test_chain_when_the_one_before_was_started_by_hand_then_its_folder_says_how_far_it_is(make):
    """Not finished it is waited for; without a folder there is nothing that could ever be done."""
    queue = make(QueuedRun("b", "c", "waiting", after="mine"), QueuedRun("d", "c", "waiting", after="b"),
                 QueuedRun("e", "c", "waiting", after="nobody"))  # fmt: skip
    write_run(queue, "mine", {"finished": False})
    queue._release()
    assert states(queue) == {"b": "waiting", "d": "waiting", "e": "skipped"}
    assert queue.ledger.find("e").reason == "nobody ended unknown" and queue.ledger.find("e").ended is not None
    (queue.folder("mine") / "status.json").write_text('{"finished": true}')
    queue._release()
    assert states(queue) == {"b": "queued", "d": "waiting", "e": "skipped"}
    assert queue._turns.take() == [("b", 0, 0.0)]


def test_chain_when_a_decision_names_a_next_run_that_does_not_fit_then_it_is_skipped_with_the_reason(make, monkeypatch):
    """The first line of what is wrong with it; one that fits is queued with its config."""
    queue = make(QueuedRun("a", "c", "done"), QueuedRun("b", DECISION, "waiting", after="a", profile="gpu"))
    path = write_run(queue, "a") / "next_config.yaml"
    path.write_text("extends: v4_1\n")
    asked = []

    def refuse(path, profile):
        asked.append((path, profile))
        raise UserError(["too large for this machine", "and more"])

    monkeypatch.setattr("grpo.ladder.check_next_run", refuse)
    queue._release()
    assert asked == [(path, "gpu")]
    assert (states(queue)["b"], queue.ledger.find("b").reason) == ("skipped", "too large for this machine")
    queue.ledger.change("b", state="waiting")
    monkeypatch.setattr("grpo.ladder.check_next_run", lambda path, profile: None)
    queue._release()
    assert (states(queue)["b"], queue.ledger.find("b").config) == ("queued", str(path))


# -- words ----------------------------------------------------------------------------------------------------------------


def test_place_when_a_run_is_in_its_warm_up_then_it_is_that_of_its_newest_whole_checkpoint(tmp_path):
    """The folder may not be whole yet."""
    assert find_place(tmp_path) == ""
    (tmp_path / "config.json").write_text("{}")
    assert find_place(tmp_path) == "None 0"
    (tmp_path / "status.json").write_text('{"stage": "sft"}')
    checkpoint = tmp_path / "sft-checkpoints" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    assert find_place(tmp_path) == "sft 0"
    seal_checkpoint(checkpoint, tmp_path)
    assert find_place(tmp_path) == "sft 7"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["error: first", "error: last", "  ", "trailing"], "last"),
        (["one", "  two  ", ""], "two"),
        ([], "it said nothing"),
        (["error: " + "x" * 600], "x" * 500),
    ],
)
def test_reason_when_a_log_is_read_then_it_is_its_last_error_or_else_its_last_line(lines, reason):
    """At most 500 characters of it."""
    assert find_reason(Process(lines=lines)) == reason


def test_words_when_a_run_has_several_settings_then_each_is_set(tmp_path):
    """As on the command line, in their order."""
    words = make_words(QueuedRun("a", "c", overrides=("x=1", "y=2")), tmp_path)
    assert words[-4:] == ["--set", "x=1", "--set", "y=2"]
    assert [describe_end(code) for code in (75, -15, 143, 64)] == [
        "interrupted", "killed by SIGTERM", "killed by SIGTERM", "ended with exit code 64"
    ]  # fmt: skip
