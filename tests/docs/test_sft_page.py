"""docs/sft.md: every command of the page runs, in its order; the watch rules that it lists are those that are shipped."""

from __future__ import annotations

import json
import re

import pytest

from grpo.config.loading import load_config
from tests.docs import pages


@pytest.mark.timeout(900)
def test_page_when_its_commands_are_run_then_each_does_what_it_says(tmp_path):
    """A run that is all SFT, its checklist, a grid that is only listed, and GRPO planned on what SFT made."""
    pytest.importorskip("trl")
    rows = ("data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40")
    printed = pages.run_page("sft.md", tmp_path, rows=rows, expected={"checklist": 1})
    first, _, grid, planned = printed.values()
    status = json.loads((tmp_path / "runs" / "sft" / "status.json").read_text())
    assert status["finished"] and "no GRPO" in first and (tmp_path / "runs" / "sft" / "best").is_dir()
    assert "sft_warmup.learning_rate=5e-4" in grid and "sft_warmup.learning_rate=1e-3" in grid
    assert "2 prompts x 2 generations" in planned and "SFT warm-up" not in planned


def test_page_when_it_lists_watch_rules_then_they_are_those_of_the_recipe():
    """Each rule over SFT rows, no more and no fewer."""
    text = (pages.ROOT / "docs" / "sft.md").read_text(encoding="utf-8")
    rules = load_config("v4_1", ["stages=[sft]"], "gpu").decision.watch.rules
    assert set(re.findall(r"`(sft_\w+)`", text)) - {"sft_warmup"} == {name for name in rules if name.startswith("sft_")}
