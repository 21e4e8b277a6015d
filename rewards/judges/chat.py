"""One chat completion of an OpenAI-compatible server, with patience: a fault of the network is told as one."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from rewards.errors import NetworkError, UserError

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LARGEST = 4 << 20
_turns: dict[tuple[str, int], threading.Semaphore] = {}
_lock = threading.Lock()


class ChatAnswer(NamedTuple):
    """What a model answered, the tokens of question and answer, the requests it took, and the seconds in all."""

    text: str
    tokens_in: int
    tokens_out: int
    tries: int
    seconds: float


async def ask_chat(
    base_url: str,
    model: str,
    messages: Sequence[dict[str, str]],
    *,
    key_variable: str = "OPENAI_API_KEY",
    temperature: float = 0.0,
    max_tokens: int = 256,
    seconds: float = 60.0,
    tries: int = 4,
    concurrency: int = 16,
    more: Mapping[str, Any] | None = None,
) -> ChatAnswer:
    """Ask, and ask again after 429, 5xx and no answer, with growing pauses or the server's own.

    `more` are further settings of the request, such as `top_p`, as the server names them. Raises NetworkError once `tries` or `seconds` are used up, and ValueError for an answer that is none.
    """
    body = {"model": model, "messages": list(messages), "temperature": temperature, "max_tokens": max_tokens}
    body |= more or {}
    arguments = (base_url.rstrip("/") + "/chat/completions", json.dumps(body).encode(), key_variable)
    with _lock:
        turn = _turns.setdefault((base_url, concurrency), threading.Semaphore(concurrency))
    content, attempts, taken = await asyncio.to_thread(post_patiently, *arguments, seconds, tries, turn)
    return _read(content, attempts, taken)


def post_patiently(
    url: str, body: bytes, key_variable: str, seconds: float, tries: int, turn: threading.Semaphore, who: str = "judge"
) -> tuple[bytes, int, float]:
    """What the server answered, after how many tries and seconds; see `ask_chat` for what is tried again and raised."""
    started = time.monotonic()
    deadline = started + seconds
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(key_variable):
        headers["Authorization"] = f"Bearer {key}"
    local = urlsplit(url).hostname in _LOOPBACK
    opener = build_opener(ProxyHandler({})) if local else build_opener()
    said, pause = "", 0.5
    for attempt in range(1, tries + 1):
        left = deadline - time.monotonic()
        if left <= 0 or not turn.acquire(timeout=left):
            raise NetworkError(f"{url}: no answer within {seconds:g} s{said}")
        try:
            with opener.open(Request(url, body, headers), timeout=max(0.1, deadline - time.monotonic())) as response:
                return response.read(_LARGEST), attempt, time.monotonic() - started
        except HTTPError as error:
            with error:
                detail = error.read(500).decode("utf-8", "replace")
            if error.code not in _AGAIN:
                raise UserError(
                    f"{url}: the {who}'s server refuses ({error.code}): {' '.join(detail.split())[:200]}"
                ) from None
            said, asked = f"; the last answer was {error.code}", _wait_asked(error.headers.get("Retry-After"))
        except (URLError, OSError) as error:
            said, asked = f"; {getattr(error, 'reason', error)}", None
        finally:
            turn.release()
        if attempt < tries:
            wait = asked if asked is not None else pause * (1 + random.random())
            if time.monotonic() + wait >= deadline:
                break
            time.sleep(wait)
            pause = min(2 * pause, 20.0)
    raise NetworkError(f"{url}: no answer in {attempt} tries{said}")


def _read(content: bytes, tries: int, seconds: float) -> ChatAnswer:
    try:
        answer: Any = json.loads(content)
        text = answer["choices"][0]["message"]["content"]
        usage = answer.get("usage") or {}
        counts = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError("the judge's server answered with no chat completion") from None
    if not isinstance(text, str):
        raise ValueError("the judge answered with no text")
    return ChatAnswer(text, *counts, tries, seconds)


def _wait_asked(header: str | None) -> float | None:
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
