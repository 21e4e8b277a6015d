"""The tutorial's package, installed and used as any plugin is, and the tutorial itself."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rewards.__main__ import make_parser
from rewards.config import RewardsSection, build_host
from rewards.plugins import OWN_DISTRIBUTION, load_rewards

HERE = Path(__file__).parent
EXAMPLE = HERE / "plugin_example"
TUTORIAL = HERE.parents[1] / "docs" / "plugins.md"


def run(*arguments: str, path: Path) -> str:
    searched = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": searched, "PYTHONDONTWRITEBYTECODE": "1"}
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


def test_tutorial_when_it_shows_a_configuration_then_it_makes_a_host():
    """The YAML of the tutorial is a section of a real configuration."""
    (block,) = re.findall(r"```yaml\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    section = RewardsSection.model_validate(yaml.safe_load(block)["rewards"])
    with build_host(section, load_rewards([str(EXAMPLE / "recompensa_amount.py")])) as host:
        (entry,) = host.functions
    assert (entry.function.tolerance, entry.weight, entry.tasks, entry.isolated) == (0.5, 2.0, ("totals",), True)


def test_tutorial_when_it_uses_the_host_from_python_then_the_code_runs(installed, tmp_path):
    """What was submitted and what was waited for are in order."""
    text = TUTORIAL.read_text(encoding="utf-8")
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "host.submit" in code)
    code = tmp_path / "example.py"
    code.write_text(block.replace('"rows.jsonl"', repr(str(EXAMPLE / "rows.jsonl"))) + "print(rewards)\n")
    assert run(str(code), path=installed) == "[1.0, 0.3, 0.0]\n"


def test_tutorial_when_it_lists_the_built_ins_then_none_is_missing():
    """The table names what the registry has."""
    table = TUTORIAL.read_text(encoding="utf-8").partition("## What comes with recompensa")[2]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == {entry.name for entry in load_rewards() if entry.distribution == OWN_DISTRIBUTION}


@pytest.mark.parametrize("page", ["plugins.md", "audit.md", "rescore.md"])
def test_docs_when_they_show_a_command_then_its_options_exist(page):
    """A renamed option is found here and not by a reader."""
    text = (TUTORIAL.parent / page).read_text(encoding="utf-8")
    commands = re.findall(r"^ *python -m rewards (.*)$", text, re.MULTILINE)
    assert commands
    for line in commands:
        command, *rest = shlex.split(line)
        if command != "attack":  # it has a parser of its own
            make_parser(command).parse_args(rest)


@pytest.mark.parametrize(
    "command",
    [
        "list",
        "score",
        "audit",
        "rescore",
        "explain",
        "new",
        "schema",
        "serve",
        "ping",
        "rows",
        "export",
        "import-grader",
    ],
)
def test_help_when_it_shows_an_example_then_its_options_exist(command):
    """The same for the examples of every command."""
    parser = make_parser(command)
    lines = re.findall(rf"python -m rewards {command}(.*)$", parser.epilog, re.MULTILINE)
    assert lines
    for line in (line for line in lines if "--help" not in line):
        parser.parse_args(shlex.split(line))
