"""The process that runs SQL a model wrote: it reads questions until its pipe closes, within what the kernel allows it."""

from __future__ import annotations

import resource
import signal
import sqlite3
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rewards import limits as bounds
from rewards.sql import messages
from rewards.sql.session import Limits, OutOfMemory, Session


def serve(asked: int, answered: int) -> None:
    """Answer each message `[number, [question, ...]]` with `[number, [answer, ...]]`.

    A question is `[path, version, fixed, sql, limits, backwards]`. An answer is `["result", seconds, ...]`,
    `["memory", seconds, fresh]` where the heap was full, or `["unreadable", seconds, text]` where the file is not a database.
    """
    confine()
    sessions: OrderedDict[tuple, Session] = OrderedDict()
    messages.send(answered, "ready")
    with suppress(EOFError, OSError):
        while True:
            number, questions = messages.receive(asked)
            messages.send(answered, [number, [_answer(sessions, *question) for question in questions]])


def confine() -> None:
    """Give up what running SELECTs does not need: memory without end, new processes, files to write."""
    with suppress(sqlite3.Error):
        # For the whole process, and SQLite lets nobody raise it again.
        sqlite3.connect(":memory:").execute(f"PRAGMA hard_heap_limit = {bounds.SQL_HEAP_BYTES}")
    held = _measure_mapped()
    for limit, most in (
        ("RLIMIT_DATA", held + bounds.SQL_PROCESS_BYTES),
        ("RLIMIT_AS", held + bounds.SQL_PROCESS_BYTES + bounds.SQL_CONNECTIONS * bounds.SQL_MAPPED_BYTES),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_NOFILE", 64 + bounds.SQL_CONNECTIONS),
        # Not 0: SQLite makes a small file beside a database in WAL mode.
        ("RLIMIT_FSIZE", bounds.MIB),
    ):
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, limit), (most, most))
    # Ctrl-C in the terminal is the run's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _measure_mapped() -> int:
    """Bytes of address space in use, 0 where the system does not say; RLIMIT_AS counts from there."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 1 << 40  # no limit that could be wrong


def _answer(
    sessions: OrderedDict[tuple, Session],
    path: str,
    version: Sequence[int],
    fixed: bool,
    sql: str,
    limits: Sequence[Any],
    backwards: bool,
) -> list[Any]:
    key = (path, *version)
    fresh = not sessions
    granted = Limits(*limits)
    started = time.process_time()
    # At its end the kernel ends this process, also inside one long step of SQLite.
    signal.setitimer(signal.ITIMER_PROF, granted.seconds)
    try:
        if key not in sessions:
            sessions[key] = Session(path, fixed)
            while len(sessions) > bounds.SQL_CONNECTIONS:
                sessions.popitem(last=False)[1].close()
        sessions.move_to_end(key)
        result = sessions[key].run(sql, granted, backwards)
        return ["result", time.process_time() - started, *messages.pack_result(result)]
    except (OutOfMemory, MemoryError):
        return ["memory", time.process_time() - started, fresh]
    except sqlite3.Error as error:
        return ["unreadable", 0.0, " ".join(str(error).split())[:200]]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    serve(int(sys.argv[1]), int(sys.argv[2]))
