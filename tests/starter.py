"""Commands of ours as processes of their own, forked from one that has imported what takes seconds and nothing of ours.

torch, transformers and trl take five seconds to import, and dozens of tests start a command that needs them. One forked from
here has its own memory, streams, signals and exit code, but the hash seed of the others: a test that a run depends on
nothing but its seed compares it with one that was started afresh.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import contextlib, json, os, runpy, sys

with contextlib.suppress(ImportError):
    from trl import GRPOTrainer, SFTTrainer

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        for number, path in enumerate([os.devnull, *order["streams"]]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = [order["module"], *order["words"]]
        if order["module"] == "-c":
            exec(compile(sys.argv.pop(1), "-c", "exec"), {"__name__": "__main__"})
            sys.exit(0)
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        sys.exit(0)
    print(child, flush=True)
"""


class Started:
    """A command that was started: `python -m MODULE WORDS` in a folder."""

    def __init__(self, module: str, words: Sequence[str], folder: Path | str, environment: Mapping[str, str]) -> None:
        self.args = [module, *words]
        self._streams = tempfile.TemporaryDirectory()
        self._paths = [Path(self._streams.name) / name for name in ("out", "err")]
        self.pid = _ask({
            "module": module, "words": list(words), "folder": str(folder), "environment": dict(environment),
            "streams": [str(path) for path in self._paths],
        })  # fmt: skip

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> CompletedProcess[str]:
        """Wait for its end: exit code (minus the signal that killed it), what it printed and what it complained of."""
        try:
            code = _ask({"wait": self.pid})
        except BaseException:  # the test's time is over: the answer is read, so that the next one gets its own
            os.kill(self.pid, signal.SIGKILL)
            _read_answer()
            raise
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self._paths)
        self._streams.cleanup()
        return CompletedProcess(self.args, code, out, err)


def run(module: str, words: Sequence[str], folder: Path | str, environment: Mapping[str, str]) -> CompletedProcess[str]:
    """`python -m MODULE WORDS` in a folder, to its end; with the module "-c" the first word is the program."""
    return Started(module, words, folder, environment).wait()


def run_ranks(
    count: int, module: str, words: Sequence[str], folder: Path | str, environment: Mapping[str, str]
) -> list[CompletedProcess[str]]:
    """The same as the processes of one launch, which find each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        launch = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    counts = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = [
        Started(module, words, folder, {**environment, **launch, **counts, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    return [rank.wait() for rank in ranks]


@cache
def _find_starter() -> subprocess.Popen[str]:
    """The process that commands are forked from; it ends with this one, whose end closes its input."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def _ask(order: dict) -> int:
    starter = _find_starter()
    assert starter.stdin is not None
    print(json.dumps(order), file=starter.stdin, flush=True)
    return _read_answer()


def _read_answer() -> int:
    starter = _find_starter()
    assert starter.stdout is not None
    return int(starter.stdout.readline())
