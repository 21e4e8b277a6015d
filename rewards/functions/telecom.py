"""One reward for telecom rows of any layer: each goes to its layer's own function, unknown layers to field F1."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from rewards.functions.a1_policy import A1Policy
from rewards.functions.camara import Camara
from rewards.functions.etsi_zsm import EtsiZsm
from rewards.functions.field_f1 import FieldF1
from rewards.functions.intent_3gpp import Intent3gpp
from rewards.functions.o1_nrm import O1Nrm
from rewards.functions.telecom_adversarial import TelecomAdversarial
from rewards.functions.telecom_derivation import layer_of
from rewards.functions.telecom_layer import LayerReward
from rewards.functions.telecom_lifecycle import TelecomLifecycle
from rewards.functions.tmf921 import Tmf921
from rewards.hookspecs import hookimpl
from rewards.types import Completion, Example, RewardFunction, Score


class Telecom(RewardFunction):
    """The reward of the row's layer, by its column target_layer or its task; field F1 for a layer that has none."""

    name: ClassVar[str] = "telecom"
    version: ClassVar[str] = "1"

    tmf921: Tmf921 = Field(Tmf921(), description="Options for TMF921 intents.")
    o1_nrm: O1Nrm = Field(O1Nrm(), description="Options for O1 resource models.")
    a1_policy: A1Policy = Field(A1Policy(), description="Options for A1 policies.")
    intent_3gpp: Intent3gpp = Field(Intent3gpp(), description="Options for 3GPP intents.")
    camara: Camara = Field(Camara(), description="Options for CAMARA requests.")
    etsi_zsm: EtsiZsm = Field(EtsiZsm(), description="Options for ETSI ZSM intents.")
    lifecycle: TelecomLifecycle = Field(TelecomLifecycle(), description="Options for life-cycle operations.")
    adversarial: TelecomAdversarial = Field(TelecomAdversarial(), description="Options for refusals.")
    unknown: FieldF1 = Field(FieldF1(volatile="telecom"), description="Options of field_f1 for any other layer.")

    def problems(self, example: Example) -> list[str]:
        return self.function_for(example).problems(example)

    def __call__(self, example: Example, completion: Completion) -> Score:
        score = self.function_for(example)(example, completion)
        if score.value is None or "overall" in score.parts:
            return score
        return Score(score.value, score.reason, {**score.parts, "overall": score.value})

    def function_for(self, example: Example) -> LayerReward | FieldF1:
        """The function that judges a row."""
        layer = layer_of(example)
        own = (
            self.tmf921,
            self.o1_nrm,
            self.a1_policy,
            self.intent_3gpp,
            self.camara,
            self.etsi_zsm,
            self.lifecycle,
            self.adversarial,
        )
        return next((function for function in own if function.takes(layer)), self.unknown)


@hookimpl
def register_rewards(register):
    register(Telecom)
