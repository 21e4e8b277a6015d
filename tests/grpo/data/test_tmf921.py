"""The TMF921 generator: the Hub set's columns, splits that do not meet, and references that earn full reward."""

from __future__ import annotations

import json

import pytest

from grpo.config.loading import load_config
from grpo.data.__main__ import main
from grpo.data.run_rows import load_inputs
from grpo.data.section import Tmf921Section
from grpo.data.tmf921.build import COLUMNS, HELD_OUT, build_tmf921
from grpo.data.tmf921.weak import choose_stage_2, find_weak
from grpo.preflight import run_preflight
from rewards.config import build_host
from rewards.errors import UserError
from rewards.statistics.estimates import estimate_mean
from rewards.types import Example


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The rows of each split."""
    section = Tmf921Section(train_rows=600, held_out_rows=200)
    made = build_tmf921(tmp_path_factory.mktemp("set"), section)
    return {name: [json.loads(line) for line in path.read_text().splitlines()] for name, path in made.items()}


def test_rows_when_written_then_they_have_the_hub_sets_columns_in_order(files):
    """Fifteen columns, an id of twelve hex digits, the answer as JSON text."""
    for row in files["train_base"]:
        assert tuple(row) == COLUMNS
        assert len(row["id"]) == 12 and int(row["id"], 16) >= 0
        json.loads(row["messages"][-1]["content"])
    assert len({row["target_layer"] for row in files["train_base"]}) == 17


def test_splits_when_out_of_distribution_then_training_never_saw_the_value(files):
    """Sectors, use cases and phrasings that are held out stand in one test each."""
    train = files["train_sota"]
    for column, split in (("sector", "test_sector_ood"), ("use_case", "test_use_case_ood")):
        assert not {row[column] for row in files[split]} & {row[column] for row in train}
    assert {row["target_layer"].partition("_")[0] for row in files["test_adversarial"]} == {"adversarial"}
    asked = [row["messages"][-2]["content"] for name in ("train_base", *HELD_OUT) for row in files[name]]
    assert len(asked) == len(set(asked))
    assert {row["split"] for row in files["held_out"]} == set(HELD_OUT)


def test_train_sota_when_enriched_then_rare_rows_have_the_hub_sets_shares(files):
    """Non-create rows 16 %, refusals 6.5 %, and wrappers of more than one question; copies are marked."""
    rows = files["train_sota"]
    wrapped = [row for row in rows if len(row["messages"]) > 3]
    plain = [row for row in rows if len(row["messages"]) == 3]
    share = sum(row["lifecycle_operation"] != "create" for row in plain) / len(rows)
    refused = sum(row["target_layer"].startswith("adversarial") for row in plain) / len(rows)
    assert share == pytest.approx(0.16, abs=0.02) and refused == pytest.approx(0.065, abs=0.02)
    assert len(wrapped) / len(rows) == pytest.approx(0.04, abs=0.01)
    assert len({row["id"] for row in rows}) == len(rows)
    assert sum("~" in row["id"] for row in rows) == len(rows) - len(files["train_base"])


def test_files_when_built_twice_then_they_are_the_same_bytes(tmp_path):
    """Everything follows from the seed."""
    section = Tmf921Section(train_rows=100, held_out_rows=40)
    one, two = build_tmf921(tmp_path / "a", section), build_tmf921(tmp_path / "b", section)
    assert all(one[name].read_bytes() == two[name].read_bytes() for name in one)
    other = build_tmf921(tmp_path / "c", section.model_copy(update={"seed": 8}))
    assert other["train_base"].read_bytes() != one["train_base"].read_bytes()


@pytest.mark.parametrize("name", ["tmf921_stage1", "tmf921_stage2", "tmf921_grpo", "tmf921_zero_shot"])
@pytest.mark.parametrize("profile", ["gpu", "embedded"])
def test_recipe_when_its_rows_are_audited_then_every_reference_earns_full_reward(name, profile, tmp_path, monkeypatch):
    """With the rewards of the recipe, telemetry masked, whatever the profile."""
    monkeypatch.setenv("RECOMPENSA_CACHE", str(tmp_path))
    sizes = ["data.tmf921.train_rows=300", "data.tmf921.held_out_rows=80"]
    config = load_config(name, sizes, profile)
    inputs = load_inputs(config)
    with build_host(config.rewards) as host:
        assert run_preflight(config, inputs, host)["passed"]
    assert {row.task for row in inputs.train} >= {"a1_policy"}


def test_stage_2_when_layers_are_weak_then_thirty_per_cent_are_replay():
    """All weak rows once, and this many others."""
    rows = [Example(str(n), "weak" if n < 70 else "strong", [], "{}") for n in range(1000)]
    chosen = choose_stage_2(rows, ["weak"], 0.3, seed=1)
    assert [row.task for row in chosen].count("weak") == 70 and len(chosen) == 100
    assert chosen == choose_stage_2(rows, ["weak"], 0.3, seed=1)
    with pytest.raises(UserError, match=r"data\.tmf921\.weak: no training row is of o2; there are strong, weak"):
        choose_stage_2(rows, ["o2"], 0.3, seed=1)


def test_weak_layers_when_an_evaluation_is_read_then_the_lowest_come_first(tmp_path, capsys):
    """By the mean, or all below a limit, and as the setting of the next stage."""
    estimates = {
        "all": estimate_mean([0.5]),
        "a": estimate_mean([0.9]),
        "b": estimate_mean([0.1]),
        "c": estimate_mean([0.4]),
    }
    assert find_weak(estimates, count=2) == ["b", "c"] and find_weak(estimates, below=0.3) == ["b"]
    path = tmp_path / "eval.jsonl"
    path.write_text(
        "".join(json.dumps({"task": t, "reward": r}) + "\n" for t, r in (("a", 0.9), ("b", 0.1), ("b", 0.2)))
    )
    assert main(["weak", str(path), "--count", "1", "--setting"]) == 0
    assert json.loads(capsys.readouterr().out) == ["b"]


def test_card_when_written_then_the_hub_finds_its_splits(tmp_path, capsys):
    """The head is YAML, a table a split and a column."""
    import yaml

    assert main(["tmf921", "--out", str(tmp_path), "--rows", "60", "--held-out-rows", "40", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["train_base"]["rows"] == 60
    words = ["card", str(tmp_path / "t*.jsonl"), "--out", str(tmp_path / "README.md"), "--title", "Intents"]
    assert main([*words, "--license", "apache-2.0", "--by", "lifecycle_operation"]) == 0
    head, _, body = (tmp_path / "README.md").read_text().removeprefix("---\n").partition("---\n")
    assert yaml.safe_load(head)["configs"][0]["data_files"][-2]["split"] == "train_base"
    assert "| create |" in body and "# Intents" in body
