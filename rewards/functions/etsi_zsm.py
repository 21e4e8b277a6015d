"""Reward for a zero-touch management intent of ETSI ZSM, whose documents fix no single format."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class EtsiZsm(LayerReward):
    """An ETSI ZSM service or closed-loop intent: the reference's own top keys, identity, stages and figures."""

    name: ClassVar[str] = "etsi_zsm"
    version: ClassVar[str] = "7"

    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("@type", "type", "intentType", "serviceType", "sliceType", "slice_type", "sst", "sd", "domain",
         "managementDomain", "priority", "action", "actions", "closedLoopType", "stage", "stages", "state",
         "lifecycleState", "automationLevel", "condition", "operator")
    )  # fmt: skip
    decisive: ClassVar[frozenset[str]] = frozenset(("action", "actions", "condition", "operator"))
    own_schema: ClassVar[str | None] = "etsi_zsm"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(EtsiZsm)
