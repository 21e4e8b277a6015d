"""Reward for an A1 policy of the O-RAN alliance: a scope, and objectives or resources for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class A1Policy(LayerReward):
    """An A1 policy: whom it is for (slice, UE, QoS flow, cell), its objectives, and traffic steering preferences."""

    name: ClassVar[str] = "a1_policy"
    version: ClassVar[str] = "7"

    # O-RAN A1 policy types: slice SLA, QoS, QoE and UE-level targets, traffic steering preference.
    required: ClassVar[frozenset[str]] = frozenset(
        ("scope", "sliceId", "ueId", "groupId", "qosId", "cellId", "sst", "plmnId", "mcc", "mnc",
         "sliceSlaObjectives", "qosObjectives", "qoeObjectives", "ueLevelObjectives", "tspResources", "cellIdList",
         "preference")
    )  # fmt: skip
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("sst", "sd", "mcc", "mnc", "5qI", "qcI", "preference", "primary", "policytype_id", "policyTypeId",
         "policy_type_id", "priorityLevel", "enforceStatus")
    )  # fmt: skip
    decisive: ClassVar[frozenset[str]] = frozenset(("preference",))
    own_schema: ClassVar[str | None] = "a1_policy"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(A1Policy)
