"""Paths in a YAML start at that file, whatever they are written in, and are remembered absolute."""

import json
from pathlib import Path

import pytest

from grpo.config.loading import load_config
from grpo.run import main

PLUGIN = """
from pathlib import Path
from typing import ClassVar
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction, Score

class Mine(RewardFunction):
    name: ClassVar[str] = "mine"
    version: ClassVar[str] = "1"
    judges_content: ClassVar[bool] = False
    words: Path
    more: tuple[Path, ...] = ()
    label: str = ""

    def __call__(self, example, completion):
        return Score(float(self.words.is_file() and all(path.is_file() for path in self.more)))

@hookimpl
def register_rewards(register):
    register(Mine)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A config in one folder, the working folder another."""
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    (folder / "words").mkdir(parents=True)
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (folder / "rewards.py").write_text(PLUGIN)
    (folder / "words" / "list.txt").write_text("a\n")
    (folder / "shape.json").write_text('{"type": "object"}')
    for name, numbers in (("train", range(12)), ("held_out", range(100, 104))):
        rows = [
            {
                "id": f"{name}-{number}", "task": "t", "reference": json.dumps({"n": number}),
                "prompt": [{"role": "user", "content": f"{name} {number} of {number * 7} and {number * 13}"}],
            }
            for number in numbers
        ]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "my.yaml").write_text(
        "extends: v4_1\n"
        "data: {source: files, train: train.jsonl, held_out: held_out.jsonl}\n"
        "rewards:\n"
        "  plugins: [rewards]\n"
        "  functions:\n"
        "    - {name: schema_valid, options: {schema: shape.json}}\n"
        "    - {name: mine, options: {words: words/list.txt, more: [shape.json], label: list.txt}}\n"
    )
    return folder


def test_paths_when_written_in_a_yaml_then_they_start_at_it(project):
    """Plugins, also by bare name, options of ours and of a plugin's function; a text that is not a path stays one."""
    config = load_config(project / "my.yaml", profile=None)
    assert config.rewards.plugins == [str(project / "rewards.py")]
    schema_valid, mine = (spec.options for spec in config.rewards.functions)
    assert schema_valid == {"schema": str(project / "shape.json")}
    assert mine == {
        "words": str(project / "words" / "list.txt"), "more": [str(project / "shape.json")], "label": "list.txt"
    }  # fmt: skip
    assert config.data.train == project / "train.jsonl"


def test_paths_when_set_on_the_command_line_then_they_start_at_the_working_folder(project):
    """One option may be set; the others keep the folder of the file they stand in."""
    Path("other.json").write_text("{}")
    overrides = ["rewards.functions[0].options.schema=other.json"]
    first, second = load_config(project / "my.yaml", overrides, profile=None).rewards.functions
    assert first.options["schema"] == str(Path("other.json").resolve())
    assert second.options["more"] == [str(project / "shape.json")]


def test_schema_when_it_is_a_name_of_ours_then_it_is_no_path(project):
    """The names of shipped schemas mean the same from everywhere, also beside a folder of that name."""
    (project / "tmf921").mkdir()
    overrides = ["rewards.functions[0].options.schema=tmf921"]
    assert load_config(project / "my.yaml", overrides, profile=None).rewards.functions[0].options["schema"] == "tmf921"


@pytest.mark.parametrize(("written", "is_path"), [("policy", True), ("./policy", True), ("Qwen/Qwen3-8B", False)])
def test_model_when_its_name_is_a_folder_beside_the_yaml_then_it_is_that_folder(project, written, is_path):
    """A name on the Hub stays as it is."""
    (project / "policy").mkdir()
    (project / "named.yaml").write_text(f"extends: my.yaml\nmodel: {{name: {written}}}\n")
    name = load_config(project / "named.yaml", profile=None).model.name
    assert name == (str(project / "policy") if is_path else written)


def test_dry_run_when_the_paths_start_elsewhere_then_preflight_scores_with_them(project, capsys):
    """The plugin's function finds its files from any folder."""
    assert main(["--config", str(project / "my.yaml"), "--profile", "embedded", "--dry-run"]) == 0
    assert "mine 1" in capsys.readouterr().out
