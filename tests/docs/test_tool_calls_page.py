"""docs/tool_calls.md: every command of the page runs, in its order."""

from __future__ import annotations

import pytest

from grpo.checklist.__main__ import LIMITS
from tests.docs import pages


@pytest.mark.timeout(900)
def test_page_when_its_commands_are_run_then_each_does_what_it_says(tmp_path):
    """A policy of two steps is not ready, and the checklist says by what."""
    pytest.importorskip("trl")
    small = ("data.tool_calls.train_rows=60", "data.tool_calls.held_out_rows=12")
    printed = pages.run_page("tool_calls.md", tmp_path, rows=small, expected={"checklist": 1})
    checklist = next(text for line, text in printed.items() if line.startswith("recompensa checklist"))
    assert "not ready: " in checklist and "end_token" in checklist and "latency" in checklist


def test_page_when_compared_then_it_names_every_share_of_the_checklist():
    """A limit that is changed is changed on the page."""
    page = (pages.ROOT / "docs" / "tool_calls.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in LIMITS)
