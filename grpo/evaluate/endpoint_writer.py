"""Answers from an OpenAI-compatible server, so that a model behind an API is evaluated, scored and compared as any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from grpo.generation.answers import Settings, WrittenAnswer
from rewards.errors import NetworkError, RecompensaError, UserError
from rewards.judges.chat import post_patiently
from rewards.tool_calls.rendering import render_calls
from rewards.types import Completion, Example

KEY_VARIABLE = "OPENAI_API_KEY"
_AT_ONCE = 8
_SECONDS = 300.0
_TRIES = 5
_CHARACTERS = 4
"""Characters of a token, where only the server knows its tokenizer."""


def find_endpoint(model: str) -> tuple[str, str]:
    """Address and model of `URL#MODEL`; `UserError` where one of them is missing."""
    address, _, name = model.partition("#")
    address = address.rstrip("/").removesuffix("/chat/completions")
    if not urlsplit(address).hostname or not name:
        raise UserError(
            f"--model {model}: a server is named by its address and its model, such as http://127.0.0.1:8000/v1#qwen"
        )
    return address, name


class EndpointPrompts:
    """What stands in the place of a tokenizer: lengths by characters, so that rows are batched and bars move."""

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        return [0] * max(1, sum(len(message["content"]) for message in messages) // _CHARACTERS)


class EndpointWriter:
    """Asks a server, several rows at a time; how long prompts may be is for it to say."""

    takes_windows = True
    note: str | None = None
    context = 2**31

    def __init__(self, location: str):
        self.address, self.model = find_endpoint(location)
        self.prompts: Any = EndpointPrompts()
        self._turn = threading.Semaphore(_AT_ONCE)

    def start(self, longest: int) -> None:
        pass

    def write(
        self, examples: Sequence[Example], prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[WrittenAnswer]]:
        asked = [(example, sample) for example in examples for sample in range(settings.samples)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(lambda each: self._ask(each[0], each[1], settings), asked))
        count = settings.samples
        return [found[start : start + count] for start in range(0, len(found), count)]

    def _ask(self, example: Example, sample: int, settings: Settings) -> WrittenAnswer:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in example.prompt],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_completion_length,
            "seed": settings.seed + sample,
        }
        url = f"{self.address}/chat/completions"
        try:
            content, _, _ = post_patiently(
                url, json.dumps(body).encode(), KEY_VARIABLE, _SECONDS, _TRIES, self._turn, "model"
            )
        except NetworkError as error:
            raise RecompensaError(f"{error}; the rows so far are kept, resume with --resume") from None
        return read_answer_of(content, url)


def read_answer_of(content: bytes, url: str) -> WrittenAnswer:
    """The text of a chat completion; calls that the server has parsed out of it are written as text again.

    Raises RecompensaError for what is no chat completion.
    """
    try:
        answer: Any = json.loads(content)
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        if not isinstance(text, str):
            raise ValueError("content is not text")
        if calls := message.get("tool_calls"):
            text = "\n".join(filter(None, (text.rstrip(), render_calls(calls))))
        tokens = int((answer.get("usage") or {}).get("completion_tokens") or -(-len(text) // _CHARACTERS))
        return WrittenAnswer(Completion(text, choice.get("finish_reason") == "length"), tokens)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecompensaError(f"{url}: answered with no chat completion ({type(error).__name__}: {error})") from None
