"""Scoring processes that can be killed: a batch that took one down, or hung in it, is an error and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rewards import frames, limits, siblings
from rewards.config import RewardsSection
from rewards.types import Example

BATCH_SECONDS = 600.0
"""The longest that a batch may take before its process is taken for dead; requests are answered long before."""

Item = tuple[Example, str, bool]
_BOOTSTRAP = (
    "import json, runpy, sys; sys.path[:] = json.loads(sys.argv[3]); runpy.run_path(sys.argv[4])['claim'](); "
    "from rewards.serve.scoring_process import main; main()"
)


class ProcessDied(Exception):
    """The process ended with a batch under way, or did not answer; the next batch gets a new one."""


class ScoringProcess:
    """One process with a host for every scorer; `score` is called by one thread at a time."""

    def __init__(self, sections: Mapping[str, RewardsSection]):
        self._sections = pickle.dumps(dict(sections))
        self._process: subprocess.Popen | None = None
        self._pipes: tuple[int, int] | None = None
        self._number = 0
        self._lock = threading.Lock()
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it where it does not run; raises ProcessDied where it cannot."""
        if self._process is not None and self._process.poll() is None:
            return
        self.kill()
        asked, asks = os.pipe()
        answers, answered = os.pipe()
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    _BOOTSTRAP,
                    str(asked),
                    str(answered),
                    json.dumps(sys.path),
                    siblings.__file__,
                ],
                pass_fds=(asked, answered),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_number(sys.stderr) else subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(asked)
            os.close(answered)
        self._pipes = (asks, answers)
        os.set_blocking(asks, False)
        self.starts += 1
        try:
            frames.send(asks, self._sections, limits.PLUGIN_START_SECONDS)
            frames.receive(answers, limits.PLUGIN_START_SECONDS)
        except (OSError, EOFError, ValueError) as error:
            self.kill()
            raise ProcessDied(f"the scoring process did not start ({type(error).__name__})") from None

    def score(self, name: str, items: Sequence[Item]) -> list[dict[str, Any]]:
        """One result an item, in order; raises ProcessDied, and then nothing was scored."""
        with self._lock:
            self.start()
            assert self._pipes is not None
            self._number += 1
            try:
                frames.send(self._pipes[0], pickle.dumps((self._number, name, list(items))), BATCH_SECONDS)
                number, results = orjson.loads(frames.receive(self._pipes[1], BATCH_SECONDS))
                if number != self._number or len(results) != len(items):
                    raise ValueError("an answer to another question")
                return results
            except (OSError, EOFError, ValueError, TypeError) as error:
                late = isinstance(error, TimeoutError)
                self.kill()
                said = f"did not answer within {BATCH_SECONDS:g} s" if late else "ended while it scored"
                raise ProcessDied(f"the scoring process {said}") from None

    def kill(self) -> None:
        """End it and what it started."""
        pipes, self._pipes = self._pipes, None
        process, self._process = self._process, None
        for descriptor in pipes or ():
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _has_number(stream: Any) -> bool:
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError, AttributeError):
        return False
