"""What stands in the place of a thing that only one process has, or that all must agree on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any

from grpo.distributed.collectives import any_of, share_out
from grpo.distributed.rank import find_rank


class Silent:
    """Stands where only the first process has something that writes: takes every call and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: None

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class SharedHost:
    """A reward host whose completions are scored by all processes, each its share."""

    def __init__(self, host: Any):
        self._host = host
        self.to_record = host.to_record

    def score(self, pairs: Sequence[Any]) -> list[Any]:
        return share_out(self._host.score, pairs)


def take_signals(interruption: Any) -> None:
    """Inside the block of `interruption`, let a signal that comes again ask for nothing more where there are others.

    SLURM signals the launcher and its processes, and the launcher passes on what it got: one stop arrives twice. What
    takes too long is killed by the launcher.
    """
    if find_rank().count == 1:
        return

    def ask(*_: object) -> None:
        interruption.requested = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)


def make_agreement(interruption: Any) -> Any:
    """A transformers callback after which every process knows of a stop that any was asked for.

    It must come before the callback that acts on it: processes that stop at different steps wait for each other.
    """
    from transformers import TrainerCallback

    class Agree(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            interruption.requested = any_of(interruption.requested)

    return Agree()
