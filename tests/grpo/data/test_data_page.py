"""docs/data_files.md is run from its first block to its last, on rows of the generator as somebody's raw file."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from grpo.console import main
from grpo.data.section import Tmf921Section
from grpo.data.tmf921.build import build_tmf921

PAGE = Path(__file__).parents[3] / "docs" / "data_files.md"


def test_page_when_followed_then_raw_rows_become_splits_that_a_run_reads(tmp_path, monkeypatch, capsys):
    """Counted, filtered, deduplicated, split with a sector held out, up-sampled, validated."""
    monkeypatch.chdir(tmp_path)
    made = build_tmf921(tmp_path / "set", Tmf921Section(train_rows=400, held_out_rows=40))["train_sota"]
    Path("raw.jsonl").write_bytes(made.read_bytes())
    lines = [
        line
        for block in re.findall(
            r"^```\n(recompensa data.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for line in block.splitlines()
    ]
    assert len(lines) >= 6
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    out = capsys.readouterr().out
    assert "JSON structures of the answers" in out and "rows can be trained on" in out
    held = {row for row in re.findall(r'"sector":"(\w+)"', Path("splits/test_sector_ood.jsonl").read_text())}
    assert not held & set(re.findall(r'"sector":"(\w+)"', Path("splits/train.jsonl").read_text()))
