"""The generator of function calling: three forms, rows that do not meet, references that earn full reward."""

from __future__ import annotations

import json

import pytest

from grpo.config.loading import load_config
from grpo.data.__main__ import main
from grpo.data.run_rows import load_inputs
from grpo.data.section import ToolCallsSection
from grpo.data.tool_calls.build import build_tool_calls
from grpo.preflight import run_preflight
from rewards.config import build_host
from rewards.tool_calls.dialects import read_calls


@pytest.mark.parametrize("form", ["structured", "hermes", "cep"])
def test_files_when_built_twice_then_they_are_the_same_bytes_and_do_not_meet(form, tmp_path):
    """Everything follows from the seed; no held-out request stands in training."""
    section = ToolCallsSection(form=form, train_rows=300, held_out_rows=60)
    one, two = build_tool_calls(tmp_path / "a", section), build_tool_calls(tmp_path / "b", section)
    assert all(one[name].read_bytes() == two[name].read_bytes() for name in one)
    rows = {name: [json.loads(line) for line in path.read_text().splitlines()] for name, path in one.items()}
    asked = {name: {row["messages"][-2]["content"] for row in each} for name, each in rows.items()}
    assert len(rows["train"]) == 300 and len(asked["held_out"]) == 60 and not asked["train"] & asked["held_out"]
    refusing = sum(row["messages"][-1]["content"] == "[]" for row in rows["train"])
    assert refusing == 0 if form == "structured" else 0.05 < refusing / 300 < 0.16


def test_hermes_when_called_then_only_listed_functions_are_right(tmp_path):
    """A row that asks for what is not listed has no right call."""
    files = build_tool_calls(tmp_path, ToolCallsSection(form="hermes", train_rows=200, held_out_rows=20))
    for line in files["train"].read_text().splitlines():
        row = json.loads(line)
        listed = {tool["function"]["name"] for tool in row["tools"]}
        assert {call.name for call in read_calls(row["messages"][-1]["content"]).calls} <= listed
        assert len(listed) == 3


@pytest.mark.parametrize("name", ["tools_structured", "tools_hermes", "tools_cep"])
@pytest.mark.parametrize("profile", ["gpu", "embedded", "small"])
def test_recipe_when_its_rows_are_audited_then_every_reference_earns_full_reward(name, profile, tmp_path, monkeypatch):
    """With the rewards of the recipe, whatever the profile, and wrong answers paid less."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    config = load_config(name, ["data.tool_calls.train_rows=150", "data.tool_calls.held_out_rows=40"], profile)
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        assert run_preflight(config, inputs, host)["passed"]
    assert config.decision.relative_to == "warmup"


def test_command_when_a_share_is_none_then_one_line_says_what_is_allowed(tmp_path, capsys):
    """In the words of the command line."""
    assert main(["tool_calls", "--out", str(tmp_path), "--no-call", "2"]) == 2
    assert "--no-call: 2" in capsys.readouterr().err
