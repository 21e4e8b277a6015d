"""The processes that run SQL a model wrote: started when needed, asked in turn, ended at their limits, replaced."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from contextlib import suppress
from sqlite3 import DatabaseError
from typing import Any, NamedTuple

from rewards import limits as bounds
from rewards import siblings
from rewards.sql import messages
from rewards.sql.session import Limits, Result

_BOOTSTRAP = "import runpy, sys; runpy.run_path(sys.argv[3])['claim'](); from rewards.sql.serve import main; main()"


class SqlQuestion(NamedTuple):
    """A statement, and the version of the file it is to run on; `fixed` files are changed by nobody."""

    path: str
    version: tuple[int, ...]
    fixed: bool
    sql: str
    limits: Limits
    backwards: bool = False


class _Process:
    """One process and the two pipes to it."""

    def __init__(self) -> None:
        theirs_in, self._asks = os.pipe()
        self._answers, theirs_out = os.pipe()
        self._number = 0
        try:
            self._process = subprocess.Popen(
                # -E, -S, -P: neither the environment, nor a site package, nor the working folder has a say.
                [
                    sys.executable,
                    "-E",
                    "-S",
                    "-P",
                    "-c",
                    _BOOTSTRAP,
                    str(theirs_in),
                    str(theirs_out),
                    siblings.__file__,
                ],
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            )
        except BaseException:
            os.close(self._asks)
            os.close(self._answers)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            messages.receive(self._answers, bounds.SQL_START_SECONDS)
        except (EOFError, OSError, ValueError) as error:
            self.end()
            raise RuntimeError(f"the process that runs SQL could not be started ({type(error).__name__})") from None

    def ask(self, questions: list[SqlQuestion]) -> list[Any]:
        """The answers in order; raises TimeoutError, EOFError, OSError or ValueError: the process is then to be ended."""
        self._number += 1
        packed = [[*question[:4], messages.pack_limits(question.limits), question.backwards] for question in questions]
        messages.send(self._asks, [self._number, packed])
        patience = sum(_wall_seconds(question.limits) for question in questions)
        number, answers = messages.receive(self._answers, patience)
        if number != self._number or len(answers) != len(questions):
            raise ValueError("an answer to another question")
        return answers

    def end(self) -> None:
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for descriptor in (self._asks, self._answers):
            with suppress(OSError):
                os.close(descriptor)


class Pool:
    """As many processes as are asked at a time, up to `most`; use from any thread."""

    def __init__(self, most: int | None = None):
        self.most = most or max(1, min(bounds.SQL_PROCESSES, os.cpu_count() or 1))
        self.starts = 0
        self._idle: list[_Process] = []
        self._places = threading.Semaphore(self.most)
        self._lock = threading.Lock()

    def ask(self, questions: list[SqlQuestion]) -> list[tuple[Result, float]]:
        """The results in order with their processor seconds; raises sqlite3.DatabaseError where a file is not a database."""
        with self._places:
            try:
                answers = self._ask(questions)
            except (TimeoutError, EOFError, OSError, ValueError) as error:
                if len(questions) == 1:
                    return [_describe_end(error, questions[0].limits)]
                answers = None
        if answers is None:
            # One of them ended the process: each alone, so that only that one is blamed.
            return [result for question in questions for result in self.ask([question])]
        return [self._read(question, answer) for question, answer in zip(questions, answers, strict=True)]

    def close(self) -> None:
        """End all that are idle; a later question starts them again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _ask(self, questions: list[SqlQuestion]) -> list[Any]:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if process is None:
            process = self._start()
        try:
            answers = process.ask(questions)
        except BaseException:
            # Its answer may still come, and would be taken for that of the next question.
            process.end()
            raise
        if any(answer[0] == "memory" for answer in answers):
            process.end()
        else:
            with self._lock:
                self._idle.append(process)
        return answers

    def _start(self) -> _Process:
        self.starts += 1
        return _Process()

    def _read(self, question: SqlQuestion, answer: Any) -> tuple[Result, float]:
        kind, seconds, *content = answer
        if kind == "unreadable":
            raise DatabaseError(content[0])
        if kind == "memory":
            if content[0]:
                return Result(
                    "error", message=f"more than {bounds.SQL_HEAP_BYTES // bounds.MIB} MiB of memory"
                ), seconds
            # What the process held beside it had a share in this: asked again in a new one, the answer is the same always.
            return self._ask_anew(question)
        return messages.unpack_result(content), seconds

    def _ask_anew(self, question: SqlQuestion) -> tuple[Result, float]:
        with self._places:
            process = self._start()
            try:
                (answer,) = process.ask([question])
            except (TimeoutError, EOFError, OSError, ValueError) as error:
                return _describe_end(error, question.limits)
            finally:
                process.end()
        return self._read(question, answer)


def _wall_seconds(limits: Limits) -> float:
    return limits.seconds / bounds.SQL_PROCESSOR_SECONDS * bounds.SQL_WALL_SECONDS


def _describe_end(error: BaseException, limits: Limits) -> tuple[Result, float]:
    if isinstance(error, TimeoutError):
        message = f"took longer than {_wall_seconds(limits):g} s"
    else:
        message = f"took more than {limits.seconds:g} s of processor time, or ended its process"
    return Result("error", message=message), limits.seconds


_pool: Pool | None = None
_pool_lock = threading.Lock()


def find_pool() -> Pool:
    """The pool of this process."""
    global _pool
    if _pool is None:
        with _pool_lock:
            if _pool is None:
                _pool = Pool()
                atexit.register(_pool.close)
    return _pool


def _forget() -> None:
    """In a forked process: its parent's processes answer only its parent."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
