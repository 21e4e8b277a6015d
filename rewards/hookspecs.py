"""The one hook through which reward functions, ours and yours, are found."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from rewards.types import RewardFunction

NAMESPACE = "recompensa"
"""Of the hook markers, and the group of entry points that installed plugins use."""

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@hookspec
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    """Call `register` with each `RewardFunction` class that the plugin offers; called once, at start."""
