"""benchmarks/recipes.py: which runs there are and in which order, and the table that it writes into configs/README.md."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

from grpo.config.loading import list_configs

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("recipes_benchmark", ROOT / "benchmarks" / "recipes.py")
recipes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipes)
OPTIONS = argparse.Namespace(jobs=2, threads=1, json=True, seed=None, whole=False)


def make_found(names, low):
    return {
        "recipe": names[0], "recipes": names, "seed": 42, "start": 0.2, "end": 0.3, "gain": 0.1, "low": low, "high": 0.2, "n": 160,
        "seconds": 60.0, "processor_seconds": 50.0,
    }  # fmt: skip


def test_groups_when_listed_then_every_recipe_is_in_one_and_after_what_it_continues():
    """The nine persona models are `personas` here; the shop's recipes differ in the model alone."""
    groups = recipes.group_recipes(recipes.list_recipes(""))
    names = [name for group in groups for name in group]
    assert set(names) == {name for name in list_configs() if name != "base" and not name.startswith("personas_")}
    assert ["qwen3_8b", "v4", "v4_1", "v4_2_a", "v4_2_b"] in groups
    assert all(names.index(name) > names.index(before) for name, before in recipes.CONTINUED.items())


def test_recipes_when_run_two_at_a_time_then_each_waits_for_what_it_continues(tmp_path, monkeypatch):
    """The order is that of the groups, whichever ended first."""
    begun = []

    def run(name, folder, options):
        assert recipes.CONTINUED.get(name) in {None, *begun}
        begun.append(name)
        return make_found([name], 0.05)

    monkeypatch.setattr(recipes, "run_recipe", run)
    groups = recipes.group_recipes(recipes.list_recipes("tmf921"))
    found = recipes.run_recipes(groups, tmp_path, OPTIONS)
    assert [each["recipe"] for each in found] == [group[0] for group in groups] and len(begun) == len(groups)


def test_table_when_written_then_it_stands_between_the_marks_and_the_rest_stays(tmp_path, monkeypatch):
    """A gain that noise explains is called that; writing twice changes nothing."""
    page = tmp_path / "README.md"
    page.write_text(recipes.README.read_text(encoding="utf-8"), encoding="utf-8")
    before, _, rest = page.read_text(encoding="utf-8").partition(recipes.BEGIN)
    after = rest.partition(recipes.END)[2]
    monkeypatch.setattr(recipes, "README", page)
    found = [make_found(["v4", "v4_1"], 0.05), make_found(["personas"], -0.01)]
    said = recipes.sum_up(found, 120, OPTIONS)
    recipes.write_table(found, said)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(before) and text.endswith(after)
    assert "| `v4`, `v4_1` | 0.200 | 0.300 | +0.100 (0.050 to 0.200) | 160 | 60 s | 50 s | learnt |" in text
    assert "did not learn" in text and "3 recipes as 2 runs in 2.0 minutes" in text and "One seed (42)" in text
    recipes.write_table(found, said)
    assert page.read_text(encoding="utf-8") == text
