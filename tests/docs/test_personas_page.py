"""docs/personas.md: every command of the page runs, in its order; every recipe that it names is there."""

from __future__ import annotations

import re

import pytest

from grpo.config.loading import list_configs, load_config
from tests.docs import pages


@pytest.mark.timeout(900)
def test_page_when_its_commands_are_run_then_each_does_what_it_says(tmp_path):
    """From rows to the leaderboard."""
    pytest.importorskip("trl")
    small = ("data.personas.train_rows=60", "data.personas.held_out_rows=12")
    printed = pages.run_page("personas.md", tmp_path, rows=small, expected={})
    board = next(text for line, text in printed.items() if "leaderboard" in line and "--target" in line)
    assert "blended" in board and "of the target" in board and "corpus BLEU" in board


def test_page_when_it_names_recipes_then_they_are_the_nine_that_are_shipped():
    """Each with LoRA r 64 alpha 128, on the model that its line names."""
    text = (pages.ROOT / "docs" / "personas.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(personas_\w+)`", text))
    assert named == {name for name in list_configs() if name.startswith("personas_")} and len(named) == 9
    for name in sorted(named):
        config = load_config(name, [], "gpu")
        assert config.model.lora is not None and (config.model.lora.r, config.model.lora.alpha) == (64, 128)
        is_base = not name.endswith("_instruct") and ("llama" in name or "mistral" in name)
        assert (config.model.chat_template is not None) == is_base, name
