"""What the queue does with a run that is asked for or whose turn has come, one step at a time: no worker, no clock, no process."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("huey")

from grpo.service.ledger import DECISION, ENDED, STATES, QueuedRun
from rewards.errors import UserError
from tests.grpo.service.made_up import put, states, write_run

# -- what is asked of it --------------------------------------------------------------------------------------------------


def test_submit_when_a_name_is_taken_or_nobody_is_there_to_wait_for_then_none_is_queued(make):
    """All or none: the first of two is as little there as the second."""
    queue = make(QueuedRun("old", "c", state="done"))
    with pytest.raises(UserError, match="name: old: there is a run of this name; choose another"):
        queue.submit([QueuedRun("new", "c"), QueuedRun("old", "c")])
    with pytest.raises(UserError, match="after: nobody: no such run in the queue"):
        queue.submit([QueuedRun("new", "c"), QueuedRun("next", "c", "waiting", after="nobody")])
    assert states(queue) == {"old": "done"} and queue._turns.offered == [] and queue.told == []


def test_submit_when_runs_wait_for_each_other_then_only_those_whose_turn_it_is_are_offered(make):
    """By their priority, at once; listeners hear of each state in turn."""
    queue = make(QueuedRun("old", "c", state="done"))
    queue.submit(
        [QueuedRun("a", "c", priority=3), QueuedRun("b", "c", "waiting", after="a"),
         QueuedRun("d", "c", "waiting", after="old", priority=-2)]
    )  # fmt: skip
    assert states(queue) == {"old": "done", "a": "queued", "b": "waiting", "d": "queued"}
    assert queue._turns.take() == [("a", 3, 0.0), ("d", -2, 0.0)]
    assert queue.told == [("a", "queued"), ("b", "waiting"), ("d", "waiting"), ("d", "queued")]


def test_recover_when_a_service_starts_then_living_runs_come_first_and_nothing_that_has_ended(make):
    """In the order of priorities, urgent for those that go on; one that waits for a run that ended meanwhile is settled."""
    queue = make(
        *(QueuedRun(state, "c", state=state, priority=5) for state in STATES if state != "waiting"),
        QueuedRun("freed", "c", "waiting", after="done", priority=2),
        QueuedRun("lost", "c", "waiting", after="failed"),
        QueuedRun("waits", "c", "waiting", after="running"),
    )
    queue.recover()
    assert queue._turns.cleared == 1
    assert queue._turns.take() == [
        ("running", 1_000_000.0, 0.0), ("cancelling", 1_000_000.0, 0.0), ("queued", 5, 0.0), ("freed", 2, 0.0)
    ]  # fmt: skip
    assert queue.ledger.find("lost").reason == "failed ended failed"
    assert (states(queue)["lost"], states(queue)["waits"]) == ("skipped", "waiting")


def test_recover_when_a_run_is_to_be_tried_again_later_then_what_is_left_of_the_time_is_waited(make):
    """At most a minute: a moment that is further off was noted under another time of day."""
    now = time.time()
    queue = make(
        QueuedRun("soon", "c", not_before=now + 40), QueuedRun("past", "c", not_before=now - 5),
        QueuedRun("odd", "c", not_before=now + 3600),
    )  # fmt: skip
    queue.recover()
    (soon, past, odd) = [seconds for _, _, seconds in queue._turns.take()]
    assert 30 < soon <= 40 and (past, odd) == (0.0, 0.0)


@pytest.mark.parametrize("state", STATES)
def test_cancel_when_a_run_is_in_a_state_then_it_is_stopped_asked_or_left(make, state):
    """A run that goes on is asked once; what waits behind one that will never be done is skipped."""
    queue = make(QueuedRun("a", "c", state=state, after="z" if state == "waiting" else None),
                 QueuedRun("z", "c", "running"), QueuedRun("b", "c", "waiting", after="a"))  # fmt: skip
    process = put(queue, "a")
    changed = queue.cancel("a")
    if state in ("queued", "waiting"):
        assert (changed.state, changed.reason) == ("cancelled", "cancelled in the queue") and changed.ended is not None
        assert queue.ledger.find("b").reason == "a ended cancelled" and process.said == []
    elif state == "running":
        assert (changed.state, changed.reason, process.said) == ("cancelling", "cancelled", ["ask"])
        assert states(queue)["b"] == "waiting"
    else:
        assert changed is None and process.said == [] and states(queue)["a"] == state


def test_resume_when_a_run_ended_before_it_was_done_then_it_is_queued_with_nothing_held_against_it(make):
    """Tries, reason, end and delay are gone; its place in the chain is as it was."""
    for state in ENDED:
        queue = make(QueuedRun(f"of-{state}", "c", state=state, tries=9, reason="x", exit_code=1, ended=3.0,
                               not_before=time.time() + 50, priority=4))  # fmt: skip
        if state == "done":
            with pytest.raises(UserError, match="is finished; there is nothing to resume"):
                queue.resume(f"of-{state}")
            continue
        run = queue.resume(f"of-{state}")
        assert (run.state, run.tries, run.reason, run.exit_code, run.ended, run.not_before) == (
            "queued", 0, "", None, None, 0.0
        )  # fmt: skip
        assert queue._turns.take() == [(run.id, 4, 0.0)] and queue.ledger.find(run.id) == run


@pytest.mark.parametrize("state", ["queued", "waiting", "running", "cancelling"])
def test_resume_when_a_run_has_not_ended_then_it_is_refused(make, state):
    """Twice in the queue it would be started twice."""
    queue = make(QueuedRun("a", "c", state=state))
    with pytest.raises(UserError, match=f"a: is {state}; only a run that has ended can be resumed"):
        queue.resume("a")
    assert queue._turns.offered == []


def test_resume_when_a_run_was_started_by_hand_then_it_is_taken_in_unless_it_is_finished(make):
    """Its folder says what it is made of; a decision that was never started has none."""
    queue = make(QueuedRun("chained", DECISION, state="skipped"))
    with pytest.raises(UserError, match="mine: no such run"):
        queue.resume("mine")
    with pytest.raises(UserError, match="chained: was never started; submit it again"):
        queue.resume("chained")
    write_run(queue, "mine", source="v4_1.yaml")
    assert queue.resume("mine").config == "v4_1.yaml"
    assert states(queue)["mine"] == "queued" and queue._turns.take() == [("mine", 0, 0.0)]
    write_run(queue, "ended", {"finished": True})
    with pytest.raises(UserError, match="ended: is finished"):
        queue.resume("ended")
    assert queue.ledger.find("ended") is None
    write_run(queue, "chained", {"finished": "yes"})
    assert queue.resume("chained").state == "queued"


# -- what a worker does with it -------------------------------------------------------------------------------------------


def test_turn_when_a_run_is_queued_then_it_gets_a_free_slot_its_device_and_none_of_the_services_secrets(
    make, monkeypatch
):
    """Slot 0 is taken by another; the third device of two slots does not exist."""
    monkeypatch.setenv("RECOMPENSA_SUBMIT_TOKEN", "secret")
    monkeypatch.setenv("RECOMPENSA_WEBHOOK_SECRET", "secret")
    monkeypatch.setenv("RECOMPENSA_CACHE", "kept")
    queue = make(QueuedRun("other", "c", "running", slot=0), QueuedRun("a", "c", tries=1, started=5.0, reason="x"),
                 slots=2, devices=["3", "7"])  # fmt: skip
    process = put(queue, "a", code=0)
    queue._carry_run("a")
    assert process.said == ["clear", "start"] and process.words == ["run", "a"]
    assert process.environment["CUDA_VISIBLE_DEVICES"] == "7"
    assert process.environment["RECOMPENSA_CACHE"] == "kept"
    assert not {"RECOMPENSA_SUBMIT_TOKEN", "RECOMPENSA_WEBHOOK_SECRET"} & set(process.environment)
    run = queue.ledger.find("a")
    assert (run.state, run.exit_code, run.slot, run.started, run.tries) == ("done", 0, None, 5.0, 2)
    assert queue.told == [("a", "running"), ("a", "done")] and run.ended is not None


def test_turn_when_there_is_no_device_then_the_runs_see_what_the_service_sees(make, monkeypatch):
    """On a processor nothing is said about devices."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    queue = make(QueuedRun("a", "c"))
    process = put(queue, "a", code=0)
    queue._carry_run("a")
    assert "CUDA_VISIBLE_DEVICES" not in process.environment and queue.ledger.find("a").started > 1e9


def test_turn_when_it_is_stale_or_no_slot_is_free_then_nothing_is_started(make):
    """Ended or cancelled meanwhile, too early, unknown, every slot taken: then it comes again in two seconds."""
    queue = make(QueuedRun("a", "c", priority=3), QueuedRun("busy", "c", "running", slot=0),
                 QueuedRun("gone", "c", "cancelled"), QueuedRun("waits", "c", "waiting", after="a"))  # fmt: skip
    processes = {name: put(queue, name) for name in ("a", "gone", "waits", "nobody")}
    for name in ("gone", "waits", "nobody"):
        queue._carry_run(name)
    assert queue._turns.take() == []
    queue._carry_run("a")
    assert queue._turns.take() == [("a", 3, 2.0)] and states(queue)["a"] == "queued"
    queue.ledger.change("busy", state="done")
    for name in ("gone", "waits"):
        queue._carry_run(name)
    queue._turns.early.add("a")
    queue._carry_run("a")
    assert queue._turns.take() == []
    assert not [name for name, process in processes.items() if "start" in process.said]
    assert processes["gone"].said == []  # what an ended run left behind is not looked for again


def test_turn_when_a_run_goes_on_already_then_it_is_watched_and_not_started_again(make):
    """Adopted after the service was killed; the process notes that one was alive where it was only just started."""
    queue = make(QueuedRun("a", "c", "running", slot=0, tries=1), QueuedRun("b", "c"), slots=2)
    process = put(queue, "a", looks=3, code=0)
    queue._carry_run("a")
    assert process.said == [] and states(queue)["a"] == "done" and queue.ledger.find("a").tries == 1
    twin = put(queue, "b", looks=1, code=0, starts=False)
    queue._carry_run("b")
    assert twin.said == ["clear", "start", "it is alive already"] and states(queue)["b"] == "done"


def test_turn_when_the_service_stops_then_a_living_run_is_left_as_it_is(make):
    """Also one that has just ended: the next service settles it."""
    queue = make(QueuedRun("a", "c", "running", slot=0))
    process = put(queue, "a", looks=9)
    queue._stopping.set()
    queue._carry_on("a")
    assert states(queue)["a"] == "running" and process.looks == 8
    process.looks = 0
    queue._carry_on("a")
    assert states(queue)["a"] == "running"


@pytest.mark.parametrize(("seconds", "killed"), [(60.0, False), (0.0, True)])
def test_turn_when_a_run_is_cancelled_then_it_is_killed_only_after_its_time(make, seconds, killed):
    """It is asked at each look, in case nobody heard the first; settled as cancelled with its code."""
    queue = make(QueuedRun("a", "c", "cancelling", slot=0), seconds_to_checkpoint=seconds)
    process = put(queue, "a", looks=3, code=75)
    queue._carry_run("a")
    assert process.said == (["ask", "no checkpoint in time; killed", "kill"] if killed else ["ask"] * 3)
    run = queue.ledger.find("a")
    assert (run.state, run.reason, run.exit_code) == ("cancelled", "cancelled; resume it to continue", 75)


def test_turn_when_a_process_cannot_be_started_then_it_is_queued_again_with_the_reason(make):
    """The slot is free again, and what waits is looked at."""
    queue = make(QueuedRun("a", "c"))
    put(queue, "a", starts=OSError(28, "No space left on device"))
    queue._carry_run("a")
    run = queue.ledger.find("a")
    assert (run.state, run.slot, run.exit_code) == ("queued", None, None)
    assert run.reason == "could not be started (No space left on device); queued again"
    assert queue._turns.take() == [("a", 0, 0.0)]  # the first try again comes at once
