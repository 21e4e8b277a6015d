"""A plugin that is installed and being worked on: the working copy is what scores, in every process, and a line says so."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.config import RewardsSection, build_host
from rewards.errors import PluginError
from rewards.plugins import load_rewards
from rewards.types import Completion, Example

PACKAGE = """\
from rewards.decorator import reward
from {name}.words import VALUE

@reward("{name}_says")
def says(text):
    return VALUE
"""
PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "{name}"
version = "2.5"
[project.entry-points.recompensa]
{name} = "{name}"
[tool.setuptools]
packages = ["{name}"]
package-dir = {{"" = "src"}}
"""


def write_project(folder: Path, name: str, value: float) -> Path:
    package = folder / "src" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE.format(name=name))
    (package / "words.py").write_text(f"VALUE = {value}\n")
    (folder / "pyproject.toml").write_text(PROJECT.format(name=name))
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with `site` (a plugin of two modules, installed by pip) and `project` (its sources, edited since)."""
    folder = tmp_path_factory.mktemp("copies")
    project = write_project(folder / "project", "murmur", 0.25)
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    target = ["--target", str(folder / "site"), str(project)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *target], check=True, capture_output=True)
    shutil.rmtree(project / "build", ignore_errors=True)
    # The edit is in the module beside, not in the one that the entry point names.
    (project / "src" / "murmur" / "words.py").write_text("VALUE = 0.75\n")
    (folder / "rows.jsonl").write_text('{"id": "1", "prompt": "p", "completion": "c"}\n')
    return folder


def score(folder: Path, cwd: Path, *words: str, python: tuple[str, ...] = ()) -> tuple[float, str]:
    """The value of one row, scored by a command in `cwd`, and what it said beside."""
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    command = [
        *python,
        "-m",
        "rewards",
        *words,
        "score",
        "--reward",
        "murmur_says",
        "--input",
        str(folder / "rows.jsonl"),
    ]
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[0])["value"], done.stderr


def test_working_copy_when_it_lies_in_the_working_folder_then_it_scores_and_a_line_says_so(installed):
    """Also where Python does not search the working folder, as under the console command; elsewhere the installed one."""
    for python in ((), ("-P",)):
        value, said = score(installed, installed / "project", python=python)
        assert value == 0.75
        assert f"working copy in {installed / 'project' / 'src'} is used, not the installed murmur 2.5" in said
    value, said = score(installed, installed / "site")
    assert value == 0.25 and "working copy" not in said


def test_working_copy_when_it_is_named_then_it_scores_from_anywhere(installed, tmp_path):
    """As a project, a package, or a file of one."""
    source = installed / "project" / "src" / "murmur"
    for named in (installed / "project", source, source / "__init__.py"):
        value, said = score(installed, tmp_path, "--plugin", str(named), python=("-P",))
        assert value == 0.75 and "not the installed" not in said, named


def test_plugin_when_its_file_has_modules_beside_it_then_they_are_found_in_every_process(tmp_path, monkeypatch):
    """And a folder of data there hides no package of that name."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    (tmp_path / "lent_words.py").write_text("VALUE = 0.5\n")
    (tmp_path / "unheard_of").mkdir()
    (tmp_path / "lone.py").write_text(
        "import importlib.util\nfrom lent_words import VALUE\nfrom rewards.decorator import reward\n"
        "@reward('lone')\ndef lone(text):\n    return VALUE if importlib.util.find_spec('unheard_of') is None else 0\n"
    )
    section = RewardsSection.model_validate({"plugins": [str(tmp_path / "lone.py")], "functions": [{"name": "lone"}]})
    with build_host(section) as host:
        (scored,) = host.score([(Example("1", "t", [], None), Completion("x"))])
    assert scored.reward == 0.5


def test_plugin_when_a_folder_is_neither_package_nor_project_then_one_line_says_so(tmp_path):
    """What it must have is named; a project without entry points is told which are missing."""
    with pytest.raises(PluginError, match=r"without __init__.py or pyproject.toml"):
        load_rewards([f"{tmp_path}/"])
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    with pytest.raises(PluginError, match=r"has no \[project.entry-points.recompensa\]"):
        load_rewards([f"{tmp_path}/"])


def test_registry_when_a_name_is_unknown_in_a_plugin_project_then_says_how_to_name_the_project(tmp_path, monkeypatch):
    """The first thing that a newcomer tries in the folder that `rewards new` wrote."""
    write_project(tmp_path, "unnamed", 0.5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        PluginError, match=r"'unnamed_says'; this folder is a plugin's project: name it with --plugin \."
    ):
        load_rewards().get("unnamed_says")
    assert load_rewards(["."]).get("unnamed_says").path is not None
