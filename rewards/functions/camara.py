"""Reward for a request to CAMARA's interfaces: a booked network slice, or a session with a quality of service."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class Camara(LayerReward):
    """A slice booking or QoS session; rates are integers up to 1024 with a unit, so 2000 Mbps is 2 Gbps."""

    name: ClassVar[str] = "camara"
    version: ClassVar[str] = "7"

    # CAMARA NetworkSliceBooking and QualityOnDemand.
    required: ClassVar[frozenset[str]] = frozenset(
        ("serviceTime", "startDate", "serviceArea", "areaType", "sliceQosProfile", "maxNumOfDevices",
         "downStreamRatePerDevice", "upStreamRatePerDevice", "downStreamDelayBudget", "upStreamDelayBudget", "value",
         "unit", "applicationServer", "qosProfile", "duration", "device")
    )  # fmt: skip
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("areaType", "qosProfile", "duration", "qosStatus", "statusInfo", "credentialType", "sst", "sd")
    )
    decisive: ClassVar[frozenset[str]] = frozenset(("qosProfile",))
    own_schema: ClassVar[str | None] = "camara"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Camara)
