"""Reward functions that no list shows and that are there when they are named: judges, and functions written for others."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from rewards.discovery.existing import PREFIXES, adapt
from rewards.errors import PluginError

ON_DEMAND = {
    "judge": ("rewards.judges.judge", "Judge", "recompensa"),
    "reward_model": ("rewards.judges.reward_model", "RewardModel", "recompensa"),
    # Its file may hold code: it is isolated as a plugin is.
    "openai_grader": ("rewards.graders.openai_grader", "OpenAiGrader", "a grader file"),
}
"""They need a server or a model, so nothing can be said of them before one is named."""


class MadeFunction(NamedTuple):
    """A class, and where it came from; that of another's function is isolated as any plugin is."""

    function: Any
    plugin: str
    distribution: str
    path: str | None = None


def find_on_demand(name: str) -> MadeFunction | None:
    """The function of this name; None for no such name. Raises PluginError for one that cannot be had."""
    if name in ON_DEMAND:
        module, kind, distribution = ON_DEMAND[name]
        return MadeFunction(getattr(import_module(module), kind), module, distribution)
    prefix, colon, target = name.partition(":")
    if colon and prefix in PREFIXES:
        try:
            return MadeFunction(adapt(prefix, target), target, prefix)
        except PluginError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"'{name}': cannot be imported: {type(error).__name__}: {error}") from None
    return None
