"""The queue brings every run to its end: in turn, by priority, after one another, through kills of the run and of the service."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import orjson
import pytest

pytest.importorskip("huey")

from grpo.service.ledger import DECISION, QueuedRun
from grpo.service.queue import RunQueue, make_words
from rewards.errors import UserError

# What a run does here: notes its start, makes its folder, waits while `hold` is there, ends as `exit` says; SIGTERM is 75.
SCRIPT = """
import json, os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
folder, notes = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
with (notes / "order").open("a") as file:
    file.write(folder.name + "\\n")
folder.mkdir(exist_ok=True)
(folder / "config.json").write_text("{}")
(folder / "pid").write_text(str(os.getpid()))
print("error: it said why", flush=True)
while (notes / f"hold-{folder.name}").exists():
    time.sleep(0.02)
codes = notes / f"exit-{folder.name}"
left = codes.read_text().split() if codes.exists() else []
code = int(left.pop(0)) if left else 0
codes.write_text(" ".join(left))
if code == 0:
    (folder / "status.json").write_text(json.dumps({"stage": "done", "finished": True}))
sys.exit(code)
"""


@pytest.fixture
def place(tmp_path):
    """A folder of runs, and one in which the fake runs take notes."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "run.py").write_text(SCRIPT)
    return tmp_path


def make_queue(place: Path, **settings) -> RunQueue:
    def words(run: QueuedRun, root: Path) -> list[str]:
        return [sys.executable, str(place / "run.py"), str(root / run.id), str(place / "notes")]

    return RunQueue(place / "runs", start_words=words, **settings)


def hold(place: Path, name: str) -> Path:
    path = place / "notes" / f"hold-{name}"
    path.touch()
    return path


def wait_for(queue: RunQueue, id: str, *states: str, seconds: float = 60.0) -> QueuedRun:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        run = queue.ledger.find(id)
        if run is not None and run.state in states:
            return run
        time.sleep(0.02)
    raise AssertionError(f"{id} is {run and run.state}, not {states}; {queue.process(id).last_lines()}")


def wait_until(holds, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_order(place: Path) -> list[str]:
    path = place / "notes" / "order"
    return path.read_text().split() if path.exists() else []


def test_slot_when_two_runs_are_submitted_then_they_go_in_turn_by_priority(place):
    """One slot: the second starts when the first has ended, and the more urgent of those that wait comes first."""
    with make_queue(place) as queue:
        lock = hold(place, "first")
        queue.submit([QueuedRun("first", "c")])
        wait_for(queue, "first", "running")
        queue.submit(
            [QueuedRun("slow", "c", priority=-1), QueuedRun("plain", "c"), QueuedRun("urgent", "c", priority=5)]
        )
        time.sleep(0.5)
        assert [run.state for run in queue.ledger.list()] == ["running", "queued", "queued", "queued"]
        lock.unlink()
        for name in ("first", "slow", "plain", "urgent"):
            wait_for(queue, name, "done")
    assert read_order(place) == ["first", "urgent", "plain", "slow"]


def test_slots_when_there_are_two_devices_then_each_run_sees_its_own(place):
    """Two runs go on together, each with one entry of CUDA_VISIBLE_DEVICES."""
    (place / "run.py").write_text(
        "import os, sys, pathlib, time\nprint(os.environ['CUDA_VISIBLE_DEVICES'])\ntime.sleep(1)"
    )
    with make_queue(place, slots=2, devices=["3", "5"]) as queue:
        queue.submit([QueuedRun("a", "c"), QueuedRun("b", "c")])
        wait_for(queue, "a", "done")
        wait_for(queue, "b", "done")
        assert {queue.process(name).last_lines()[0] for name in "ab"} == {"3", "5"}


@pytest.mark.parametrize(("code", "state"), [(1, "failed"), (2, "failed"), (3, "stopped")])
def test_end_when_trying_again_would_give_the_same_then_the_run_is_not_tried_again(place, code, state):
    """1 and 2 are failures with the log's error as their reason; 3 is kept as stopped by its rule."""
    (place / "notes" / "exit-a").write_text(str(code))
    with make_queue(place) as queue:
        queue.submit([QueuedRun("a", "c")])
        run = wait_for(queue, "a", "done", "failed", "stopped")
    assert (run.state, run.exit_code, run.tries) == (state, code, 1)
    assert run.reason == ("it said why" if code != 3 else "stopped by a watch rule")


def test_end_when_interrupted_or_killed_then_the_run_is_tried_again_until_it_is_done(place):
    """75 and a death by signal lead to another start; one that comes no further is given up after this many tries."""
    (place / "notes" / "exit-a").write_text("75 0")
    (place / "notes" / "exit-b").write_text("75 75 75 75 75")
    with make_queue(place, tries=2) as queue:
        queue.submit([QueuedRun("a", "c"), QueuedRun("b", "c")])
        wait_for(queue, "a", "done")
        run = wait_for(queue, "b", "failed")
        lock = hold(place, "c")
        queue.submit([QueuedRun("c", "c")])
        wait_until((place / "runs" / "c" / "pid").exists)
        wait_until(lambda: (place / "runs" / "c" / "pid").read_text())
        os.kill(int((place / "runs" / "c" / "pid").read_text()), signal.SIGKILL)
        lock.unlink()
        wait_for(queue, "c", "done")
    assert "interrupted; given up after 2 tries" in run.reason
    assert read_order(place).count("a") == 2 and read_order(place).count("c") == 2


def test_cancel_when_a_run_goes_on_then_it_checkpoints_and_is_not_queued_again(place):
    """SIGTERM reaches the run, 75 after it is the end; resumed it goes on; one in the queue is never started."""
    with make_queue(place) as queue:
        lock = hold(place, "a")
        queue.submit([QueuedRun("a", "c"), QueuedRun("b", "c")])
        wait_until((place / "runs" / "a" / "pid").exists)
        assert queue.cancel("b").state == "cancelled"
        assert queue.cancel("a").state == "cancelling"
        assert wait_for(queue, "a", "cancelled").exit_code == 75
        assert queue.cancel("a") is None
        lock.unlink()
        queue.resume("a")
        wait_for(queue, "a", "done")
        with pytest.raises(UserError, match="is finished"):
            queue.resume("a")
    assert read_order(place) == ["a", "a"]


def test_cancel_when_a_run_does_not_heed_it_then_it_is_killed(place):
    """So many seconds are given to save a checkpoint."""
    (place / "run.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    with make_queue(place, seconds_to_checkpoint=0.3) as queue:
        queue.submit([QueuedRun("a", "c")])
        wait_until(lambda: queue.process("a").last_lines() == ["up"])
        queue.cancel("a")
        wait_for(queue, "a", "cancelled")


def test_chain_when_a_run_is_done_then_those_after_it_start_and_behind_a_failure_none(place):
    """`after` waits for done; behind a run that failed, what waits is skipped, and what waits behind that."""
    (place / "notes" / "exit-bad").write_text("1")
    with make_queue(place) as queue:
        queue.submit([QueuedRun("bad", "c")])
        queue.submit([QueuedRun("x", "c", "waiting", after="bad"), QueuedRun("y", "c", "waiting", after="x")])
        queue.submit([QueuedRun("good", "c"), QueuedRun("z", "c", "waiting", after="good")])
        wait_for(queue, "z", "done")
        assert wait_for(queue, "y", "skipped").reason == "x ended skipped"
        assert wait_for(queue, "x", "skipped").reason == "bad ended failed"
        with pytest.raises(UserError, match="after: nobody: no such run"):
            queue.submit([QueuedRun("w", "c", "waiting", after="nobody")])
    assert read_order(place) == ["bad", "good", "z"]


def test_chain_when_the_decision_names_the_next_run_then_its_config_is_started(place):
    """The ladder as a chain: the config that the tree wrote down, or none where it names none."""
    with make_queue(place) as queue:
        lock = hold(place, "a")
        queue.submit([QueuedRun("a", "c"), QueuedRun("b", DECISION, "waiting", after="a", profile="embedded")])
        queue.submit([QueuedRun("n", "c"), QueuedRun("m", DECISION, "waiting", after="n")])
        wait_until((place / "runs" / "a" / "config.json").exists)
        (place / "runs" / "a" / "next_config.yaml").write_text("extends: v4_1.yaml\n")
        lock.unlink()
        run = wait_for(queue, "b", "done")
        assert run.config == str(place / "runs" / "a" / "next_config.yaml")
        assert wait_for(queue, "m", "skipped").reason == "the decision of n names no next run"


def test_service_when_killed_then_the_next_one_adopts_the_living_and_resumes_the_dead(place):
    """A child process plays the service that is killed by SIGKILL in the middle of two runs with a third in the queue."""
    held = [hold(place, name) for name in ("lives", "dies")]
    service = os.fork()
    if not service:
        try:
            with make_queue(place, slots=2) as queue:
                queue.submit([QueuedRun("lives", "c"), QueuedRun("dies", "c"), QueuedRun("waits", "c")])
                time.sleep(600)
        finally:
            os._exit(1)
    pids = [place / "runs" / name / "pid" for name in ("lives", "dies")]
    wait_until(lambda: all(path.exists() and path.read_text() for path in pids))
    os.kill(service, signal.SIGKILL)
    os.waitpid(service, 0)
    lives, dies = (int(path.read_text()) for path in pids)
    os.kill(dies, signal.SIGKILL)
    with make_queue(place, slots=2) as queue:
        assert wait_for(queue, "lives", "running").slot is not None
        for path in held:
            path.unlink()
        for name in ("lives", "dies", "waits"):
            wait_for(queue, name, "done")
    assert sorted(read_order(place)) == ["dies", "dies", "lives", "waits"]
    assert int(pids[0].read_text()) == lives


def test_words_when_the_folder_of_a_run_is_there_then_it_is_resumed(tmp_path):
    """A run that was killed before its folder was whole starts over with its own config and settings."""
    run = QueuedRun("a", "v4_1.yaml", overrides=("seed=3",), profile="embedded")
    assert make_words(run, tmp_path)[4:] == [
        "--config", "v4_1.yaml", "--run-dir", str(tmp_path / "a"), "--profile", "embedded", "--set", "seed=3",
    ]  # fmt: skip
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.json").write_bytes(orjson.dumps({}))
    assert make_words(run, tmp_path)[4:] == ["--resume", str(tmp_path / "a")]
