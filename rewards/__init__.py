"""Reward functions as plugins: reading completions, scoring them, and proving that the scorers work.

Everything a reward function needs can be imported from here: `from rewards import Score, reward`.
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
    """Import a public name on first use, so that importing one submodule does not load the others."""
    if name not in _OWNERS:
        raise AttributeError(f"module 'rewards' has no attribute {name!r}")
    return getattr(import_module(_OWNERS[name]), name)
