"""The commands of a page in docs/, run one after the other in a folder, with runs made small."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from tests import starter

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "model.embedded.layers=1", "model.embedded.hidden_size=32", "model.embedded.intermediate_size=32",
    "model.embedded.heads=2", "model.embedded.kv_heads=1", "model.embedded.vocabulary=400",
    "sft_warmup.max_steps=6", "sft_warmup.batch_size=4", "grpo.max_steps=2", "grpo.prompts_per_step=2",
    "grpo.num_generations=2", "grpo.max_completion_length=16", "grpo.save_every_steps=2",
    "evaluation.max_completion_length=16", "evaluation.every_steps=2", "threads=1", "tracking.wandb=off",
)  # fmt: skip


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
        done = starter.run("grpo", words, folder, environment)
        code = next((code for start, code in expected.items() if line.startswith(f"recompensa {start}")), 0)
        assert done.returncode == code, f"{line}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        printed[line] = done.stdout
    return printed
