"""The commands of a page in docs/, run one after the other in a folder, with runs made small.

Each is a process of its own, forked from one that has imported what takes seconds (torch, transformers, trl) and nothing
of ours: dozens of commands would each import it anew.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=6", "sft_warmup.batch_size=4", "grpo.max_steps=2", "grpo.prompts_per_step=2",
    "grpo.num_generations=2", "grpo.max_completion_length=16", "grpo.save_every_steps=2",
    "evaluation.max_completion_length=16", "evaluation.every_steps=2", "threads=1", "tracking.wandb=off",
)  # fmt: skip

STARTER = """
import contextlib, json, os, runpy, sys

with contextlib.suppress(ImportError):
    from trl import GRPOTrainer, SFTTrainer

for line in sys.stdin:
    words, folder, environment, streams = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, path in enumerate([os.devnull, *streams]):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["grpo", *words]
        runpy.run_module("grpo", run_name="__main__", alter_sys=True)
        sys.exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Ended(NamedTuple):
    """A command that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


@cache
def find_starter() -> subprocess.Popen[str]:
    """The process that commands are forked from; it ends with this one, whose end closes its input."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def run_command(words: list[str], folder: Path, environment: dict[str, str]) -> Ended:
    """`recompensa WORDS` in a folder, as a process of its own."""
    starter = find_starter()
    assert starter.stdin is not None and starter.stdout is not None
    streams = [folder / ".printed", folder / ".said"]
    print(
        json.dumps([words, str(folder), environment, [str(path) for path in streams]]), file=starter.stdin, flush=True
    )
    code = int(starter.stdout.readline())
    out, err = (path.read_text(encoding="utf-8") for path in streams)
    return Ended(code, out, err)


def list_commands(page: str) -> list[str]:
    """The `recompensa` lines of the fenced blocks, continued lines joined, comments cut."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = "\n".join(block for language, block in fenced if not language).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in blocks.splitlines() if line.startswith("recompensa ")]


def run_page(page: str, folder: Path, *, rows: tuple[str, ...], expected: dict[str, int]) -> dict[str, str]:
    """What each command of a page printed. `rows` make the rows of runs few; `expected` are exit codes that are not 0."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
        "RECOMPENSA_CACHE": str(folder / "cache"), "HOME": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "200",
        "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    printed = {}
    for line in list_commands(page):
        words = shlex.split(line)[1:]
        if words[0] in ("run", "plan"):
            words += [part for each in (*SMALL, *rows) for part in ("--set", each)]
        done = run_command(words, folder, environment)
        code = next((code for start, code in expected.items() if line.startswith(f"recompensa {start}")), 0)
        assert done.code == code, f"{line}: {done.code}\n{done.out[-2000:]}\n{done.err[-2000:]}"
        printed[line] = done.out
    return printed
