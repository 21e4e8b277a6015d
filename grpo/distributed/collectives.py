"""What every process of a run learns from the others: gathered values, shared work, common faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from grpo.distributed.rank import find_rank
from rewards.errors import RecompensaError

T = TypeVar("T")
R = TypeVar("R")


def wait() -> None:
    """Go on once every process is here."""
    gather(None)


def gather(value: T) -> list[T]:
    """The value of each process, by index, on all of them. Anything that pickles."""
    rank = find_rank()
    if rank.count == 1:
        return [value]
    import torch.distributed

    values: list[Any] = [None] * rank.count
    torch.distributed.all_gather_object(values, value)
    return values


def concatenate(part: Sequence[T]) -> list[T]:
    """The parts of all processes end to end, by index, on all of them."""
    return [item for each in gather(list(part)) for item in each]


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    return any(gather(bool(flag)))


def together(function: Callable[[], R]) -> R:
    """Call `function` in every process; what RecompensaError it raises in one of them is raised in all.

    Without this, the others would wait for the one that failed until they are killed. Of another exception they are
    told its name and its text.
    """
    rank = find_rank()
    if rank.count == 1:
        return function()
    result: Any = None
    fault = None
    try:
        result = function()
    except RecompensaError as error:
        fault = error
    except Exception as error:
        gather(RecompensaError(f"process {rank.index} failed: {type(error).__name__}: {error}"))
        raise
    faults = [each for each in gather(fault) if each is not None]
    if faults:
        raise fault or faults[0]
    return result


def on_main(function: Callable[[], R]) -> R:
    """Call `function` in the first process only; all get what it returned or the RecompensaError it raised."""
    results: list[Any] = gather(together(lambda: function() if find_rank().is_main else None))
    return results[0]


def share_out(function: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
    """`function` of all items, in order, each process having worked on its share of them."""
    rank = find_rank()
    if rank.count == 1:
        return list(function(items))
    parts = gather(list(together(lambda: function(items[rank.index :: rank.count]))))
    results: list[Any] = [None] * len(items)
    for index, part in enumerate(parts):
        results[index :: rank.count] = part
    return results
