"""`python -m rewards new`: the package it writes is installed and used as any plugin is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewards.__main__ import main
from rewards.commands.plugin_scaffold import write_plugin
from rewards.errors import UserError


def run(*arguments: str, path: Path) -> str:
    searched = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": searched, "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=path, env=environment, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_new_when_the_package_is_installed_then_it_is_listed_scores_and_passes_its_test(tmp_path, capsys):
    """Offline, from its sources, in a folder of its own."""
    sources, site = tmp_path / "sources", tmp_path / "site"
    site.mkdir()
    assert main(["new", "tom_leve", "--folder", str(sources)]) == 0
    assert "pip install" in capsys.readouterr().out
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet"]
    run("-m", "pip", "install", *options, "--target", str(site), str(sources), path=site)
    listed = {entry["name"]: entry for entry in json.loads(run("-m", "rewards", "list", "--json", path=site))}
    assert listed["tom_leve"]["distribution"] == "recompensa-tom-leve"
    out = run("-m", "rewards", "score", "--reward", "tom_leve", "--input", str(sources / "rows.jsonl"), path=site)
    assert [json.loads(line)["value"] for line in out.splitlines()] == [1.0, 0.2, 0.0]
    shown = run("-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", str(sources / "tests"), path=site)
    assert "2 passed" in shown
    # Untouched it lets no cheat through.
    assert "cheats fail" in run("-m", "rewards", "attack", "tom_leve", path=site)
    assert {"README.md", "LICENSE"} <= {path.name for path in sources.iterdir()}


def test_new_when_the_folder_is_there_or_the_name_is_none_then_writes_nothing(tmp_path):
    """Both problems at once, and nothing is overwritten."""
    with pytest.raises(UserError) as caught:
        write_plugin("Tom-Leve", tmp_path)
    assert len(caught.value.problems) == 2 and list(tmp_path.iterdir()) == []


def test_new_when_the_name_is_taken_then_says_by_whom(capsys, tmp_path):
    """Two functions of one name would collide at every start."""
    assert main(["new", "extraction", "--folder", str(tmp_path / "x")]) == 2
    assert "'extraction' is a reward function of 'recompensa' already" in capsys.readouterr().err
