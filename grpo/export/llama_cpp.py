"""llama.cpp as the package xllamacpp brings it: a GGUF file loaded, and spoken to over its own loopback endpoints."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grpo.policy.gguf_file import read_gguf
from rewards.errors import RecompensaError, UserError

_QUIET = -1  # below the first level of its log
_SECONDS = 600.0


class RuntimeFailed(RecompensaError):
    """llama.cpp could not load the file, or answer."""


@dataclass(frozen=True, slots=True)
class Written:
    """One greedy answer: its text as llama.cpp writes it, its tokens, and whether the limit cut it off."""

    text: str
    tokens: list[int]
    truncated: bool


def is_installed() -> bool:
    """Whether a GGUF file can be loaded here."""
    return find_spec("xllamacpp") is not None


def name_runtime() -> str:
    """The runtime with its version, for people."""
    try:
        return f"llama.cpp (xllamacpp {version('xllamacpp')})"
    except PackageNotFoundError:
        return "llama.cpp"


class LlamaCpp:
    """A GGUF file loaded by llama.cpp; `slots` answers at once, each of at most `context` tokens with its prompt.

    `exact` keeps keys and values in float32 and attention plain, so that what differs from training is the file alone.
    """

    def __init__(self, path: Path, *, context: int, slots: int = 4, threads: int | None = None, exact: bool = False):
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(path)
        settings.model_alias = {path.stem}  # else answers carry the path
        settings.n_ctx, settings.n_parallel = context * slots, slots
        settings.n_gpu_layers, settings.warmup, settings.ui = 0, False, False
        settings.verbosity = _QUIET
        settings.endpoint_slots = settings.endpoint_metrics = False
        count = threads or len(os.sched_getaffinity(0))
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = count
        if exact:
            settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.slots, self.path = slots, path
        try:
            self._server = xllamacpp.Server(settings)
        except Exception:  # whatever the binding raises of a file that it cannot read; it never says why
            raise RuntimeFailed(explain_refusal(path, name_runtime())) from None
        self.address: str = self._server.listening_address

    def close(self) -> None:
        """Give its memory back."""
        self._server = None

    def __enter__(self) -> LlamaCpp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tokenize(self, text: str, *, adds_start: bool = False) -> list[int]:
        """The tokens of a text, markers read as what they are."""
        asked = {"content": text, "add_special": adds_start, "parse_special": True}
        return self._post("/tokenize", asked)["tokens"]

    def render(self, messages: Sequence[Any]) -> str:
        """The conversation by the template in the file, up to the assistant's header."""
        return self._post("/apply-template", {"messages": [dict(message) for message in messages]})["prompt"]

    def answer(self, prompts: Sequence[Sequence[int]], limit: int, advance: Any = None) -> list[Written]:
        """A greedy answer to each prompt, given as token ids, of at most `limit` tokens."""

        def ask(prompt: Sequence[int]) -> Written:
            found = self._post(
                "/completion",
                {
                    "prompt": list(prompt), "n_predict": limit, "temperature": 0.0, "samplers": ["top_k"], "top_k": 1,
                    "repeat_penalty": 1.0, "return_tokens": True, "cache_prompt": False,
                },
            )  # fmt: skip
            if advance is not None:
                advance(1)
            return Written(found["content"], list(found["tokens"]), found.get("stop_type") == "limit")

        with ThreadPoolExecutor(self.slots) as pool:
            return list(pool.map(ask, prompts))

    def _post(self, path: str, body: Any) -> Any:
        return post(self.address + path, body, f"{self.path}: llama.cpp")


def explain_refusal(path: Path, runtime: str) -> str:
    """Why llama.cpp does not load a file, as far as the file's own header tells."""
    try:
        header = read_gguf(path)
        header.require_whole()
    except UserError as fault:
        return fault.problems[0].removeprefix("model.gguf: ")
    family = str(header.fields.get("general.architecture") or "none")
    return (
        f"{path}: {runtime} cannot load it; its architecture is {family}: a newer xllamacpp may know that one, and a file "
        "whose tensors do not fit its header has to be made again. Its own reason: llama-cli -m FILE"
    )


def post(url: str, body: Any, who: str) -> Any:
    """The JSON answer to a JSON question; `RuntimeFailed` in one line where there is none."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    # No proxy of the environment's: this is the same machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as fault:
        raise RuntimeFailed(f"{who} refuses ({fault.read()[:200].decode(errors='replace')})") from None
    except (OSError, ValueError) as fault:
        raise RuntimeFailed(f"{who} does not answer ({fault})") from None
