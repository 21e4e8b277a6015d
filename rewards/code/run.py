"""Running a model's Python against tests, in a process without rights that is ended at its limits."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from rewards import limits
from rewards.code.allowed import MODULES, find_code, find_refusal

_CHILD = str(Path(__file__).with_name("child.py"))
PASSED = ""


def run_tests(text: str, tests: str) -> str:
    """Why the code of an answer does not pass the tests, in one line; empty where it does.

    The same code and tests are run once: processor seconds, not the clock, are counted, so that a busy machine changes
    no verdict. Raises OSError where no process can be started, which is the machine's fault.
    """
    return _run(find_code(text), tests)


@lru_cache(maxsize=4096)
def _run(code: str, tests: str) -> str:
    if not code.strip():
        return "no code"
    if refusal := find_refusal(code):
        return refusal
    word = secrets.token_hex(16)
    asked = {
        "code": code, "tests": tests, "modules": sorted(MODULES), "seconds": limits.CODE_SECONDS,
        "bytes": limits.CODE_BYTES, "word": word,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="recompensa-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", _CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, start_new_session=True,
            env={"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"},
        )  # fmt: skip
        try:
            written, _ = process.communicate(json.dumps(asked).encode("utf-8", "replace"), limits.CODE_WALL_SECONDS)
        except subprocess.TimeoutExpired:
            return f"no end within {limits.CODE_WALL_SECONDS} s"
        finally:
            _end(process)
    return _read(written, word, process.returncode)


def _read(written: bytes, word: str, code: int) -> str:
    try:
        answer: Any = json.loads(written)
    except ValueError:
        return f"more than {limits.CODE_SECONDS} s of processor time, or its process ended ({code})"
    if answer.get("word") == word:
        return PASSED
    return f"{answer.get('stage')}: {answer.get('error')}{': ' if answer.get('said') else ''}{answer.get('said', '')}"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, 9)
        except OSError:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
