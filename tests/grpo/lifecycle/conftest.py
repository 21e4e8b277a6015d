"""Runs that were killed, for the tests of how a run goes on."""

from __future__ import annotations

import pytest

from tests.grpo.lifecycle.killed_runs import write_killed_run, write_warming_run


@pytest.fixture
def run(tmp_path):
    """A run that was killed after step 5: checkpoints at 2 and 4, the best evaluation at 3."""
    return write_killed_run(tmp_path)


@pytest.fixture
def warming(tmp_path):
    """A run that was killed in its warm-up: checkpoints at 7 and 14."""
    return write_warming_run(tmp_path)
