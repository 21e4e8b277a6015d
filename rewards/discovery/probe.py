"""Importing a plugin elsewhere first: one that hangs, crashes or ends its process does so there, and is a line here."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from rewards import limits, siblings
from rewards.discovery import working_copies
from rewards.discovery.side_effects import in_one_process
from rewards.writing.writable import clean_message

_DONE = b"done"
_MOST_SAID = 500
_MOST_SHOWN_LINES = 10
_proven: set[tuple] = set()

_BOOTSTRAP = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[2]); runpy.run_path(sys.argv[3])['claim'](); "
    "from rewards.discovery.probe import main; main()"
)


def find_fault(key: tuple, load: Callable[[], Any], words: dict[str, str | None] | None) -> str:
    """Why this plugin cannot be imported here, one line; empty where it came to an end elsewhere, however it ended.

    `key` names it with its version: it is tried once. `load` imports it and has it register; `words` tell a new process
    how to, None where only `load` can. An exception is no fault of this kind: it is raised again here, and told then.
    """
    if key in _proven:
        return ""
    # A fork is a hundred times quicker, and right where this process has but one thread.
    if threading.active_count() == 1 and "torch" not in sys.modules and hasattr(os, "fork"):
        status, seconds = _try_in_fork(load)
    elif words is not None:
        status, seconds = _try_apart(words)
    else:
        return ""
    if status is None:
        _proven.add(key)
        return ""
    return f"does not come to an end: after {seconds:g} s it was ended" if status == "" else status


@contextlib.contextmanager
def quiet(label: str) -> Iterator[None]:
    """Inside, what is printed goes to standard error afterwards, a few lines of it, under a label."""
    held = io.StringIO()
    sys.stdout.flush()
    kept = None
    with contextlib.suppress(OSError, ValueError):
        kept = os.dup(1)
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(held):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
        lines = held.getvalue()[: limits.PLUGIN_OUTPUT_BYTES].splitlines()
        for line in lines[:_MOST_SHOWN_LINES]:
            print(f"[{label}] {clean_message(line, 500)}", file=sys.stderr)
        if len(lines) > _MOST_SHOWN_LINES:
            print(f"[{label}] (prints {len(lines) - _MOST_SHOWN_LINES} more lines)", file=sys.stderr)


def main() -> NoReturn:
    """In a process of its own: import what the argument tells, and say that this came to an end."""
    words = json.loads(sys.argv[1])
    os.write(words["answer"], _try(lambda: _load(words), words["memory_gib"]))
    os._exit(0)


def _try(load: Callable[[], Any], memory_gib: float) -> bytes:
    """`done` however it ended, but for what would be worse if it happened again: without an end of memory, or of a thread."""
    before = set(threading.enumerate())
    _bound_memory(memory_gib)
    try:
        with in_one_process():
            load()
    except MemoryError:
        return f"takes more than {memory_gib:g} GiB of memory while it is imported".encode()
    except BaseException:
        return _DONE
    if any(not thread.daemon for thread in set(threading.enumerate()) - before):
        return b"leaves a thread behind that keeps the process from its end; give it daemon=True, or start it with the first score"
    return _DONE


def _bound_memory(memory_gib: float) -> None:
    try:
        import resource

        pages = int(open("/proc/self/statm", encoding="ascii").read().split()[5])  # noqa: SIM115
        most = pages * resource.getpagesize() + int(memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    except (ImportError, OSError, ValueError, IndexError):  # not on every system
        pass


def _load(words: dict[str, Any]) -> None:
    from importlib import import_module
    from importlib.metadata import EntryPoint

    from rewards.discovery.plugin_files import import_file
    from rewards.hookspecs import register_rewards

    working_copies.adopt(words["copies"])
    if words["value"]:
        plugin = EntryPoint(words["name"], words["value"], "").load()
    else:
        plugin = import_file(words["path"]) if words["path"] else import_module(words["name"])
    getattr(plugin, register_rewards.__name__)(lambda function: None)


def _try_in_fork(load: Callable[[], Any]) -> tuple[str | None, float]:
    ended, end = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(ended)
        with contextlib.suppress(BaseException):
            os.setsid()
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            # Python's own streams may be other ones, as under a test.
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            faulthandler.disable()
            os.write(end, _try(load, limits.PLUGIN_MEMORY_GIB))
        os._exit(0)
    os.close(end)
    return _wait(ended, child, lambda: os.waitpid(child, 0)[1])


def _try_apart(words: dict[str, str | None]) -> tuple[str | None, float]:
    ended, end = os.pipe()
    arguments = [
        json.dumps(
            {**words, "copies": working_copies.to_state(), "answer": end, "memory_gib": limits.PLUGIN_MEMORY_GIB}
        ),
        json.dumps(sys.path),
        siblings.__file__,
    ]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOTSTRAP, *arguments],
            pass_fds=(end,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(end)

    def wait() -> int:
        code = process.wait()
        return -code if code < 0 else code << 8

    return _wait(ended, process.pid, wait)


def _wait(ended: int, child: int, wait: Callable[[], int]) -> tuple[str | None, float]:
    """None where it said that it is done, how its process ended otherwise, "" where it did not; and the seconds."""
    started = time.monotonic()
    said = b""
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    late = not poll.poll(limits.PLUGIN_START_SECONDS * 1000)
    if not late:
        said = os.read(ended, _MOST_SAID)
    os.close(ended)
    if late or said:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
    status = wait()
    if said == _DONE:
        return None, 0.0
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if late:
        return "", round(time.monotonic() - started)
    if said:
        return clean_message(said.decode("utf-8", "replace"), _MOST_SAID), 0.0
    if os.WIFSIGNALED(status):
        return f"its process was ended by signal {os.WTERMSIG(status)} while it was imported", 0.0
    return f"its process ended while it was imported (exit code {os.WEXITSTATUS(status)})", 0.0
