"""The config after a decision, written out by hand: its lines, names, reasons and values, over recipes of a few keys."""

from __future__ import annotations

import pytest
import yaml

from callbacks.decision.decision import Decision
from grpo.decide import next_config
from grpo.ladder import RUNGS

SMALL, LARGE = RUNGS[0].model, RUNGS[1].model


def recipe(name, model=SMALL, **grpo):
    return {"name": name, "seed": 1, "grpo": grpo, "model": {"name": model, "lora": {"r": 16, "alpha": 32}}}


RECIPES = {
    "v4_1.yaml": recipe("v4_1", max_steps=600, learning_rate=5e-6, num_generations=16),
    "v4_2_a.yaml": recipe("v4_2_a", LARGE, max_steps=400, learning_rate=2e-6, num_generations=16),
    "v4_2_b.yaml": recipe("v4_2_b", RUNGS[0].model + "-base", max_steps=600, learning_rate=5e-6, num_generations=16),
    "v4_2_c.yaml": {
        **recipe("v4_2_c", max_steps=600, learning_rate=5e-6, num_generations=16),
        "rewards": {"functions": [{"name": "extraction", "options": {"credit": 0.5}}]},
        "data": {"shop": {"train_rows": 900}},
    },
}
RECIPES["v4_2_a.yaml"]["model"]["lora"]["r"] = 32
RECIPES["v4_1.yaml"] |= {
    "rewards": {"functions": [{"name": "extraction", "options": {}}]},
    "data": {"shop": {"train_rows": 600}},
}


@pytest.fixture(autouse=True)
def few_keys(monkeypatch):
    """Recipes of a few keys in place of the shipped ones, which take seconds to load and change with the product."""
    monkeypatch.setattr(next_config, "_load", RECIPES.__getitem__)


def decide(scenario, target, **more):
    return Decision(scenario, "Title", "Do it", "Because", more.pop("rung", "0.5B"), False, next_config=target, **more)


def write(folder, decided, config=None):
    path = folder / "next.yaml"
    assert next_config.write_next_config(decided, "v4_1.yaml", path, config=config) == path
    return path.read_text(encoding="utf-8")


def test_next_config_when_the_rung_changes_then_the_file_is_this_one(tmp_path):
    """Every line: the head, sections in the order of the run's keys, the reason of each change and what was there."""
    present = {**RECIPES["v4_1.yaml"], "seed": 7}
    assert write(tmp_path, decide("A", "v4_2_a.yaml"), present) == (
        "# After v4_1.yaml: Title\n"
        "# Because\n"
        "# Do it\n"
        "# Start it: python -m grpo.run --config next.yaml\n"
        "extends: v4_1.yaml  # what this run was started from\n"
        "\n"
        "name: v4_1-3.7B  # the folder of the run\n"
        "seed: 7  # as this run had it\n"
        "\n"
        "grpo:\n"
        "  max_steps: 400  # the length of this recipe; was 600\n"
        "  learning_rate: 2.0e-06  # the rate of this recipe; was 5.0e-06\n"
        "\n"
        "model:\n"
        f"  name: {LARGE}  # the next rung of the ladder; was {SMALL}\n"
        "  lora:\n"
        "    r: 32  # larger adapters for the larger model; was 16\n"
    )


@pytest.mark.parametrize(
    ("decided", "had", "name"),
    [
        (decide("A", "v4_2_a.yaml"), "mine", "mine-3.7B"),
        (decide("B", "v4_2_b.yaml"), "mine", "mine-base"),
        (decide("B", "v4_2_a.yaml"), "mine-base", "mine-3.7B"),
        (decide("C", "v4_2_c.yaml", task="extraction"), "mine", "mine-fix"),
        (decide("undecided", "v4_1.yaml"), "mine", "mine-longer"),
        (decide("A", "v4_2_a.yaml"), "mine-0.5B-base-fix-longer-constant-8B", "mine-3.7B"),
        (decide("A", "v4_2_a.yaml"), "fix-mine", "fix-mine-3.7B"),
        (decide("A", "v4_2_a.yaml"), "", "v4_1-3.7B"),
    ],
)
def test_next_config_when_named_then_the_mark_says_what_comes_and_earlier_marks_go(tmp_path, decided, had, name):
    """The rung where it changes, else what is done; a run without a name is called after its recipe."""
    assert f"\nname: {name}  # " in write(tmp_path, decided, {**RECIPES["v4_1.yaml"], "name": had})


@pytest.mark.parametrize(
    ("decided", "line"),
    [
        (decide("C", "v4_2_a.yaml", task="sql_qa"), "the next rung: sql_qa is routed to the larger model"),
        (decide("B", "v4_2_b.yaml"), "the Base model, taught the JSON first"),
        (decide("A", "v4_2_a.yaml"), "the next rung of the ladder"),
    ],
)
def test_next_config_when_the_model_changes_then_its_line_says_why(tmp_path, decided, line):
    """Three ways lead to another model."""
    assert f"# {line}; was {SMALL}\n" in write(tmp_path, decided)


def test_next_config_when_a_run_goes_on_then_its_own_steps_double(tmp_path):
    """350 become 700, whatever the recipe has."""
    present = {**RECIPES["v4_1.yaml"], "grpo": {**RECIPES["v4_1.yaml"]["grpo"], "max_steps": 350}}
    said = write(tmp_path, decide("undecided", "v4_1.yaml"), present)
    assert "  max_steps: 700  # twice as long: the curve was still rising; was 350\n" in said


@pytest.mark.parametrize(
    ("task", "kept"),
    [("extraction", {"rewards"}), ("insights", {"data"}), ("push", None)],
)
def test_next_config_when_one_task_is_weak_then_only_its_part_of_the_fix_is_taken(tmp_path, task, kept):
    """Extraction's is a reward, that of insights rows; for a task that the fix does not help nothing is written."""
    decided = decide("C", "v4_2_c.yaml", task=task)
    path = tmp_path / "next.yaml"
    found = next_config.write_next_config(decided, "v4_1.yaml", path)
    assert (found and set(yaml.safe_load(path.read_text())) - {"extends", "name"}) == kept


def test_next_config_when_values_are_odd_then_yaml_reads_them_back(tmp_path):
    """Words that YAML takes for others are quoted, floats have a point; lists of objects stand a line each."""
    odd = {
        "plain": "a/b.c-d", "word": "No", "number": "1a", "empty": "", "tiny": 5e-06, "huge": 1e22, "share": 0.1,
        "list": [1, "x", None], "map": [{"a": True, "b": "on"}, {"a": False}], "accent": "ção", "long": "x" * 70,
    }  # fmt: skip
    said = write(tmp_path, decide("A", "v4_2_a.yaml"), {**RECIPES["v4_1.yaml"], "odd": odd})
    assert yaml.safe_load(said)["odd"] == odd
    for line in (
        "  plain: a/b.c-d  #", '  word: "No"  #', '  number: "1a"  #', '  empty: ""  #', "  tiny: 5.0e-06  #",
        "  huge: 1.0e+22  #", "  list: [1, x, null]  #", "  map:  # as this run had it\n    - {a: true, b: ",
        '  accent: "ção"  #',
    ):  # fmt: skip
        assert f"\n{line}" in said


@pytest.mark.parametrize(("length", "shown"), [(60, "x" * 60), (61, "x" * 59 + "…")])
def test_next_config_when_an_old_value_is_long_then_60_characters_of_it_are_shown(tmp_path, length, shown):
    """The comment stays on its line."""
    present = {**RECIPES["v4_1.yaml"], "model": {"name": SMALL, "lora": {"r": "x" * length}}}
    assert f"; was {shown}\n" in write(tmp_path, decide("A", "v4_2_a.yaml"), present)


def test_changes_when_the_schedule_caused_the_plateau_then_only_the_rate_and_length_change(monkeypatch):
    """Five keys of the schedule are taken from the recipe, the model of another one is not."""
    rate = dict(lr_scheduler_type="constant", learning_rate=2e-6, warmup_ratio=0.1, warmup_steps=None, max_steps=400)
    monkeypatch.setitem(RECIPES, "v4_1.yaml", recipe("v4_1", LARGE, num_generations=4, **rate))
    present = {("grpo", key): value for key, value in {**rate, "max_steps": 600, "learning_rate": 5e-6}.items()}
    changes = next_config.find_changes(decide("undecided", "v4_1.yaml", cause="schedule"), present)
    assert changes == {("grpo", "max_steps"): 400, ("grpo", "learning_rate"): 2e-6}
