"""Calling a reward function, in whatever process: its return value, exception or lateness becomes an outcome."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any, cast

from rewards import limits
from rewards.errors import WrongCount
from rewards.host.verdicts import Outcome, describe_fault, read_score
from rewards.types import Completion, Example, RewardFunction
from rewards.writing.writable import clean_message

BATCH = 64
"""Completions that a function with `together = "batch"` sees at once, at most."""


class CallFault(Exception):
    """A call that gave no score; `kind` is `timeout`, `died`, `start` or `send`."""

    def __init__(self, kind: str, message: str):
        self.kind = kind
        super().__init__(message)


def is_async(function: RewardFunction) -> bool:
    """Whether the function is awaited: its `__call__` is an `async def`."""
    return inspect.iscoroutinefunction(type(function).__call__)


def most_in_flight(function: RewardFunction, usual: int) -> int:
    """Completions of a function that are under way together: its own `concurrency`, where it has one; 1 for a plain one."""
    if not is_async(function):
        return 1
    own = getattr(function, "concurrency", None)
    return own if isinstance(own, int) and own > 0 else usual


def call(function: RewardFunction, example: Example, completion: Completion) -> Outcome:
    """The outcome of a plain function: an exception is data for the budget, never the end of a batch."""
    started = time.perf_counter()
    try:
        score = function(example, completion)
        return read_score(function, score, time.perf_counter() - started)
    except (Exception, SystemExit) as error:
        return describe_fault(function, error, time.perf_counter() - started)


def ask_problems(function: RewardFunction, example: Example) -> list[str]:
    """What the function finds wrong with a row, one line each; an exception of its own is such a line."""
    return _ask_lines(function.problems, "problems", example)


def ask_warnings(function: RewardFunction, example: Example) -> list[str]:
    """What the function cannot judge well of a row, one line each; an exception of its own is such a line."""
    return _ask_lines(function.warnings, "warnings", example)


def _ask_lines(asked: Callable[[Example], Sequence[str]], name: str, example: Example) -> list[str]:
    try:
        said = asked(example)
        lines = [said] if isinstance(said, str) else list(islice(said, limits.PROBLEM_LINES + 1))
    except (Exception, SystemExit) as error:
        return [f"{name}() raised {type(error).__name__}: {clean_message(error, 300)}"]
    cleaned = [" ".join(clean_message(line, limits.PROBLEM_CHARACTERS).split()) for line in lines]
    return [*cleaned[: limits.PROBLEM_LINES], *(["and more"] if len(cleaned) > limits.PROBLEM_LINES else [])]


def ask_figures(function: RewardFunction, pairs: Sequence[tuple[Example, Completion]]) -> dict[str, float]:
    """The function's figures of many completions together; none where it fails to give any."""
    try:
        return {str(name): float(value) for name, value in function.figures(pairs).items()}
    except (Exception, SystemExit):
        return {}


def call_batch(
    function: RewardFunction, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float
) -> list[Outcome]:
    """The outcomes of a function that sees several completions at once, in order.

    After an exception over a batch each is asked again alone, so that only the bad one is blamed; a group stands and falls
    together.
    """
    import asyncio

    started = time.perf_counter()
    try:
        scores: Any = function.score_together(pairs)
        if inspect.isawaitable(scores):
            scores = _run_apart(asyncio.wait_for(scores, timeout_seconds))
        seconds = (time.perf_counter() - started) / max(1, len(pairs))
        if not isinstance(scores, list | tuple) or len(scores) != len(pairs):
            raise WrongCount(f"score_together() returned no list of {len(pairs)} scores")
        return [read_score(function, score, seconds) for score in scores]
    except (Exception, SystemExit) as error:
        # Of one completion a list that is always too short has the right length: asked again alone it would pass.
        if function.together == "batch" and len(pairs) > 1 and not isinstance(error, WrongCount):
            return [outcome for pair in pairs for outcome in call_batch(function, [pair], timeout_seconds / len(pairs))]
        seconds = (time.perf_counter() - started) / max(1, len(pairs))
        if isinstance(error, TimeoutError) and not str(error):
            error = CallFault("timeout", f"took longer than {timeout_seconds:g} s")
        return [describe_fault(function, error, seconds) for _ in pairs]


def cut_together(function: RewardFunction, pairs: Sequence[tuple[Example, Completion]]) -> list[list[int]]:
    """The places of the pairs that the function sees at once: all answers to a prompt, or a batch of limited length."""
    if function.together != "group":
        return [list(range(len(pairs)))[at : at + BATCH] for at in range(0, len(pairs), BATCH)]
    groups: dict[tuple[str, str], list[int]] = {}
    for place, (example, _) in enumerate(pairs):
        groups.setdefault((example.task, example.id), []).append(place)
    return list(groups.values())


def _run_apart(work: Any) -> Any:
    """Run a coroutine to its end, also where the caller has an event loop of its own."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def wait() -> Any:
        return await work

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    with ThreadPoolExecutor(max_workers=1) as apart:
        return apart.submit(asyncio.run, wait()).result()


async def call_together(
    function: RewardFunction, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float
) -> list[Outcome]:
    """The outcomes of an asynchronous function, in order; one that takes too long is an error of kind `timeout`."""
    import asyncio

    return await asyncio.gather(*(_call_async(function, *pair, timeout_seconds) for pair in pairs))


def wait_for(
    function: RewardFunction, pairs: Sequence[tuple[Example, Completion]], timeout_seconds: float
) -> list[Outcome]:
    """`call_together` from plain code, also where the caller has an event loop of its own, as in a notebook."""
    return _run_apart(call_together(function, pairs, timeout_seconds))


async def _call_async(
    function: RewardFunction, example: Example, completion: Completion, timeout_seconds: float
) -> Outcome:
    started = time.perf_counter()
    try:
        score = await _limit(function, example, completion, timeout_seconds)
        return read_score(function, score, time.perf_counter() - started)
    except (Exception, SystemExit) as error:
        return describe_fault(function, error, time.perf_counter() - started)


async def _limit(function: RewardFunction, example: Example, completion: Completion, timeout_seconds: float) -> Any:
    import asyncio

    try:
        async with asyncio.timeout(timeout_seconds) as limit:
            return await cast(Awaitable[Any], function(example, completion))
    except TimeoutError:
        # A time-out of the function's own, such as that of its connection, is its exception and not ours.
        if not limit.expired():
            raise
        raise CallFault("timeout", f"took longer than {timeout_seconds:g} s") from None
