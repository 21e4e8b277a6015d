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
from multiprocessing.connection import Connection, Pipe
from typing import Any

from rewards.types import Completion, Example, RewardFunction, Score

START_SECONDS = 60.0
"""To import the plugin; not counted against the time limit of a completion."""

_GRACE_SECONDS = 5.0
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); from rewards.worker import serve; serve(int(sys.argv[1]))"
)


class WorkerFault(Exception):
    """A call that gave no score; `kind` is `timeout`, `died`, `start` or the type of the plugin's exception."""

    def __init__(self, kind: str, message: str):
        self.kind = kind
        super().__init__(message)


class Worker:
    """Calls `function` in another process, which starts at the first call and is started again after a kill.

    A plain subprocess rather than multiprocessing's: that would import the parent's main module, and torch with it.
    """

    def __init__(self, function: RewardFunction, path: str | None = None):
        self._module = type(function).__module__
        self._path = path
        self._payload = pickle.dumps(function)
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self.starts = 0

    def call(self, example: Example, completion: Completion, timeout_seconds: float) -> Any:
        """What the function returned; raises WorkerFault when it raised, died or took too long."""
        with self._lock:
            connection = self._start()
            try:
                connection.send_bytes(pickle.dumps((example, completion, timeout_seconds)))
                if not connection.poll(timeout_seconds):
                    self._kill()
                    raise WorkerFault("timeout", f"took longer than {timeout_seconds:g} s")
                kind, answer = pickle.loads(connection.recv_bytes())
            except WorkerFault:
                raise
            except (EOFError, OSError) as error:
                raise WorkerFault("died", f"its process ended{self._describe_end()}") from error
            except BaseException:
                # An answer may still be under way; the next call must not read it as its own.
                self._kill()
                raise
        if kind == "returned":
            return answer
        raise WorkerFault(*answer)

    def close(self) -> None:
        with self._lock:
            self._kill()

    def _start(self) -> Connection:
        if self._connection is not None and self._process is not None and self._process.poll() is None:
            return self._connection
        self._kill()
        ours, theirs = Pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), json.dumps(sys.path)],
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
                raise WorkerFault("start", f"its process was not ready after {START_SECONDS:g} s")
            problem = pickle.loads(ours.recv_bytes())
        except WorkerFault:
            self._kill()
            raise
        except (EOFError, OSError) as error:
            raise WorkerFault("start", f"its process ended while starting{self._describe_end()}") from error
        except BaseException:
            self._kill()
            raise
        if problem:
            self._kill()
            raise WorkerFault("start", problem)
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


def serve(descriptor: int) -> None:
    """The loop of the worker process: one function, then example and completion in, score out, until the pipe closes."""
    connection = Connection(descriptor)
    os.dup2(2, 1)  # what a plugin prints must not end up in the output of a command
    try:
        module, path, payload = pickle.loads(connection.recv_bytes())
        function, problem = _load(module, path, payload)
        connection.send_bytes(pickle.dumps(problem))
        while not problem:
            example, completion, timeout_seconds = pickle.loads(connection.recv_bytes())
            # Should the parent die while the function hangs, the kernel ends this process even inside C code.
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds + _GRACE_SECONDS)
            answer = _answer(function, example, completion)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(answer)
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


def _answer(function: RewardFunction, example: Example, completion: Completion) -> bytes:
    try:
        score = function(example, completion)
        if isinstance(score, Score):
            score = Score(score.value, score.reason, dict(score.parts))
        return pickle.dumps(("returned", score))
    except (Exception, SystemExit) as error:
        return pickle.dumps(("raised", (type(error).__name__, " ".join(str(error).split())[:300])))
