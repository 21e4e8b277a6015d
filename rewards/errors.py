"""The exception hierarchy: the class says whose fault it is, the message is one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewards.host.verdicts import ScoredCompletion


class RecompensaError(Exception):
    """A failure whose message can be shown to the user as it is."""


class UserError(RecompensaError):
    """Something the user wrote is wrong; commands exit with code 2.

    `problems` lists every problem found, one line each: what, where, what is allowed, what to do.
    """

    def __init__(self, problems: str | list[str]):
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class PluginError(UserError):
    """A reward plugin cannot be loaded, is registered twice, or breaks its contract."""


class WrongCount(TypeError):
    """A function that scores several completions returned more or fewer values than it was given."""


class NetworkError(RecompensaError):
    """A server could not be reached or did not answer in time; no reward function is to blame."""

    kind = "network"


class RewardBudgetExceeded(RecompensaError):
    """Too many scores failed; names the plugin, its version and an example. The run saves a checkpoint and stops.

    `scored` holds the completions scored before that, so that the caller can store them.
    """

    scored: Sequence[ScoredCompletion] = ()

    def __init__(self, message: str, *, function: str = "", version: str = "", example_id: str = ""):
        self.function, self.version, self.example_id = function, version, example_id
        super().__init__(message)
