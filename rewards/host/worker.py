"""A process of its own for one plugin's reward function, so that a hang or a crash costs one score and not the run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rewards import frames, limits, siblings
from rewards.discovery import working_copies
from rewards.host.calls import CallFault, is_async
from rewards.host.supervisor import MARK, end_marked
from rewards.host.verdicts import Outcome, describe_fault, make_error
from rewards.types import Completion, Example, RewardFunction

_ASYNC_GRACE_SECONDS = 0.5
"""How much later than its own time limit an asynchronous function may answer before its process is killed."""

_BOOTSTRAP = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[6]); runpy.run_path(sys.argv[7])['claim'](); "
    "from rewards.host.worker_loop import main; main()"
)


class WorkerAnswer(NamedTuple):
    """What came of a call, and whether the function read the completion's JSON."""

    outcome: Outcome
    read_json: bool = False


class Worker:
    """Calls `function` in another process, which starts at the first call and is started again after a kill.

    Every answer carries the number of its question; one to another question is counted in `strays` and dropped. A plain
    subprocess rather than multiprocessing's: that would import the parent's main module, and torch with it.
    """

    def __init__(self, function: RewardFunction, path: str | None = None, memory_gib: float = limits.PLUGIN_MEMORY_GIB):
        self.function = function
        self._path = path
        self._memory = int(memory_gib * 2**30)
        self._payload = pickle.dumps(function)
        self._is_async = is_async(function)
        self._process: subprocess.Popen | None = None
        self._pipes: tuple[int, int, int] | None = None  # questions, answers, life line
        self._mark = ""  # of all that the process starts, in their environment
        self._lock = threading.Lock()
        self._number = 0
        self._failed_starts = 0
        self._last_failure = ""
        self.starts = 0
        self.strays = 0

    def call(self, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float) -> list[WorkerAnswer]:
        """One answer a pair, in order. The pairs of an asynchronous function are under way together.

        A process that does not answer in time is killed. Of several pairs under way each is then asked again alone, so
        that only the one that hangs is blamed.
        """
        together = self.function.together
        if not (self._is_async or together) and len(pairs) > 1:
            return [answer for pair in pairs for answer in self.call([pair], timeout_seconds)]
        limit = timeout_seconds * len(pairs) if together else timeout_seconds
        patience = limit + (_ASYNC_GRACE_SECONDS if self._is_async or together else 0.0)
        started = time.perf_counter()
        try:
            answers = self._ask("score", _pack_pairs(pairs), limit, patience)
            return [self._read_answer(answer) for answer in _as_many(answers, len(pairs))]
        except CallFault as fault:
            if len(pairs) > 1 and together != "group" and fault.kind in ("timeout", "died"):
                return [answer for pair in pairs for answer in self.call([pair], timeout_seconds)]
            seconds = time.perf_counter() - started
            return [WorkerAnswer(describe_fault(self.function, fault, seconds)) for _ in pairs]

    def ask_lines(self, kind: str, example: Example, timeout_seconds: float) -> list[str]:
        """The lines of `problems` or `warnings`; raises CallFault."""
        lines = self._ask(kind, example, timeout_seconds, timeout_seconds)
        if not isinstance(lines, list):
            raise CallFault("died", "its process sent something that is not an answer")
        return [str(line) for line in lines]

    def ask_figures(self, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float) -> dict[str, float]:
        """The function's figures of many completions together; raises CallFault."""
        figures = self._ask("figures", _pack_pairs(pairs), timeout_seconds, timeout_seconds)
        return {str(name): float(value) for name, value in figures.items()} if isinstance(figures, dict) else {}

    def close(self) -> None:
        """Kill the process; safe to call twice."""
        with self._lock:
            self._kill()

    def _ask(self, kind: str, given: Any, timeout_seconds: float, patience: float) -> Any:
        """The answer to one question; raises CallFault, and then the process is gone, unless nothing was sent to it."""
        with self._lock:
            self._number += 1
            number = self._number
            try:
                request = pickle.dumps((number, kind, timeout_seconds, given))
            except Exception as error:
                raise CallFault(
                    "send", f"the row cannot be sent to its process ({type(error).__name__}: {error})"
                ) from None
            asks, answers = self._start()
            deadline = time.monotonic() + patience
            try:
                frames.send(asks, request, patience)
                while True:
                    found, answer = json.loads(frames.receive(answers, max(0.0, deadline - time.monotonic())))
                    if found == number:
                        return answer
                    self.strays += 1
            except TimeoutError:
                self._kill()
                raise CallFault("timeout", f"took longer than {timeout_seconds:g} s") from None
            except (EOFError, OSError):
                raise CallFault("died", f"its process ended{self._describe_end()}") from None
            except (ValueError, TypeError):
                self._kill()
                raise CallFault("died", "its process sent something that is not an answer") from None
            except BaseException:
                # An answer may still be under way; the next call must not read it as its own.
                self._kill()
                raise

    def _start(self) -> tuple[int, int]:
        if self._pipes is not None and self._process is not None and self._process.poll() is None:
            return self._pipes[:2]
        self._kill()
        if self._failed_starts >= limits.PLUGIN_STARTS:
            raise CallFault("start", f"{self._last_failure} (tried {self._failed_starts} times)")
        try:
            pipes = self._open_process()
        except CallFault as fault:
            self._failed_starts += 1
            self._last_failure = str(fault)
            raise
        self._failed_starts = 0
        return pipes

    def _open_process(self) -> tuple[int, int]:
        asked, asks = os.pipe()
        answers, answered = os.pipe()
        life, line = os.pipe()
        label = f"plugin {self.function.name}"
        self._mark = uuid.uuid4().hex
        arguments = [str(asked), str(answered), str(life), str(self._memory), label, json.dumps(sys.path)]
        try:
            self._process = subprocess.Popen(
                # -P: what lies in the working folder is not imported in the place of Python's own modules.
                [sys.executable, "-P", "-c", _BOOTSTRAP, *arguments, siblings.__file__],
                pass_fds=[asked, answered, life],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, MARK: self._mark},
                start_new_session=True,
            )
        finally:
            for descriptor in (asked, answered, life):
                os.close(descriptor)
            self._pipes = (asks, answers, line)
        os.set_blocking(asks, False)
        self.starts += 1
        try:
            frames.send(
                asks, pickle.dumps((self._path, working_copies.to_state(), self._payload)), limits.PLUGIN_START_SECONDS
            )
            _, problem = json.loads(frames.receive(answers, limits.PLUGIN_START_SECONDS))
        except TimeoutError:
            self._kill()
            raise CallFault("start", f"its process was not ready after {limits.PLUGIN_START_SECONDS:g} s") from None
        except (EOFError, OSError):
            raise CallFault("start", f"its process ended while starting{self._describe_end()}") from None
        except (ValueError, TypeError):
            self._kill()
            raise CallFault("start", "its process sent something that is not an answer") from None
        except BaseException:
            self._kill()
            raise
        if problem:
            self._kill()
            raise CallFault("start", str(problem))
        return asks, answers

    def _read_answer(self, answer: Any) -> WorkerAnswer:
        try:
            status, value, reason, parts, seconds, trace, usage, read = answer
            if status == "error":
                outcome = replace(make_error(self.function, reason, float(seconds)), trace=str(trace))
                return WorkerAnswer(outcome, bool(read))
            name, version = self.function.name, self.function.version
            outcome = Outcome(name, version, str(status), value, reason, parts, float(seconds), usage=usage)
            return WorkerAnswer(outcome, bool(read))
        except (TypeError, ValueError):
            return WorkerAnswer(make_error(self.function, "died: its process sent something that is not an answer"))

    def _describe_end(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=limits.PLUGIN_END_SECONDS)
        self._kill()
        return "" if code is None else f" (exit code {code})"

    def _kill(self) -> None:
        """End the process and all below it: its supervisor does so once the life line is cut."""
        if self._pipes is not None:
            for descriptor in self._pipes:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self._pipes = None
        if self._process is not None:
            if self._process.poll() is None:
                # A plugin may have stopped its supervisor, which then does not see the line cut.
                self._process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=limits.PLUGIN_END_SECONDS)
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            if self._process.returncode < 0:
                # Or have killed it, and what it has started is nobody's.
                end_marked(self._mark)
            self._process = None


def _pack_pairs(pairs: Sequence[tuple[Example, Completion]]) -> list[Any]:
    # The text alone: what this process has read out of it meanwhile is not sent along, so that the bytes are always the same.
    return [(example, each.text, each.truncated, each.style) for example, each in pairs]


def _as_many(answers: Any, count: int) -> list[Any]:
    if not isinstance(answers, list) or len(answers) != count:
        raise CallFault("died", "its process sent something that is not an answer")
    return answers
