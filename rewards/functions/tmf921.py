"""Reward for an intent as TM Forum's TMF921 has it, versions 4 and 5 and the data set's own dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rewards.functions.telecom_layer import LayerReward
from rewards.hookspecs import hookimpl
from rewards.types import RewardFunction


class Tmf921(LayerReward):
    """A TMF921 intent: name, expression and its language, life cycle, and figures wherever the expression has them."""

    name: ClassVar[str] = "tmf921"
    version: ClassVar[str] = "9"

    # TMF921 4.0: Intent_Create and Expression; 5.0: Intent_FVO and IntentExpression_FVO.
    required: ClassVar[frozenset[str]] = frozenset(
        ("@type", "name", "expression", "expressionLanguage", "expressionValue", "characteristic", "intentExpectation")
    )
    enumerated: ClassVar[frozenset[str]] = frozenset(
        ("@type", "@baseType", "expressionLanguage", "lifecycleStatus", "lifecycleState", "priority", "isBundle",
         "version", "sst", "sd", "sliceType", "slice_type", "valueType")
    )  # fmt: skip
    own_schema: ClassVar[str | None] = "tmf921"


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Tmf921)
