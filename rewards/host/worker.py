"""A process of its own for one plugin's reward function, so that a hang or a crash costs one score and not the run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple

from rewards import siblings
from rewards.host.calls import CallFault, call, call_together, is_async
from rewards.host.verdicts import Outcome, describe_fault
from rewards.types import Completion, Example, RewardFunction

START_SECONDS = 60.0
"""To import the plugin; not counted against the time limit of a completion."""

_GRACE_SECONDS = 5.0
_ASYNC_GRACE_SECONDS = 0.5
"""How much later than its own time limit an asynchronous function may answer before its process is killed."""

_BOOTSTRAP = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[2]); runpy.run_path(sys.argv[3])['claim'](); "
    "from rewards.host.worker import serve; serve(int(sys.argv[1]))"
)


class WorkerAnswer(NamedTuple):
    """What came of a call, and whether the function read the completion's JSON."""

    outcome: Outcome
    read_json: bool = False


class Worker:
    """Calls `function` in another process, which starts at the first call and is started again after a kill.

    A plain subprocess rather than multiprocessing's: that would import the parent's main module, and torch with it.
    """

    def __init__(self, function: RewardFunction, path: str | None = None):
        self._function = function
        self._module = type(function).__module__
        self._path = path
        self._payload = pickle.dumps(function)
        self._is_async = is_async(function)
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self.starts = 0

    def call(self, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float) -> list[WorkerAnswer]:
        """One answer a pair, in order. The pairs of an asynchronous function are under way together.

        A process that does not answer in time is killed. Of several pairs under way each is then asked again alone, so
        that only the one that hangs is blamed.
        """
        if not self._is_async and len(pairs) > 1:
            return [answer for pair in pairs for answer in self.call([pair], timeout_seconds)]
        try:
            return self._ask(pairs, timeout_seconds)
        except _LateError as late:
            if len(pairs) > 1:
                return [answer for pair in pairs for answer in self.call([pair], timeout_seconds)]
            return [WorkerAnswer(describe_fault(self._function, late.fault, late.seconds))]

    def close(self) -> None:
        with self._lock:
            self._kill()

    def _ask(self, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float) -> list[WorkerAnswer]:
        # The text alone: what this process has read out of it meanwhile is not sent along, so that the bytes are always the same.
        rows = [(example, each.text, each.truncated, each.style) for example, each in pairs]
        try:
            request = pickle.dumps((timeout_seconds, rows))
        except Exception as error:
            fault = CallFault("send", f"the row cannot be sent to its process ({type(error).__name__}: {error})")
            return [WorkerAnswer(describe_fault(self._function, fault)) for _ in pairs]
        patience = timeout_seconds + (_ASYNC_GRACE_SECONDS if self._is_async else 0.0)
        with self._lock:
            started = time.perf_counter()
            try:
                connection = self._start()
                started = time.perf_counter()
                connection.send_bytes(request)
                if not connection.poll(patience):
                    self._kill()
                    late = CallFault("timeout", f"took longer than {timeout_seconds:g} s")
                    raise _LateError(late, time.perf_counter() - started)
                return pickle.loads(connection.recv_bytes())
            except _LateError:
                raise
            except CallFault as fault:
                return [
                    WorkerAnswer(describe_fault(self._function, fault, time.perf_counter() - started)) for _ in pairs
                ]
            except (EOFError, OSError):
                died = CallFault("died", f"its process ended{self._describe_end()}")
                raise _LateError(died, time.perf_counter() - started) from None
            except BaseException:
                # An answer may still be under way; the next call must not read it as its own.
                self._kill()
                raise

    def _start(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.poll() is None:
            return self._connection
        self._kill()
        ours, theirs = Pipe()
        try:
            self._process = subprocess.Popen(
                # -P: what lies in the working folder is not imported in the place of Python's own modules.
                [sys.executable, "-P", "-c", _BOOTSTRAP, str(theirs.fileno()), json.dumps(sys.path), siblings.__file__],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._connection = ours
        self.starts += 1
        try:
            ours.send_bytes(pickle.dumps((self._module, self._path, self._payload)))
            if not ours.poll(START_SECONDS):
                raise CallFault("start", f"its process was not ready after {START_SECONDS:g} s")
            problem = pickle.loads(ours.recv_bytes())
        except CallFault:
            self._kill()
            raise
        except (EOFError, OSError) as error:
            raise CallFault("start", f"its process ended while starting{self._describe_end()}") from error
        except BaseException:
            self._kill()
            raise
        if problem:
            self._kill()
            raise CallFault("start", problem)
        return ours

    def _describe_end(self) -> str:
        code = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=1.0)
        self._kill()
        return "" if code is None else f" (exit code {code})"

    def _kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            # The whole session: the plugin may have started processes of its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class _LateError(Exception):
    """The process had to be killed, or ended by itself, with these pairs under way."""

    def __init__(self, fault: CallFault, seconds: float):
        self.fault, self.seconds = fault, seconds
        super().__init__(str(fault))


def serve(descriptor: int) -> None:
    """The loop of the worker process: one function, then examples and completions in, scores out, until the pipe closes."""
    connection = Connection(descriptor)
    os.dup2(2, 1)  # what a plugin prints must not end up in the output of a command
    try:
        module, path, payload = pickle.loads(connection.recv_bytes())
        function, problem = _load(module, path, payload)
        connection.send_bytes(pickle.dumps(problem))
        if problem:
            return
        with asyncio.Runner() if is_async(function) else contextlib.nullcontext() as runner:
            while True:
                timeout_seconds, rows = pickle.loads(connection.recv_bytes())
                pairs = [(example, Completion(*completion)) for example, *completion in rows]
                # Should the parent die while the function hangs, the kernel ends this process even inside C code.
                signal.setitimer(signal.ITIMER_REAL, timeout_seconds + _GRACE_SECONDS)
                if runner is None:
                    outcomes = [call(function, *pair) for pair in pairs]
                else:
                    outcomes = runner.run(call_together(function, pairs, timeout_seconds))
                signal.setitimer(signal.ITIMER_REAL, 0)
                read = ["extraction" in completion.__dict__ for _, completion in pairs]
                connection.send_bytes(pickle.dumps([WorkerAnswer(*each) for each in zip(outcomes, read, strict=True)]))
    except (EOFError, OSError):
        return


def _load(module: str, path: str | None, payload: bytes) -> tuple[Any, str]:
    from rewards.plugins import describe_error, import_file

    try:
        if path is not None:
            import_file(module, path)
        return pickle.loads(payload), ""
    except (Exception, SystemExit) as error:
        return None, f"cannot be loaded in its process: {describe_error(error)}"
