"""The process above a plugin's: it passes on what the plugin prints, and ends all that the plugin has started with it.

No plugin is imported here. When the run closes its end of the life line, or dies, everything below ends; orphans come back
to this process and end too.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from rewards import limits

MARK = "RECOMPENSA_PLUGIN_PROCESS"
"""In the environment of a supervisor, and so of all that a plugin starts: whose it is."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def supervise(life: int, label: str, work: Callable[[], None], inherited: tuple[int, ...]) -> NoReturn:
    """Do `work` in a process below this one, and end with it; `inherited` are the descriptors that are its alone."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _call_kernel(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    printed, prints = os.pipe()
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        for descriptor in (life, woken, wake, printed):
            os.close(descriptor)
        os.dup2(prints, 1)
        os.dup2(prints, 2)
        os.close(prints)
        _work(work)
    for descriptor in (prints, *inherited):
        os.close(descriptor)
    status = _watch(child, life, woken, printed, _Output(label))
    _end_all()
    _leave(status)


def _work(work: Callable[[], None]) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    _call_kernel(_PR_SET_PDEATHSIG, signal.SIGKILL)
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _watch(child: int, life: int, woken: int, printed: int, output: _Output) -> int | None:
    """Until the child ends (its wait status) or the run lets go (None)."""
    poll = select.poll()
    for descriptor in (life, woken, printed):
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == life:
                return None
            content = b""
            with contextlib.suppress(OSError):
                content = os.read(descriptor, 65_536)
            if descriptor == printed:
                if content:
                    output.add(content)
                else:
                    poll.unregister(printed)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == child:
                    os.set_blocking(printed, False)
                    with contextlib.suppress(OSError):
                        output.add(os.read(printed, 65_536))
                    return found[1]


class _Output:
    """What is printed, on standard error: a label before each line, up to a number of bytes."""

    def __init__(self, label: str):
        self._label = label
        self._left = limits.PLUGIN_OUTPUT_BYTES
        self._begun = b""

    def add(self, content: bytes) -> None:
        if self._left <= 0:
            return
        content = content[: self._left]
        self._left -= len(content)
        *lines, self._begun = (self._begun + content).split(b"\n")
        if self._left <= 0:
            lines += [self._begun, b"(prints too much; the rest is dropped)"]
        for line in lines:
            self._show(line)

    def _show(self, line: bytes) -> None:
        from rewards.writing.writable import clean_message

        text = clean_message(line.decode("utf-8", "replace").rstrip(), 500)
        if text:
            with contextlib.suppress(OSError, ValueError):
                os.write(2, f"[{self._label}] {text}\n".encode("utf-8", "replace"))


def _end_all() -> None:
    """Kill what this process has below it, until nothing is left: what a killed one leaves behind comes up here."""
    deadline = time.monotonic() + limits.PLUGIN_END_SECONDS
    while time.monotonic() < deadline:
        for process in list_children(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def end_marked(mark: str) -> None:
    """Kill what bears this mark, wherever it has gone: what a supervisor that was killed could not end. Linux only."""
    wanted = f"{MARK}={mark}".encode()
    deadline = time.monotonic() + limits.PLUGIN_END_SECONDS
    while time.monotonic() < deadline:
        found = [
            process for process in _list_processes() if process != os.getpid() and wanted in _environment_of(process)
        ]
        if not found:
            return
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _environment_of(process: int) -> list[bytes]:
    try:
        with open(f"/proc/{process}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def list_children(parent: int) -> list[int]:
    """The processes whose parent is this one; none where the system has no /proc."""
    found = []
    for process in _list_processes():
        with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{process}/stat", "rb") as file:
            # The name of a program may hold anything, brackets and blanks among them.
            if int(file.read().rpartition(b")")[2].split()[1]) == parent:
                found.append(process)
    return found


def _list_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _leave(status: int | None) -> NoReturn:
    """End as the child did, so that whoever waits for this process learns how."""
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError, ValueError, ImportError):
            import resource

            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else 1)


def _call_kernel(option: int, value: int) -> None:
    """Linux's prctl; elsewhere orphans are nobody's."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(Exception):
            import ctypes

            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
