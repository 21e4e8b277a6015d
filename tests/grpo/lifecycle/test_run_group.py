"""A group's folder given where one run is wanted."""

from __future__ import annotations

import pytest

from grpo.report.run_files import read_run
from grpo.watch.snapshot import LiveRun
from rewards.errors import UserError


@pytest.mark.parametrize("read", [read_run, LiveRun])
def test_run_when_a_group_is_given_then_its_runs_are_named(tmp_path, read):
    """Whoever reads one run says which there are; another folder is told as before."""
    for seed in (7, 11):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"no run there .*; give the folder of a run$"):
        read(tmp_path)
    (tmp_path / "group.json").write_text("{}")
    with pytest.raises(
        UserError, match=rf"it is a group of runs: give one of them \({tmp_path}/seed-11, {tmp_path}/seed-7\)"
    ):
        read(tmp_path)
