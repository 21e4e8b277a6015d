"""What the queue does with a run in each state, one step at a time: no worker, no clock and no process but a made-up one."""

from __future__ import annotations

import time

import orjson
import pytest

pytest.importorskip("huey")

from grpo.lifecycle.resume import seal_checkpoint
from grpo.service import queue as queues
from grpo.service.ledger import DECISION, ENDED, STATES, Ledger, QueuedRun
from grpo.service.queue import RunQueue, describe_end, find_place, find_reason, make_words
from rewards.errors import UserError


class Process:
    """A made-up process: alive for as many looks as `looks`, then ended with `code`; notes what is done to it."""

    def __init__(self, looks=0, code=None, lines=(), starts=True):
        self.looks, self.code, self.lines, self.starts, self.said = looks, code, list(lines), starts, []
        self.environment, self.words = {}, []

    def is_alive(self):
        self.looks -= 1
        return self.looks >= 0

    def start(self, words, environment, directory):
        self.words, self.environment = words, environment
        self.said.append("start")
        if isinstance(self.starts, OSError):
            raise self.starts
        return self.starts

    def clear(self):
        self.said.append("clear")

    def read_exit(self):
        return self.code

    def ask_to_stop(self):
        self.said.append("ask")
        return True

    def kill(self):
        self.said.append("kill")
        self.looks = 0
        return True

    def note(self, line):
        self.said.append(line)

    def last_lines(self):
        return self.lines


class Turns:
    """Notes what is offered, with its priority and delay."""

    def __init__(self):
        self.offered, self.early, self.cleared = [], set(), 0

    def offer(self, name, priority, seconds=0.0):
        self.offered.append((name, priority, seconds))

    def is_early(self, name):
        return name in self.early

    def clear(self):
        self.cleared += 1

    def take(self):
        offered, self.offered = self.offered, []
        return offered


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A function that makes a queue of made-up turns and processes over a folder of runs."""
    monkeypatch.setattr(queues, "_LOOK_EVERY", 0.0)

    def build(*runs, **settings):
        queue = RunQueue(tmp_path / "runs", start_words=lambda run, root: ["run", run.id], **settings)
        queue._turns._huey.storage.close()
        queue._turns = Turns()
        queue.ledger.add(runs)
        queue.told = []
        queue.listen(lambda run: queue.told.append((run.id, run.state)))
        return queue

    return build


def put(queue, id, **settings) -> Process:
    queue._processes[id] = Process(**settings)
    return queue._processes[id]


def states(queue):
    return {run.id: run.state for run in queue.ledger.list()}


def write_run(queue, id, status=None, **config):
    folder = queue.folder(id)
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps(config))
    if status is not None:
        (folder / "status.json").write_bytes(orjson.dumps(status))
    return folder


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
    import sqlite3

    path = tmp_path / "runs.db"
    Ledger(path).add([QueuedRun("a", "c")])
    with sqlite3.connect(path) as connection:
        document = orjson.dumps({"id": "other", "config": "c", "state": "done", "overrides": None, "later": 1})
        connection.execute("UPDATE runs SET document = ?", (document,))
    run = Ledger(path).find("a")
    assert (run.id, run.state, run.overrides) == ("a", "done", ())
