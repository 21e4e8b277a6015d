"""The pages about a first reward, trainers and serving run as they are written."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from rewards.__main__ import COMMANDS, make_parser
from rewards.adapters.trainer_rows import LAYOUTS
from rewards.config import RewardsSection, build_host
from rewards.host.scoring import RewardHost
from rewards.serve.policy import POLICY
from rewards.types import Completion, Example

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("first_reward", "trainers", "serving")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_page_when_it_shows_a_command_then_its_options_exist(page):
    """A renamed option is found here and not by a reader."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:^|`|\$\()python -m rewards ((?:--plugin \S+ )?[a-z].*?)(?:`|\)|$)", text, re.MULTILINE)
    assert found
    for line in found:
        words = shlex.split(line)
        words = words[2:] if words[0] == "--plugin" else words
        assert words[0] in COMMANDS, line
        if "TRAINER" not in words:
            make_parser(words[0]).parse_args(words[1:])


def test_first_reward_when_its_code_is_loaded_then_scores_as_the_page_says(tmp_path):
    """Every function of the page, in its process."""
    for at, code in enumerate(blocks("first_reward", "python")):
        (tmp_path / f"mine_{at}.py").write_text(code, encoding="utf-8")
    plugins = [str(path) for path in sorted(tmp_path.glob("*.py"))]
    names = ("ends_politely", "no_longer_than", "length_rank", "many_words")
    section = {"plugins": plugins, "functions": [{"name": name} for name in names]}
    with build_host(RewardsSection.model_validate(section)) as host:
        row = Example("1", "push", [], None)
        scored = host.score([(row, Completion("Muito obrigada.")), (row, Completion("a " * 100))])
    assert [[outcome.value for outcome in each.outcomes] for each in scored] == [[1, 1, 1, 0.04], [0, 0, 0, 1]]
    assert scored[1].outcomes[1].reason == "80 characters too long"


@pytest.mark.parametrize("page", ["first_reward", "trainers"])
def test_page_when_it_shows_yaml_then_it_makes_a_host(page, tmp_path, monkeypatch):
    """Judges too, which need no server to be made; the notebook's functions stand in a file beside."""
    names = ("correctness_reward_func", "int_reward_func", "xmlcount_reward_func")
    code = "".join(f"def {name}(completions, **kwargs):\n    return [0.0 for _ in completions]\n" for name in names)
    (tmp_path / "rewards.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "yaml"):
        with build_host(RewardsSection.model_validate(yaml.safe_load(text)["rewards"])) as host:
            assert isinstance(host, RewardHost)


def test_serving_when_it_shows_the_policy_then_it_is_the_servers():
    """Each number of the table, row by row."""
    rows = {
        cells[0].split(" ")[0]: cells[1:]
        for line in (DOCS / "serving.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 6
    }
    outcomes = {
        "value": "value", "unscored": "unscored", "bad": "bad_row", "error": "error", "over": "over_budget",
        "queue": "queue_full", "deadline": "deadline",
    }  # fmt: skip
    for word, outcome in outcomes.items():
        for cell, dialect in zip(rows[word], ("native", "openrlhf", "slime", "nemo_gym", "google"), strict=True):
            status = POLICY[dialect][outcome]
            assert cell == str(status) if status != 200 else not cell.isdigit(), (word, dialect)


def test_trainers_when_it_names_an_adapter_then_it_is_there():
    """Each module and attribute that a line of a trainer names; each trainer has its rows."""
    text = (DOCS / "trainers.md").read_text(encoding="utf-8")
    named = set(re.findall(r"rewards\.adapters\.(\w+)[.:](\w+)", text)) | {("verl", "compute_score")}
    assert len(named) >= 7
    for module, attribute in named - {("nemo_rl", "Environment"), ("skyrl", "Env")}:
        assert callable(getattr(importlib.import_module(f"rewards.adapters.{module}"), attribute))
    assert set(re.findall(r"--for ([a-z-]+)", text)) <= set(LAYOUTS)
