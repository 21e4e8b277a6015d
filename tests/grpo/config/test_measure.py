"""What a run is judged by: the shop's thresholds in the shop's recipes, its own start with rows of one's own."""

import json

import pytest

from callbacks.watch.watch import Watch
from grpo.config.loading import load_config
from grpo.config.run_config import RunConfig

OWN = "data: {source: files, train: t.jsonl, held_out: h.jsonl}\n"


def load(tmp_path, text, *overrides, profile="gpu"):
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    return load_config(tmp_path / "c.yaml", overrides, profile)


@pytest.mark.parametrize("profile", ["gpu", "embedded", "small"])
@pytest.mark.parametrize("text", [OWN, f"extends: v4_1\n{OWN}"])
def test_measure_when_rows_are_ones_own_then_is_the_gain_over_the_start(tmp_path, text, profile):
    """Also where a shipped recipe is extended: its thresholds are said of the shop."""
    assert load(tmp_path, text, profile=profile).decision.relative_to == "baseline"


def test_measure_when_rows_are_the_shops_then_is_its_thresholds(tmp_path):
    """The recipes name them, and a config of the shop without any keeps them."""
    assert load_config("v4_1", profile="gpu").decision.relative_to == "thresholds"
    assert load_config("v4_1", profile="embedded").decision.relative_to == "warmup"
    assert load(tmp_path, "seed: 1\n").decision.relative_to == "thresholds"


@pytest.mark.parametrize(
    ("written", "measure"),
    [("relative_to: thresholds", "thresholds"), ("relative_to: warmup", "warmup"), ("floors: {a: 0.3}", "thresholds"), ("target: 0.8", "baseline")],
)  # fmt: skip
def test_measure_when_the_user_wrote_one_then_it_stands(tmp_path, written, measure):
    """Thresholds of one's own are meant."""
    text = f"extends: v4_1\n{OWN}decision: {{{written}}}\n"
    assert load(tmp_path, text).decision.relative_to == measure


def test_own_config_when_written_down_then_holds_nothing_of_the_shops_thresholds(tmp_path):
    """Neither 0.55 and floors nor the rules that mind them; read back it is the same config."""
    config = load(tmp_path, f"extends: v4_1\n{OWN}", "decision.target=0.8")
    saved = config.model_dump(mode="json")
    assert set(saved["decision"]) == {"relative_to", "target", "watch"} and saved["decision"]["target"] == 0.8
    assert not {"plateau", "extraction", "entropy_high"} & set(saved["decision"]["watch"]["rules"])
    assert "0.55" not in json.dumps(saved["decision"])
    again = RunConfig.model_validate(saved)
    assert again.model_dump(mode="json") == saved
    rows = [
        {"stage": "train", "step": step, "eval/mean_reward": 0.4, "eval/extraction": 0.1} for step in range(0, 201, 10)
    ]
    watch = Watch(again.decision.watch, recipe=again.decision.relative_to == "thresholds")
    assert watch.replay(rows) == []
