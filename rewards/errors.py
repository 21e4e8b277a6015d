"""The one tree of exceptions: whose fault it is decides the class, the message is one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewards.host.verdicts import ScoredCompletion


class RecompensaError(Exception):
    """A failure with a message fit to be shown as it is."""


class UserError(RecompensaError):
    """Something the user wrote is wrong. Carries every problem found, each one line: what, where, allowed, what to do."""

    def __init__(self, problems: str | list[str]):
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class PluginError(UserError):
    """A reward plugin cannot be loaded, is registered twice, or breaks its contract."""


class WrongCount(TypeError):
    """A function of several completions returned more or fewer values than it was given: its fault whatever they say."""


class NetworkError(RecompensaError):
    """A server could not be reached, or did not answer in time: nobody's reward function is at fault."""

    kind = "network"


class RewardBudgetExceeded(RecompensaError):
    """Too many scores failed; names plugin, version and example. The run checkpoints and stops.

    `scored` holds what was scored before, for whoever stores it.
    """

    scored: Sequence[ScoredCompletion] = ()

    def __init__(self, message: str, *, function: str = "", version: str = "", example_id: str = ""):
        self.function, self.version, self.example_id = function, version, example_id
        super().__init__(message)
