"""Reward for the answer to a prompt that must not be configured: contradictory, impossible or malicious requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rewards.functions.telecom_layer import ADVERSARIAL, LayerReward
from rewards.hookspecs import hookimpl
from rewards.telecom.figures import find_statements
from rewards.telecom.paths import Path, ValuePlaces
from rewards.telecom.reference import Gold
from rewards.types import RewardFunction

_LONGEST_CODE = 40


class TelecomAdversarial(LayerReward):
    """A refusal in the form of the reference: its keys, its codes and flags, and no configuration beside them."""

    name: ClassVar[str] = "telecom_adversarial"
    version: ClassVar[str] = "7"

    # Its core part compares every code, flag and number already.
    judges_values: ClassVar[bool] = False

    @classmethod
    def takes(cls, layer: str) -> bool:
        return ADVERSARIAL in layer

    def choose_required(self, places: ValuePlaces) -> frozenset[Path]:
        return frozenset(places.kinds)

    def choose_enumerated(self, places: ValuePlaces) -> frozenset[Path]:
        """Flags, numbers and texts that look like a code: what decides, not what explains."""
        return frozenset(
            path
            for path, leaves in places.leaves.items()
            if all(not isinstance(leaf, str) or (" " not in leaf and len(leaf) <= _LONGEST_CODE) for leaf in leaves)
        )

    def judge_core(self, gold: Gold, given: ValuePlaces, value: Any) -> dict[str, float]:
        shares = super().judge_core(gold, given, value)
        configured = len(find_statements(value)) > len(find_statements(gold.value))
        return {name: 0.0 for name in shares} if configured else shares


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(TelecomAdversarial)
