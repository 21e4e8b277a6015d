"""What stands behind the endpoint: llama.cpp in this process, or a vLLM server that is started and ended with it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grpo.evaluate.policy_source import is_run
from grpo.export.llama_cpp import LlamaCpp, RuntimeFailed, is_installed
from rewards.errors import UserError

_START_SECONDS = 600.0
_POLL_SECONDS = 0.5


@contextmanager
def open_backend(folder: Path, gguf: Path | None, *, slots: int, context: int, vllm: bool) -> Iterator[str]:
    """The address of a server with OpenAI's endpoints; UserError where this machine has none for these files."""
    if gguf is not None and not vllm:
        if not is_installed():
            raise UserError("serving a GGUF file needs llama.cpp: pip install 'xllamacpp>=2026.10'")
        with LlamaCpp(gguf, context=context, slots=slots) as runtime:
            yield runtime.address
        return
    shown = shlex.quote(str(folder))
    if is_run(folder):
        raise UserError(
            f"{folder}: a run, not an export; python -m grpo.export {shown} --to DIR, then serve DIR (--run {shown} scores "
            "what --log writes)"
        )
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: neither a GGUF file nor a merged model; export it: python -m grpo.export RUN --to DIR"
        )
    if shutil.which("vllm") is None:
        raise UserError(
            f"{folder}: without a GGUF file vLLM is needed, and it is not installed; pip install -e '.[gpu]', export it with "
            f"--format gguf-q8_0 where llama.cpp has its tokenizer, or talk to it: python -m grpo.chat {shown}"
        )
    with _vllm(folder) as address:
        yield address


@contextmanager
def _vllm(folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    words = ["vllm", "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "policy"]
    process = subprocess.Popen(words, start_new_session=True)
    try:
        _wait(process, address)
        yield address
    finally:
        # Its workers are in its session: they end with it.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    continue


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    last = time.monotonic() + _START_SECONDS
    while time.monotonic() < last:
        if process.poll() is not None:
            raise RuntimeFailed(
                f"vLLM ended with exit code {process.returncode} before it served; its own output says why"
            )
        try:
            with opener.open(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise RuntimeFailed(f"vLLM did not serve within {_START_SECONDS:.0f} s")
