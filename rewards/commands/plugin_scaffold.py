"""A working plugin package to start from: one reward function, its test, rows to try it on, and what installs it."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from rewards.errors import UserError

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")

_MODULE = '''\
"""Reward of `{name}`: say in one sentence what it pays for."""

from typing import ClassVar

from pydantic import Field

from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score

LONGEST = 10_000  # letters of a completion that are read: an endless text must not take endless time


class {kind}(RewardFunction):
    """The share of the reference's words that the completion has, less for every word that it should not have."""

    name: ClassVar[str] = "{name}"
    version: ClassVar[str] = "1"  # raise it whenever a score could change
    tasks: ClassVar[tuple[str, ...]] = ()  # none named: all tasks

    # The fields are the options of the YAML; they must be hashable.
    extra_cost: float = Field(0.1, ge=0, le=1, description="Taken off for each word that is not in the reference.")

    def problems(self, example: Example) -> list[str]:
        if not list_words(example.reference or ""):
            return ["reference: has no words; write the right answer"]
        return []

    def __call__(self, example: Example, completion: Completion) -> Score:
        right, said = set(list_words(example.reference or "")), set(list_words(completion.text[:LONGEST]))
        if not said:
            return Score(0.0, "no words")
        found = len(right & said) / len(right)
        value = max(0.0, found - self.extra_cost * len(said - right))
        missing = sorted(right - said)
        return Score(value, f"misses {{', '.join(missing[:5])}}" if missing else "", {{"found": found}})


def list_words(text: str) -> list[str]:
    """The words of a text in lower case, without the punctuation around them."""
    return [word for word in (piece.strip(".,;:!?()'\\"") for piece in text.casefold().split()) if word]


@hookimpl
def register_rewards(register):
    register({kind})
'''

_TEST = '''\
"""The contract kit on one example: what earns all, something and nothing."""

from {module} import {kind}

from rewards.testing import check_reward
from rewards.types import Example

EXAMPLE = Example(
    id="1",
    task="default",
    prompt=[{{"role": "user", "content": "Quem escreveu Dom Casmurro?"}}],
    reference="Machado de Assis",
)


def test_{name}_when_checked_by_the_kit_then_keeps_the_contract():
    """The reward function keeps every promise that a run relies on."""
    check_reward(
        {kind}(),
        EXAMPLE,
        right=["machado de assis", "Machado de Assis."],
        partial=["Machado", "foi Machado de Assis"],
        wrong=["José de Alencar escreveu esse livro e muitos outros romances", ""],
    )


def test_{name}_when_extra_words_cost_nothing_then_they_cost_nothing():
    """An option changes the score."""
    check_reward({kind}(extra_cost=0), EXAMPLE, right="foi Machado de Assis", wrong="foi ele")
'''

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "The reward function {name} for recompensa"
requires-python = ">=3.11"
dependencies = ["recompensa"]

[project.entry-points.recompensa]
{name} = "{module}"

[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""

_ROWS = """\
{"id": "1", "task": "default", "prompt": "Quem escreveu Dom Casmurro?", "reference": "Machado de Assis", "completion": "Machado de Assis."}
{"id": "2", "task": "default", "prompt": "Qual é a capital do Pará?", "reference": "Belém", "completion": "A capital é Belém"}
{"id": "3", "task": "default", "prompt": "Qual é a capital do Acre?", "reference": "Rio Branco", "completion": "não sei"}
"""


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write the package of a reward function into `folder`, which must not exist yet; returns the files.

    Raises UserError for a name that no reward function may have, and for a folder that is there or cannot be made.
    """
    problems = find_name_problems(name)
    if folder.exists():
        problems.append(f"{folder}: exists already; choose another folder with --folder")
    if problems:
        raise UserError(problems)
    words = {
        "name": name,
        "kind": "".join(part.capitalize() for part in name.split("_") if part),
        "module": f"recompensa_{name}",
        "distribution": f"recompensa-{name.strip('_').replace('_', '-')}",
    }
    files = {
        "pyproject.toml": _PROJECT.format(**words),
        f"{words['module']}.py": _MODULE.format(**words),
        f"tests/test_{name}.py": _TEST.format(**words),
        "rows.jsonl": _ROWS,
    }
    written = []
    try:
        for place, text in files.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --folder"
        ) from None
    return written


def find_name_problems(name: str) -> list[str]:
    """Why a reward function may not have this name, one line each; whether another has it is for the caller to see."""
    if not _NAME.match(name) or keyword.iskeyword(name) or not name.strip("_"):
        return [
            f"{name!r}: no name for a reward function; write lower-case letters, digits and underscores, such as my_reward"
        ]
    return []
