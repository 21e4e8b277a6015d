"""Several processes of one command on this machine, started by the command itself, as torchrun would start them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from grpo.distributed.rank import find_rank
from rewards.errors import UserError
from rewards.screen.command_line import DONE, INTERRUPTED

# How long the others have to notice by themselves that one is gone, and to say so; less than their patience (see
# `first_process`) with the one that speaks for them.
GRACE_SECONDS = 3.0


def starts_processes(count: int) -> bool:
    """Whether that many are to be started: not for one, nor in those that were started, which read the same options.

    UserError where so many cannot be.
    """
    if count < 1:
        raise UserError(f"--processes: {count} is not at least 1")
    started = find_rank().count
    if started > 1:
        if started != count:
            raise UserError(
                f"--processes: {count}, but torchrun has started {started} already; leave one of the two out"
            )
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > max(cores, 64):
        raise UserError(f"--processes: {count} on {cores} processor cores; give at most {max(cores, 64)}")
    return count > 1


def launch(module: str, arguments: Sequence[str], count: int) -> int:
    """Run `python -m module arguments` in `count` processes that know each other; the exit code of them all.

    That is 0 where each ended so, else that of the first process, or of another one where the first ended with 0. Signals
    reach every process.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    end_with_parent = None
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)  # loaded here: between fork and exec nothing may be

        def end_with_parent() -> None:
            libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: also where this process is killed

    processes = [
        # In groups of their own: a terminal's Ctrl-C reaches this process alone, and is handed on once.
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=_describe(index, count, port), process_group=0,
            preexec_fn=end_with_parent,
        )
        for index in range(count)
    ]  # fmt: skip

    def hand_on(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        codes = _wait(processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
        for number, handler in previous.items():
            signal.signal(number, handler)
    code = next((each for each in codes if each != 0), DONE)
    return code if code >= 0 else INTERRUPTED  # killed: what was written is kept


def _describe(index: int, count: int, port: int) -> dict[str, str]:
    """The environment of one of them, as `find_rank` and torch read it."""
    ranks = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    return {**os.environ, **{name: str(value) for name, value in ranks.items()}, "MASTER_ADDR": "127.0.0.1"}


def _wait(processes: Sequence[subprocess.Popen]) -> list[int]:
    """The exit codes, once all have ended; those that hang after one has failed are ended."""
    failed: float | None = None
    while True:
        codes = [process.poll() for process in processes]
        if all(code is not None for code in codes):
            return [code for code in codes if code is not None]
        if failed is None and any(codes):
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > GRACE_SECONDS:
            for process in processes:
                if process.poll() is None:
                    process.terminate()
            failed = float("inf")
        time.sleep(0.1)
