"""One reward for telecom rows of any layer: each goes to its layer's own function, unknown layers to field F1."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, ClassVar

from rewards.functions.a1_policy import A1Policy
from rewards.functions.camara import Camara
from rewards.functions.etsi_zsm import EtsiZsm
from rewards.functions.field_f1 import FieldF1
from rewards.functions.intent_3gpp import Intent3gpp
from rewards.functions.o1_nrm import O1Nrm
from rewards.functions.telecom_adversarial import TelecomAdversarial
from rewards.functions.telecom_layer import MAX_DEPTH, LayerReward
from rewards.functions.telecom_lifecycle import TelecomLifecycle
from rewards.functions.tmf921 import Tmf921
from rewards.hookspecs import hookimpl
from rewards.schemas.rules import depth_within
from rewards.telecom.derivation import layer_of
from rewards.telecom.equals import make_equal
from rewards.types import Completion, Example, RewardFunction, Score

_OWN: tuple[type[LayerReward], ...] = (
    Tmf921,
    O1Nrm,
    A1Policy,
    Intent3gpp,
    Camara,
    EtsiZsm,
    TelecomLifecycle,
    TelecomAdversarial,
)


class AnyLayer(FieldF1):
    """Field F1 for a layer that nobody knows, such as orders of TMF641: equal units, and times that are asked for as instants."""

    def prepare(self, value: Any) -> Any:
        return make_equal(value) if depth_within(value, MAX_DEPTH) else value


class Telecom(LayerReward):
    """The reward of the row's layer, by its column target_layer or its task; field F1 for a layer that has none."""

    name: ClassVar[str] = "telecom"
    version: ClassVar[str] = "9"

    def problems(self, example: Example) -> list[str]:
        return self.function_for(example).problems(example)

    def __call__(self, example: Example, completion: Completion) -> Score:
        score = self.function_for(example)(example, completion)
        if score.value is None or "overall" in score.parts:
            return score
        return Score(score.value, score.reason, {**score.parts, "overall": score.value})

    def function_for(self, example: Example) -> LayerReward | FieldF1:
        """The function that judges a row, with the options of this one."""
        return _choose(self, layer_of(example))


@lru_cache(maxsize=1024)
def _choose(telecom: Telecom, layer: str) -> LayerReward | FieldF1:
    for kind in _OWN:
        if kind.takes(layer):
            return kind(**{option: getattr(telecom, option) for option in kind.model_fields})
    return AnyLayer(**{option: getattr(telecom.likeness, option) for option in FieldF1.model_fields})


@hookimpl
def register_rewards(register: Callable[[type[RewardFunction]], None]) -> None:
    register(Telecom)
