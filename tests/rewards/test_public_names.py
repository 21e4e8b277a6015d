"""What plugin authors import from `rewards` itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rewards
from rewards.types import Score


def test_rewards_when_its_names_are_imported_then_all_are_there():
    """Each name of `__all__`, and one line for what is not."""
    assert all(getattr(rewards, name) is not None for name in rewards.__all__)
    assert rewards.Score is Score
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rewards.nothing


def test_rewards_when_imported_alone_then_neither_pydantic_nor_the_reader_is():
    """A submodule costs what it needs."""
    program = "import sys, rewards; sys.exit(any(name in sys.modules for name in ('pydantic', 'rewards.types', 'rewards.extraction')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
