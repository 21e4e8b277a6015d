"""Reward for a network resource model as the O1 interface carries it: slice profiles and radio resource shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction

# TS 28.623 release 18, the generic model: what is measured, watched, traced and told, and to whom.
_GENERIC = (
    "performanceMetrics", "thresholdDirection", "jobType", "traceDepth", "notificationTypes", "notificationRecipientAddress",
    "scopeType", "perceivedSeverity", "alarmType", "ackState", "jobRequestStatus", "cellState", "availabilityStatus",
    "targetIdType", "targetIdValue", "listOfTraceMetrics", "rootObjectInstances", "objectInstances",
)  # fmt: skip

# The O-RAN software community's own model writes the same in kebab case.
_KEBAB = ("administrative-state", "operational-state", "resource-type")


class O1Nrm(LayerReward):
    """A ServiceProfile or RRMPolicyRatio of 3GPP TS 28.541, or the generic objects of TS 28.623: slice identity, enumerations, figures under their names."""

    name: ClassVar[str] = "o1_nrm"
    version: ClassVar[str] = "9"

    # 3GPP TS 28.541 release 18: ServiceProfile and RRMPolicyRatio.
    required: ClassVar[frozenset[str]] = frozenset(
        ("plmnInfoList", "plmnId", "mcc", "mnc", "snssai", "sNSSAI", "sst", "sd", "maxNumberofUEs", "dLLatency",
         "uLLatency", "dLThptPerSlice", "uLThptPerSlice", "dLThptPerUE", "uLThptPerUE", "guaThpt", "maxThpt",
         "uEMobilityLevel", "networkSliceSharingIndicator", "availability", "dLReliability", "uLReliability",
         "resourceType", "rRMPolicyMemberList", "rRMPolicyMaxRatio", "rRMPolicyMinRatio", "rRMPolicyDedicatedRatio")
    )  # fmt: skip
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("mcc", "mnc", "sst", "sd", "uEMobilityLevel", "networkSliceSharingIndicator", "resourceSharingLevel",
         "resourceType", "objectClass", "className", "operation", "sliceType", "serviceType", "administrativeState",
         "operationalState", "op", *_KEBAB, *_GENERIC)
    )  # fmt: skip
    decisive: ClassVar[frozenset[str]] = frozenset(
        ("resourceType", "operation", "op", "administrativeState", "administrative-state", "resource-type", *_GENERIC)
    )
    own_schema: ClassVar[str | None] = "o1_nrm"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(O1Nrm)
