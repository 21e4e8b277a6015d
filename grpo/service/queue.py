"""The queue: a slot a GPU, priorities, chains, and every submitted run brought to its end whatever is killed on the way.

huey's SQLite queue orders what is ready and has a worker thread a slot (`turns.py`). What it takes from the queue it forgets
when it is killed; so the ledger says what is left to do, and the queue is filled from it again at each start.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grpo.lifecycle.run_directory import RunDirectory, read_step
from grpo.service.ledger import ACTIVE, DECISION, ENDED, Ledger, QueuedRun
from grpo.service.processes import RunProcess
from grpo.service.turns import Turns
from rewards.errors import RecompensaError, UserError
from rewards.screen.command_line import BAD_INPUT, DONE, FAILED, STOPPED
from rewards.siblings import command_words
from rewards.writing.files import read_object

KEPT = ".service"
"""The folder among the runs in which the service keeps its files; names that begin with a dot are not runs."""

MOST_TRIES = 10
SECONDS_TO_CHECKPOINT = 600.0
_LONGEST_WAIT = 60.0
_LOOK_EVERY = 0.5
_PAUSE = 2.0
_NEVER_AGAIN = (FAILED, BAD_INPUT)
_URGENT = 1_000_000.0
_CANCELLED = "cancelled; resume it to continue"
_OWN_VARIABLES = (
    "RECOMPENSA_READ_TOKEN", "RECOMPENSA_SUBMIT_TOKEN", "RECOMPENSA_TOKEN", "RECOMPENSA_WEBHOOK", "RECOMPENSA_WEBHOOK_SECRET",
)  # fmt: skip
"""What the service is opened with is nothing for the runs, whose plugins are other people's code."""

Listener = Callable[[QueuedRun], None]


class RunQueue:
    """Runs what was submitted into a folder of runs; a context manager whose end leaves living runs alone.

    `slots` runs go on at a time. `devices` are the entries of CUDA_VISIBLE_DEVICES, one a slot; none on a processor.
    `start_words` makes the command of a run, for tests.
    """

    def __init__(
        self,
        root: Path,
        *,
        slots: int = 1,
        devices: Sequence[str] = (),
        tries: int = MOST_TRIES,
        seconds_to_checkpoint: float = SECONDS_TO_CHECKPOINT,
        start_words: Callable[[QueuedRun, Path], list[str]] | None = None,
        directory: Path | None = None,
    ):
        self.root = root.resolve()
        self.kept = self.root / KEPT
        self.kept.mkdir(parents=True, exist_ok=True)
        self.kept.chmod(0o700)
        self.ledger = Ledger(self.kept / "runs.db")
        self.slots, self.devices, self.tries = slots, tuple(devices), tries
        self._seconds_to_checkpoint = seconds_to_checkpoint
        self._start_words = start_words or make_words
        self._directory = directory or Path.cwd()
        self._listeners: list[Listener] = []
        self._slots_lock = threading.Lock()
        self._processes: dict[str, RunProcess] = {}
        self._stopping = threading.Event()
        self._turns = Turns(self.kept / "queue.db", self._carry_run)

    def listen(self, listener: Listener) -> None:
        """Call it with every run whose state has changed, from the thread that changed it."""
        self._listeners.append(listener)

    def __enter__(self) -> RunQueue:
        self.recover()
        self._turns.start(self.slots)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._turns.stop()
        self.ledger.close()

    def recover(self) -> None:
        """Fill huey's queue from the ledger: living runs first, to be watched over; then dead and waiting ones."""
        self._turns.clear()
        for run in self.ledger.list(*ACTIVE):
            self._offer(run, _URGENT)
        for run in self.ledger.list("queued"):
            self._offer(run)
        self._release()

    def process(self, id: str) -> RunProcess:
        """The process of a run, alive or not."""
        return self._processes.setdefault(id, RunProcess(self.kept / "runs" / id))

    def folder(self, id: str) -> Path:
        return self.root / id

    def submit(self, runs: Sequence[QueuedRun]) -> None:
        """Queue runs, all or none; UserError where a name is taken or the run to wait for is not known."""
        new = {run.id for run in runs}
        problems = [
            f"after: {run.after}: no such run in the queue; give the id of one that `recompensa ps` shows"
            for run in runs
            if run.after is not None and run.after not in new and self._find_state(run.after) is None
        ]
        if problems:
            raise UserError(problems)
        try:
            self.ledger.add(runs)
        except ValueError as taken:
            raise UserError(f"name: {taken}: there is a run of this name; choose another") from None
        for run in runs:
            self._tell(run)
            if run.state == "queued":
                self._offer(run)
        self._release()

    def cancel(self, id: str) -> QueuedRun | None:
        """Stop a run: one that goes on saves a checkpoint first, one that waits is never started. None where it has ended."""
        changed = self._change(
            id, "queued", "waiting", state="cancelled", ended=time.time(), reason="cancelled in the queue"
        )
        if changed is not None:
            self._release()
            return changed
        changed = self._change(id, "running", state="cancelling", reason="cancelled")
        if changed is not None:
            self.process(id).ask_to_stop()
        return changed

    def resume(self, id: str) -> QueuedRun:
        """Queue a run again that ended before it was done, or that was started by hand; UserError where it cannot be."""
        run, folder = self.ledger.find(id), self.folder(id)
        if run is not None and run.state not in ENDED:
            raise UserError(f"{id}: is {run.state}; only a run that has ended can be resumed")
        if read_object(folder / "status.json").get("finished") is True or (run is not None and run.state == "done"):
            raise UserError(f"{id}: is finished; there is nothing to resume")
        if run is None:
            if not (folder / "config.json").is_file():
                raise UserError(f"{id}: no such run")
            run = QueuedRun(id, str(read_object(folder / "config.json").get("source") or ""))
            self.ledger.add([run])
        elif run.config == DECISION and not (folder / "config.json").is_file():
            raise UserError(f"{id}: was never started; submit it again")
        changed = self._change(
            id, state="queued", reason="", exit_code=None, ended=None, tries=0, not_before=0.0
        ) or run  # fmt: skip
        self._offer(changed)
        return changed

    def _change(self, id: str, *expected: str, **values: Any) -> QueuedRun | None:
        changed = self.ledger.change(id, *expected, **values)
        if changed is not None:
            self._tell(changed)
        return changed

    def _tell(self, run: QueuedRun) -> None:
        for listener in self._listeners:
            listener(run)

    def _offer(self, run: QueuedRun, priority: float | None = None) -> None:
        """Hand a run to the workers, at once or when its time has come."""
        self._turns.offer(run.id, run.priority if priority is None else priority, _seconds_until(run.not_before))

    def _carry_run(self, id: str) -> None:
        """What a worker thread does with a run; where the disk is full, again from what is written down, until it is not."""
        while not self._stopping.is_set():
            try:
                self._carry_on(id)
                return
            except (sqlite3.Error, OSError):
                self._stopping.wait(_PAUSE)

    def _carry_on(self, id: str) -> None:
        """Claim a run, start it or find it alive, wait for its end, settle it."""
        run = self.ledger.find(id)
        if run is None:
            return
        process = self.process(id)
        if run.state not in ACTIVE:
            if run.state != "queued":
                return  # a turn from before it was cancelled, or had ended
            process.clear()
            run = self._claim(run)
            if run is None:
                return
            problem = self._start(run, process)
            if problem:
                self._try_again(run, None, problem)
                self._release()
                return
        asked: float | None = None
        while process.is_alive():
            if self._stopping.wait(_LOOK_EVERY):
                return
            run = self.ledger.find(id) or run
            if run.state == "cancelling":
                asked = asked or time.monotonic()
                # One that has only just been started may have had nobody to hear it.
                process.ask_to_stop()
                if time.monotonic() - asked > self._seconds_to_checkpoint:
                    process.note("no checkpoint in time; killed")
                    process.kill()
        if not self._stopping.is_set():
            self._settle(id, process.read_exit())

    def _claim(self, run: QueuedRun) -> QueuedRun | None:
        """The run as running on a free slot; None where it is no longer queued, or too early."""
        if self._turns.is_early(run.id):
            return None
        with self._slots_lock:
            taken = {other.slot for other in self.ledger.list(*ACTIVE)}
            slot = next((number for number in range(self.slots) if number not in taken), None)
            if slot is None:
                # Adopted runs may hold more slots than there are by now.
                self._turns.offer(run.id, run.priority, 2.0)
                return None
            return self._change(
                run.id, "queued", state="running", slot=slot, tries=run.tries + 1, started=run.started or time.time(),
                exit_code=None, reason="", not_before=0.0,
            )  # fmt: skip

    def _start(self, run: QueuedRun, process: RunProcess) -> str:
        """Start the process of a run; why that cannot be, else empty."""
        environment = {key: value for key, value in os.environ.items() if key not in _OWN_VARIABLES}
        if self.devices and run.slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.devices[run.slot % len(self.devices)]
        try:
            words = self._start_words(run, self.root)
            if not process.start(words, environment, self._directory):
                process.note("it is alive already")
        except OSError as error:
            return f"could not be started ({error.strerror or error})"
        return ""

    def _settle(self, id: str, code: int | None) -> None:
        """What the end of a process means for its run; None is an end that nobody saw, as when the machine went down."""
        run = self.ledger.find(id)
        if run is None:
            return
        now, process = time.time(), self.process(id)
        ended: dict[str, Any] = {"ended": now, "exit_code": code, "slot": None}
        if code == DONE:
            self._change(id, *ACTIVE, state="done", reason="", **ended)
        elif run.state == "cancelling":
            self._change(id, *ACTIVE, state="cancelled", reason=_CANCELLED, **ended)
        elif code == STOPPED:
            rule = read_object(self.folder(id) / "status.json").get("stopped_by") or "a watch rule"
            self._change(id, *ACTIVE, state="stopped", reason=f"stopped by {rule}", **ended)
        elif code in _NEVER_AGAIN:
            self._change(id, *ACTIVE, state="failed", reason=find_reason(process), **ended)
        else:
            self._try_again(run, code)
        self._release()

    def _try_again(self, run: QueuedRun, code: int | None, problem: str = "") -> None:
        """Queue a run again, to be resumed; not without end where it does not come further."""
        place = find_place(self.folder(run.id))
        tries = 0 if place != run.place else run.tries
        how = problem or describe_end(code)
        if tries >= self.tries:
            reason = f"{how}; given up after {tries} tries that came no further"
            self._change(run.id, *ACTIVE, state="failed", reason=reason, ended=time.time(), exit_code=code, slot=None)
            return
        # What went down with the service or the machine is no fault of the run's.
        wait = min(_LONGEST_WAIT, 2.0 ** (tries - 2)) if tries > 1 and (problem or code is not None) else 0.0
        self.process(run.id).note(f"{how}; queued again" + (f" in {wait:.0f} s" if wait else ""))
        if wait:
            # Before anybody can see it queued: a turn it was offered earlier must not start it in that instant.
            self._turns.offer(run.id, run.priority, wait)
        changed = self._change(
            run.id, "running", state="queued", reason=f"{how}; queued again", exit_code=code, slot=None, tries=tries,
            place=place, not_before=time.time() + wait if wait else 0.0,
        )  # fmt: skip
        if changed is not None:
            self._offer(changed)
        else:  # cancelled as it ended, or before it could be started
            self._change(
                run.id, "cancelling", state="cancelled", reason=_CANCELLED, ended=time.time(), exit_code=code, slot=None
            )  # fmt: skip

    def _release(self) -> None:
        """Queue the waiting runs whose turn has come; those whose turn can never come are skipped."""
        waiting = self.ledger.list("waiting")
        while waiting:
            moved = [changed for run in waiting if (changed := self._release_one(run)) is not None]
            if not moved:
                return
            waiting = self.ledger.list("waiting")  # a skipped run skips those after it

    def _release_one(self, run: QueuedRun) -> QueuedRun | None:
        before = self._find_state(run.after or "")
        if before is not None and before not in ENDED:
            return None
        problem, config = None, run.config
        if before != "done":
            problem = f"{run.after} ended {before or 'unknown'}"
        elif run.config == DECISION:
            problem, config = self._name_next(str(run.after), run.profile)
        if problem is not None:
            return self._change(run.id, "waiting", state="skipped", reason=problem, ended=time.time())
        changed = self._change(run.id, "waiting", state="queued", config=config)
        if changed is not None:
            self._offer(changed)
        return changed

    def _find_state(self, id: str) -> str | None:
        """The state of a run that another may wait for, started by hand or not; None where there is none."""
        run = self.ledger.find(id)
        if run is not None:
            return run.state
        if not (self.folder(id) / "config.json").is_file():
            return None
        return "done" if read_object(self.folder(id) / "status.json").get("finished") is True else "running"

    def _name_next(self, id: str, profile: str) -> tuple[str | None, str]:
        """Why the decision of a run starts no other, or None; and the config it names."""
        from grpo.ladder import check_next_run

        path = self.folder(id) / "next_config.yaml"
        if not path.is_file():
            return f"the decision of {id} names no next run", DECISION
        try:
            check_next_run(path, profile)
        except RecompensaError as error:
            return str(error).splitlines()[0], DECISION
        return None, str(path)


def _seconds_until(moment: float) -> float:
    """0 for a moment that is past, or further off than any that the queue gives: then the clock was set back."""
    left = moment - time.time()
    return left if 0 < left <= _LONGEST_WAIT else 0.0


def make_words(run: QueuedRun, root: Path) -> list[str]:
    """The command of a run: from its config, or where its folder is there already, from where it stopped."""
    folder = root / run.id
    if (folder / "config.json").is_file():
        return command_words("run", "--resume", str(folder))
    words = ["--config", run.config, "--run-dir", str(folder), "--profile", run.profile]
    for override in run.overrides:
        words += ["--set", override]
    return command_words("run", *words)


def find_place(folder: Path) -> str:
    """How far a run has come that can be resumed: its stage and the step of its newest whole checkpoint."""
    if not (folder / "config.json").is_file():
        return ""
    run = RunDirectory(folder)
    checkpoint = run.latest_checkpoint() or run.latest_warmup_checkpoint()
    stage = read_object(folder / "status.json").get("stage")
    return f"{stage} {read_step(checkpoint) if checkpoint else 0}"


def find_reason(process: RunProcess) -> str:
    """The line of the log that says why a run failed: its last error, else its last line."""
    lines = [line.strip() for line in process.last_lines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")[:500]


def describe_end(code: int | None) -> str:
    """How a process ended that did not come to the end of its run."""
    if code is None:
        return "killed together with the service or the machine"
    if code == 75:
        return "interrupted"
    number = -code if code < 0 else code - 128
    names = {each.value: each.name for each in signal.Signals}
    return f"killed by {names[number]}" if number in names else f"ended with exit code {code}"
