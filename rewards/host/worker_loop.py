"""What the process of one plugin's reward function does: questions in, numbered answers out, until the pipe closes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import resource
import sys
from typing import Any

from rewards import frames
from rewards.host import calls
from rewards.host.imports_ahead import import_ahead
from rewards.host.supervisor import supervise
from rewards.host.verdicts import Outcome
from rewards.types import Completion


def main() -> None:
    """Started by `rewards.host.worker`: pipes, label and limit are its arguments."""
    asked, answered, life = map(int, sys.argv[1:4])
    memory, label = int(sys.argv[4]), sys.argv[5]
    supervise(life, label, lambda: _serve(asked, answered, memory), (asked, answered))


def _serve(asked: int, answered: int, memory: int) -> None:
    for name, most in (("RLIMIT_DATA", memory), ("RLIMIT_CORE", 0)):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (most, most))
    own = os.getpid()
    # What a plugin forks must neither read a question nor give an answer, nor keep the pipes open.
    os.register_at_fork(after_in_child=lambda: _close(asked, answered))
    with contextlib.suppress(EOFError, OSError):
        path, copies, payload = pickle.loads(frames.receive(asked))
        function, problem = _load(path, copies, payload)
        # The reader's regular expressions take a tenth of a second to compile: no completion's time limit pays for it.
        _ = [Completion(text).extraction for text in ("none", "{'a': 1,}")]
        if function is not None:
            import_ahead(function)
        _leave_fork(own)
        frames.send(answered, json.dumps([0, problem]).encode())
        if problem:
            return
        with asyncio.Runner() if calls.is_async(function) else contextlib.nullcontext() as runner:
            while True:
                number, kind, seconds, given = pickle.loads(frames.receive(asked))
                answer = _answer(function, kind, seconds, given, runner)
                _leave_fork(own)
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                frames.send(answered, json.dumps([number, answer]).encode())


def _answer(function: Any, kind: str, seconds: float, given: Any, runner: Any) -> Any:
    if kind == "problems":
        return calls.ask_problems(function, given)
    if kind == "warnings":
        return calls.ask_warnings(function, given)
    pairs = [(example, Completion(*completion)) for example, *completion in given]
    if kind == "figures":
        return calls.ask_figures(function, pairs)
    if function.together:
        outcomes = calls.call_batch(function, pairs, seconds)
    elif runner is None:
        outcomes = [calls.call(function, *pair) for pair in pairs]
    else:
        outcomes = runner.run(calls.call_together(function, pairs, seconds))
    read = ["extraction" in completion.__dict__ for _, completion in pairs]
    return [[*pack_outcome(outcome), done] for outcome, done in zip(outcomes, read, strict=True)]


def pack_outcome(outcome: Outcome) -> list[Any]:
    """An outcome as a list of plain values, to send to the parent process."""
    return [
        outcome.status,
        outcome.value,
        outcome.reason,
        dict(outcome.parts),
        outcome.seconds,
        outcome.trace,
        dict(outcome.usage),
    ]


def _leave_fork(own: int) -> None:
    """A process that the function has forked, and that came back out of it as this one does, has nothing to say."""
    if os.getpid() != own:
        os._exit(0)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _load(path: str | None, copies: dict[str, Any], payload: bytes) -> tuple[Any, str]:
    from rewards.discovery import working_copies
    from rewards.discovery.contract import describe_error
    from rewards.discovery.plugin_files import import_file

    try:
        working_copies.adopt(copies)
        if path is not None:
            import_file(path)
        return pickle.loads(payload), ""
    except (Exception, SystemExit) as error:
        return None, f"cannot be loaded in its process: {describe_error(error)}"
