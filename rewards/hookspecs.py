"""The one hook through which reward functions, built-in and third-party, are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

from rewards.types import RewardFunction

NAMESPACE = "recompensa"
"""Of the hook markers, and the group of entry points that installed plugins use."""

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)

Register = Callable[[type[RewardFunction] | Callable[..., Any]], None]
"""Takes a `RewardFunction` class, or a function under `@reward`."""


@hookspec
def register_rewards(register: Register) -> None:
    """Call `register` with each reward function that the plugin offers; called once, at startup."""
