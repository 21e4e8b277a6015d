"""A plugin outside the repository, in both forms, is checked by `mypy --strict` against the types that `rewards` ships."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
DECORATED = '''"""Rewards as plain functions."""

from rewards import Score, reward
from rewards.decorator import reward as same_reward
from rewards.hookspecs import Register, hookimpl
from rewards.types import Completion, Example


@reward
def short(text: str, reference: str | None, limit: int = 120) -> float:
    return 1.0 if len(text) <= limit else 0.5


@same_reward(name="close", version="2", tasks=("totals",))
def close_to(example: Example, completion: Completion, share: float = 0.1) -> Score | None:
    if example.reference is None:
        return None
    near = completion.answer == example.reference
    return Score(1.0 if near else share, "" if near else "another answer", {"near": float(near)})


@hookimpl
def register_rewards(register: Register) -> None:
    register(short)
    register(close_to)


value: float = short("a", "b", limit=3)
'''
CLASSES = '''"""A reward as a class with options, checks of rows and a test by the contract kit."""

from typing import ClassVar

from pydantic import Field

from rewards import Completion, Example, RewardFunction, Score, hookimpl
from rewards.config import RewardsSection, build_host
from rewards.errors import UserError
from rewards.extraction import extract_json
from rewards.hookspecs import Register
from rewards.testing import check_reward
from rewards.types import FrozenMapping


class Keys(RewardFunction):
    """The share of wanted keys that an object has."""

    name: ClassVar[str] = "keys"
    version: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("extraction",)

    wanted: tuple[str, ...] = Field(("price",), min_length=1, description="Keys that count.")
    weights: FrozenMapping[str, float] | None = None

    def problems(self, example: Example) -> list[str]:
        return [] if example.reference else ["reference: is missing"]

    def __call__(self, example: Example, completion: Completion) -> Score:
        found = completion.extraction.value
        if not isinstance(found, dict):
            return Score(0.0, "not an object")
        share = sum(key in found for key in self.wanted) / len(self.wanted)
        return Score(share, "", {"share": share})


@hookimpl
def register_rewards(register: Register) -> None:
    register(Keys)


def prove(example: Example) -> None:
    check_reward(Keys(wanted=("price", "product")), example, right='{"price": 1, "product": "x"}', wrong="no")


def build(section: RewardsSection) -> int:
    try:
        with build_host(section) as host:
            return len(host.functions)
    except UserError as error:
        return len(error.problems) + len(str(extract_json("{}").value))
'''
WRONG = '''"""What the types must not let through."""

from rewards import Completion, Example, RewardFunction, Score, reward

Score("1.0", 3)
Completion(7)


class Broken(RewardFunction):
    def __call__(self, example: Example, completion: Completion) -> str:
        return completion.txt


@reward
def fine(text: str) -> float:
    return 1.0


fine(3)
'''


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    """mypy as another project runs it: an interpreter in which our packages are installed, their sources not its own."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("types")
    site = folder / "site"
    site.mkdir()
    for package in ("grpo", "rewards", "callbacks", "sft_warmup"):
        (site / package).symlink_to(REPOSITORY / package)
    config = folder / "mypy.ini"
    config.write_text("[mypy]\n")

    def check(name: str, source: str) -> subprocess.CompletedProcess[str]:
        (folder / f"{name}.py").write_text(source)
        # pydantic's plugin is what its documentation asks for under --strict.
        words = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config), f"{name}.py"]
        return subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=280, env={**os.environ, "PYTHONPATH": str(site)}
        )

    yield check
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "source"), [("decorated_plugin", DECORATED), ("class_plugin", CLASSES)])
def test_plugin_when_checked_strictly_then_has_no_error(checker, name, source):
    """What the tutorial teaches passes the strictest setting, by the types in the package (py.typed)."""
    done = checker(name, source)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_plugin_when_it_misuses_the_types_then_mypy_says_so(checker):
    """A type that lets everything through would pass the test above."""
    done = checker("wrong_plugin", WRONG)
    for said in (
        "wrong_plugin.py:5",
        "wrong_plugin.py:6",
        "wrong_plugin.py:10",
        "wrong_plugin.py:11",
        "wrong_plugin.py:19",
    ):
        assert said in done.stdout, done.stdout
