"""docs/ladder.md: its history is decided as it says, and the config that comes of it is the next rung's."""

from __future__ import annotations

import json
import re

from tests.docs import pages


def test_page_when_its_history_is_decided_then_the_next_rung_is_planned(tmp_path):
    """Scenario A by the recipe's thresholds, a rehearsal by the warm-up's, and the rungs that the page lists."""
    text = (pages.ROOT / "docs" / "ladder.md").read_text(encoding="utf-8")
    (tmp_path / "history.jsonl").write_text(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1])
    decided, shown, rehearsed, rungs = pages.run_page("ladder.md", tmp_path, rows=(), expected={}).values()
    assert decided.startswith("A: 0.5B is exhausted, scale up")
    assert "Polygl0t/Tucano2-qwen-3.7B-Instruct" in shown and "max_steps: 400" in shown
    assert json.loads(rehearsed)["rehearsal"] is True
    listed = re.findall(r"^\| (\S+B) \|", text, re.MULTILINE)
    assert listed == ["0.5B", "3.7B", "8B"] and all(name in rungs for name in listed)
