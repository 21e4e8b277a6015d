"""The ladder and the config that follows from a decision."""

import pytest
import yaml

from callbacks.decision import Decision
from grpo.config import find_config, load_config
from grpo.ladder import RUNGS, find_rung, write_next_config


def decision(scenario, next_config, **more):
    return Decision(scenario, "title", "action", "reason: with a colon", "0.5B", False, next_config=next_config, **more)


def test_rungs_name_configs_that_are_shipped():
    """Every config of the ladder exists and has the model of its rung."""
    for rung in RUNGS:
        assert load_config(rung.config, profile=None).model.name == rung.model
        for name in (rung.base, rung.fix):
            assert name is None or find_config(name).is_file()


def test_rungs_lead_from_small_to_large():
    """0.5B, 3.7B, 8B, and nothing above."""
    names = []
    rung, above = find_rung(RUNGS[0].model)
    while above is not None:
        names.append(rung.name)
        rung, above = find_rung(above.model)
    assert [*names, rung.name] == ["0.5B", "3.7B", "8B"]


def test_rung_of_the_base_model_has_nothing_to_fall_back_on():
    """After the Base model scenario B can only skip the rung."""
    rung, above = find_rung("Polygl0t/Tucano2-qwen-0.5B-Base")
    assert (rung.base, above.name) == (None, "3.7B")


def test_rung_of_a_config_name_alone_is_found():
    """A history without its model is placed by the shipped config it came from."""
    assert find_rung(None, "v4_2_a.yaml")[0].name == "3.7B"
    assert find_rung()[0].name == "0.5B"


def test_rung_of_an_unknown_model_stands_alone():
    """No ladder is invented for a model that is on none."""
    rung, above = find_rung("someone/else")
    assert (rung.name, rung.config, above) == ("someone/else", None, None)


@pytest.mark.parametrize(("scenario", "name"), [("A", "v4_2_a.yaml"), ("B", "v4_2_b.yaml"), ("C", "v4_2_c.yaml")])
def test_next_config_of_the_shop_only_extends(tmp_path, scenario, name):
    """Where the shipped config says it all, nothing else is written, and it loads to the very same settings."""
    path = write_next_config(
        decision(scenario, name, task="push" if scenario == "C" else None), "v4_1.yaml", tmp_path / "next_config.yaml"
    )
    assert yaml.safe_load(path.read_text()) == {"extends": name}
    expected = load_config(name, profile=None).model_dump()
    assert {**load_config(path, profile=None).model_dump(), "name": None} == {**expected, "name": None}


def test_next_config_gives_the_reason_beside_each_line(tmp_path):
    """The line of `extends` says why, and the head says what decided."""
    text = write_next_config(decision("A", "v4_2_a.yaml"), "v4_1.yaml", tmp_path / "n.yaml").read_text()
    assert "extends: v4_2_a.yaml  # the next rung" in text
    assert "# reason: with a colon" in text


def test_next_config_of_a_users_own_rows_keeps_rows_and_rewards(tmp_path):
    """The next rung trains on the same files, scored by the same functions."""
    (tmp_path / "a b.jsonl").touch()
    functions = [{"name": "json_valid", "weight": 0.5, "options": {"note": "it's: 1"}}]
    config = {
        "data": {"source": "files", "train": str(tmp_path / "a b.jsonl"), "held_out": "held.jsonl"},
        "rewards": {"functions": functions},
    }
    path = write_next_config(decision("A", "v4_2_a.yaml"), "mine.yaml", tmp_path / "n.yaml", config=config)
    data = yaml.safe_load(path.read_text())
    assert data["data"]["train"] == str(tmp_path / "a b.jsonl")
    assert data["data"]["held_out"].startswith("/")
    assert data["rewards"]["functions"] == functions


def test_next_config_of_a_run_that_goes_on_doubles_the_steps(tmp_path):
    """Learning less than asked means the same config for longer."""
    path = write_next_config(
        decision("undecided", "v4_1.yaml"), "v4_1.yaml", tmp_path / "n.yaml", config={"grpo": {"max_steps": 600}}
    )
    assert yaml.safe_load(path.read_text()) == {"extends": "v4_1.yaml", "grpo": {"max_steps": 1200}}


def test_next_config_of_a_decision_without_one_leaves_no_file(tmp_path):
    """An earlier file is not left to mislead."""
    path = tmp_path / "next_config.yaml"
    path.write_text("extends: v4_1.yaml\n")
    assert write_next_config(decision("undecided", None), "v4_1.yaml", path) is None
    assert not path.exists()
