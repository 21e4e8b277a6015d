"""Reward for the life-cycle operations on an intent: activate, modify, monitor, report, scale and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LIFECYCLE, LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class TelecomLifecycle(LayerReward):
    """An operation on an intent: which one, on what, to which state; telemetry that the prompt lacks is masked."""

    name: ClassVar[str] = "telecom_lifecycle"
    version: ClassVar[str] = "9"

    required: ClassVar[frozenset[str]] = frozenset(
        ("@type", "id", "intentId", "intent", "operation", "lifecycleOperation", "lifecycle_operation", "action",
         "changes", "lifecycleStatus", "lifecycleState", "state", "status", "expression", "report", "metrics", "kpis",
         "measurements", "scaling", "target", "previousState", "newState")
    )  # fmt: skip
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("@type", "@baseType", "operation", "lifecycleOperation", "lifecycle_operation", "action", "lifecycleStatus",
         "lifecycleState", "state", "status", "previousState", "newState", "targetState", "direction",
         "scaleDirection", "op", "path", "sst", "sd", "complianceStatus")
    )  # fmt: skip
    decisive: ClassVar[frozenset[str]] = frozenset(
        ("operation", "lifecycleOperation", "lifecycle_operation", "action", "newState", "targetState")
    )
    # An operation on another intent is not half right.
    elsewhere: ClassVar[float] = 0.0
    own_schema: ClassVar[str | None] = "tmf921_lifecycle"

    @classmethod
    def takes(cls, layer: str) -> bool:
        return layer.startswith(LIFECYCLE)


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(TelecomLifecycle)
