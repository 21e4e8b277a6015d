"""What TRL's client of a vLLM server lacks: an end to waiting, and seeds of its own for each prompt."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from grpo.engines.vllm_server import VllmServer

CONNECT_SECONDS = 10.0
# As many as the client's session keeps connections.
REQUESTS_AT_ONCE = 64
INTERRUPTED = 75


def bound_requests(session: Any, seconds: float) -> None:
    """Let no request wait longer than `seconds` for its answer, nor be sent a second time after it did."""
    for adapter in session.adapters.values():
        adapter.max_retries = adapter.max_retries.new(read=False)
    session.request = partial(session.request, timeout=(CONNECT_SECONDS, seconds))


def generate_one_by_one(generate: Callable[..., Any], next_seed: Callable[[], int]) -> Callable[..., Any]:
    """`VLLMClient.generate` with a request for each prompt: in one request all prompts draw the same random numbers."""

    def generate_seeded(prompts: Any, n: int = 1, generation_kwargs: Any = None, **options: Any) -> dict[str, Any]:
        first = next_seed()

        def ask(index: int) -> dict[str, Any]:
            # vLLM gives completion i of a request the seed + i.
            seeded = {**(generation_kwargs or {}), "seed": first + index * n}
            return generate(prompts[index : index + 1], n=n, generation_kwargs=seeded, **options)

        with ThreadPoolExecutor(min(REQUESTS_AT_ONCE, len(prompts))) as pool:
            answers = list(pool.map(ask, range(len(prompts))))
        return {
            key: None if answers[0][key] is None else [each for answer in answers for each in answer[key]]
            for key in answers[0]
        }

    return generate_seeded


@contextmanager
def end_when_late(seconds: float, line: str, server: VllmServer | None) -> Iterator[None]:
    """End this process with `line` and exit code 75 when the block takes longer than `seconds`.

    NCCL waits for ever for a server that is gone, in a call into which no exception can be raised.
    """

    def end() -> None:
        print(line, file=sys.stderr, flush=True)
        if server is not None:
            server.stop()
        os._exit(INTERRUPTED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
