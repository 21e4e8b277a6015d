"""docs/harness.md: every command of the page runs, in its order; the suite on it is one."""

from __future__ import annotations

import re

import pytest

from grpo.harness.suite import read_suite
from tests.docs import pages


@pytest.mark.timeout(900)
def test_page_when_its_commands_are_run_then_each_does_what_it_says(tmp_path):
    """A policy asked twice is one and the same, and the harness says so."""
    pytest.importorskip("trl")
    small = ("data.tool_calls.train_rows=60", "data.tool_calls.held_out_rows=12")
    printed = pages.run_page("harness.md", tmp_path, rows=small, expected={})
    asked = next(text for line, text in printed.items() if "harness run" in line)
    assert "did training hurt hermes-2?" in asked and "report.html" in asked
    table = next(text for line, text in printed.items() if "harness table" in line)
    assert table.count(" done ") == 2 and "baseline" in table
    journal = next(text for line, text in printed.items() if "harness journal" in line)
    assert "starter" in journal and "the baseline" in journal
    assert "Training: recipe tools\\_hermes" in journal and "- decision: " in journal
    assert (tmp_path / "table.html").read_text().startswith("<!doctype html>")


def test_page_when_its_suite_is_read_then_it_is_one(tmp_path):
    """Word for word."""
    text = (pages.ROOT / "docs" / "harness.md").read_text(encoding="utf-8")
    (tmp_path / "support.yaml").write_text(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    suite = read_suite(tmp_path / "support.yaml")
    assert suite.name == "support" and suite.categories == {"tool_calling": 1, "tone": 1}
    assert "get_order" in suite.rows[0]["prompt"][0]["content"] or suite.rows[0]["tools"]
