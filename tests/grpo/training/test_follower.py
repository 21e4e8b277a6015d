"""What follows a stage step by step keeps no more of it than a step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from grpo.training.follower import make_follower


def test_follower_when_a_thousand_rows_are_logged_then_the_trainer_keeps_the_latest_only():
    """Else memory and every checkpoint grow with the steps of a run."""
    pytest.importorskip("transformers")
    seen = []
    follow = make_follower(lambda step, logs: seen.append((step, logs)))
    follow.bar = SimpleNamespace(advance=lambda *_, **__: None, done=0)
    state = SimpleNamespace(global_step=0, log_history=[])
    for step in range(1000):
        state.global_step = step
        state.log_history.append({"loss": 0.5, "step": step})
        follow.on_log(None, state, None, logs={"loss": 0.5})
    assert len(seen) == 1000 and state.log_history == [{"loss": 0.5, "step": 999}]
