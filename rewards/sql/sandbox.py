"""Running an untrusted SELECT on a SQLite file: in a process that can be ended, within limits, its result remembered."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rewards import limits as bounds
from rewards.sql.copies import Copy, find_copy
from rewards.sql.database import version_of
from rewards.sql.processes import SqlQuestion, find_pool
from rewards.sql.session import Limits, Result

__all__ = ["Copy", "Limits", "Result", "has_time_left", "run_queries", "run_query", "spending"]

_results: OrderedDict[tuple, Result] = OrderedDict()
_results_bytes = 0
_results_lock = threading.Lock()
_spent = threading.local()


def run_query(path: str, sql: str, limits: Limits, altered: Copy = 0, backwards: bool = False) -> Result:
    """Run one statement on the file, or on an altered copy of it; results are remembered until the file changes.

    `backwards` reads tables from their end. Raises OSError or sqlite3.Error when the file cannot be read, which is the
    row's fault and not the statement's.
    """
    return run_queries(path, [(sql, altered)], limits, backwards)[0]


def run_queries(
    path: str, statements: Sequence[tuple[str, Copy]], limits: Limits, backwards: bool = False
) -> list[Result]:
    """The same for several statements, each on its copy, in one go: asking another process has a price of its own."""
    version = version_of(path)
    path = path if os.path.isabs(path) else os.path.abspath(path)
    keys = [(path, *version, altered, backwards, sql, limits) for sql, altered in statements]
    found: dict[tuple, Result] = {}
    with _results_lock:
        for key in keys:
            if key in _results:
                _results.move_to_end(key)
                found[key] = _results[key]
    missing = [(key, *each) for key, each in zip(keys, statements, strict=True) if key not in found]
    if not missing:
        return [found[key] for key in keys]
    left = getattr(_spent, "left", None)
    if left is not None and left <= 0:
        exhausted = Result("error", message="takes too long on copies of the database")
        return [found.get(key, exhausted) for key in keys]
    questions = [
        SqlQuestion(path, version, False, sql, limits, backwards)
        if not altered
        else SqlQuestion(find_copy(path, version, altered), (), True, sql, limits, backwards)
        for _, sql, altered in missing
    ]
    for (key, *_), (result, seconds) in zip(missing, find_pool().ask(questions), strict=True):
        found[key] = result
        _remember(key, result)
        if left is not None:
            _spent.left -= seconds
    return [found[key] for key in keys]


@contextmanager
def spending(seconds: float = bounds.SQL_ROW_SECONDS) -> Iterator[None]:
    """Inside, in this thread, all statements together take this many seconds of processor time, and at most one go more."""
    before = getattr(_spent, "left", None)
    _spent.left = seconds
    try:
        yield
    finally:
        _spent.left = before


def has_time_left() -> bool:
    """Whether more statements may run inside `spending`."""
    left = getattr(_spent, "left", None)
    return left is None or left > 0


def _remember(key: tuple, result: Result) -> None:
    global _results_bytes
    with _results_lock:
        if key not in _results:
            _results[key] = result
            _results_bytes += result.size + len(key[-2])
        while len(_results) > bounds.SQL_REMEMBERED_RESULTS or (
            _results_bytes > bounds.SQL_REMEMBERED_BYTES and len(_results) > 1
        ):
            oldest, dropped = _results.popitem(last=False)
            _results_bytes -= dropped.size + len(oldest[-2])


def _forget() -> None:
    global _results_lock
    _results_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
