"""Reward functions as plugins: reading completions, scoring them, proving the scorers.

What one needs to write a reward function is here by name: `from rewards import Score, reward`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rewards.siblings import claim

if TYPE_CHECKING:
    from rewards.decorator import reward
    from rewards.hookspecs import hookimpl
    from rewards.types import Completion, Example, RewardFunction, Score

__all__ = ["Completion", "Example", "RewardFunction", "Score", "hookimpl", "reward"]

claim()

_OWNERS = {
    "reward": "rewards.decorator",
    "hookimpl": "rewards.hookspecs",
    "Completion": "rewards.types",
    "Example": "rewards.types",
    "RewardFunction": "rewards.types",
    "Score": "rewards.types",
}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: who wants a submodule alone does not wait for the others."""
    if name not in _OWNERS:
        raise AttributeError(f"module 'rewards' has no attribute {name!r}")
    return getattr(import_module(_OWNERS[name]), name)
