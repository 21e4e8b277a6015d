"""Reward for an intent as 3GPP's management interface has it: expectations on an object, each with targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class Intent3gpp(LayerReward):
    """An intent of 3GPP TS 28.312: expectations, their verb and object, targets with condition and value."""

    name: ClassVar[str] = "intent_3gpp"
    version: ClassVar[str] = "8"

    # 3GPP TS 28.312: Intent, IntentExpectation, ExpectationObject, ExpectationTarget.
    required: ClassVar[frozenset[str]] = frozenset(
        ("intentExpectations", "intentExpectation", "expectationId", "expectationVerb", "expectationObject",
         "objectType", "expectationTargets", "targetName", "targetCondition", "targetValueRange", "intentPriority")
    )  # fmt: skip
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("expectationVerb", "objectType", "targetName", "targetCondition", "intentPriority", "intentAdminState",
         "contextAttribute", "contextCondition", "sst", "sd")
    )  # fmt: skip
    decisive: ClassVar[frozenset[str]] = frozenset(("expectationVerb", "targetCondition"))
    own_schema: ClassVar[str | None] = "intent_3gpp"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Intent3gpp)
