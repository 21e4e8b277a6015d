"""What only the first process of a run says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO

from grpo.distributed.process_group import has_joined
from grpo.distributed.rank import find_rank
from rewards.screen.command_line import print_problem

# How long each further process of a machine waits for the one before it to say what is wrong.
PATIENCE_SECONDS = 10.0
# A launcher ends all processes as soon as it notices that one did: the one that speaks gets the time to.
QUIET_SECONDS = 1.5


@contextmanager
def only_first_process_prints() -> Iterator[None]:
    """What ends a process inside, such as argparse with the usage, is printed by the first of each machine only."""
    if not find_rank().local:
        yield
        return
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    except SystemExit as end:
        time.sleep(PATIENCE_SECONDS if end.code else 0)
        raise


def may_speak() -> bool:
    """Whether this process is the one to say why all of them end; for the others it returns when that was said."""
    rank = find_rank()
    if not has_joined():
        # The first of a machine most likely fails at the same, and the launcher then ends those who wait here.
        time.sleep(PATIENCE_SECONDS * rank.local)
        return True
    from torch.distributed.distributed_c10d import _get_default_store

    try:
        first = _get_default_store().add("recompensa/spoken", 1) == 1
    except RuntimeError:  # the launcher keeps the store, and may be gone
        first = rank.is_main
    if not first:
        time.sleep(QUIET_SECONDS)
    return first


def complain(text: str) -> None:
    """Say once what is wrong, however many processes it is wrong for."""
    if may_speak():
        print_problem(text)
