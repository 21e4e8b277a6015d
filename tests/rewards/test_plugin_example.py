"""The tutorial's package, installed and used as any plugin is, and the tutorial itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXAMPLE = HERE / "plugin_example"
TUTORIAL = HERE.parents[1] / "docs" / "plugins.md"


def run(*arguments: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=path, env=environment, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the example plugin installed from its sources, without a network."""
    target = tmp_path_factory.mktemp("site")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    run("-m", "pip", "install", *options, "--target", str(target), str(EXAMPLE), path=target)
    return target


def test_plugin_when_installed_then_is_listed_with_its_distribution(installed):
    """The entry point is all it takes."""
    listed = {entry["name"]: entry for entry in json.loads(run("-m", "rewards", "list", "--json", path=installed))}
    assert (
        listed["amount"]["distribution"] == "recompensa-amount" and listed["amount"]["distribution_version"] == "1.0.0"
    )
    assert set(listed["amount"]["options"]) == {"tolerance", "mentioned"}


def test_plugin_when_installed_then_scores(installed):
    """Its scores come from a process of its own, in order."""
    out = run("-m", "rewards", "score", "--reward", "amount", "--input", str(EXAMPLE / "rows.jsonl"), path=installed)
    assert [json.loads(line)["value"] for line in out.splitlines()] == [1.0, 0.3, 0.0]


def test_plugin_when_its_own_tests_run_then_pass(installed):
    """The contract kit works from outside."""
    tests = str(EXAMPLE / "tests")
    assert "2 passed" in run("-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", tests, path=installed)


def test_tutorial_when_it_shows_a_file_then_it_is_the_package_file():
    """Code in the tutorial is the code that is tested."""
    blocks = dict(re.findall(r"`([\w./]+)`:\n\n```\w*\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL))
    files = {
        str(path.relative_to(EXAMPLE))
        for path in EXAMPLE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(blocks) == files
    for name, block in blocks.items():
        assert block == (EXAMPLE / name).read_text(encoding="utf-8"), name


def test_tutorial_when_it_shows_an_answer_then_it_is_the_command_answer(installed):
    """What the tutorial says a command prints is what it prints."""
    out = run("-m", "rewards", "score", "--reward", "amount", "--input", str(EXAMPLE / "rows.jsonl"), path=installed)
    assert out in TUTORIAL.read_text(encoding="utf-8")
