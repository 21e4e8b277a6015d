"""docs/measure.md: its command runs, and its table of exit codes is the command's."""

from __future__ import annotations

import pytest

from tests.docs import pages


@pytest.mark.timeout(900)
def test_page_when_its_command_is_run_then_the_answer_has_the_form_that_it_shows(tmp_path):
    """Seconds of both stages, memory, the whole run, go; nothing is left in the folder."""
    pytest.importorskip("trl")
    rows = ("data.shop.train_rows=40", "data.shop.held_out_rows=8", "data.shop.warmup_rows=40")
    (said,) = pages.run_page("measure.md", tmp_path, rows=rows, expected={}).values()
    shown = (
        "an SFT step took ",
        "a GRPO step took ",
        "a held-out answer took ",
        "peak memory ",
        "the whole run takes about ",
    )
    assert all(f"\n{start}" in said for start in shown) and said.endswith("\ngo\n")
    assert not (tmp_path / "runs").exists()
