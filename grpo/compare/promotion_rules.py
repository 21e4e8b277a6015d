"""The rules of a promotion, as data: which metric must gain, which may not fall, which floors hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from grpo.compare.recorded import ALL, KINDS, kind_of
from rewards.errors import UserError
from rewards.screen.invalid import explain, show_path
from rewards.writing.yaml_files import read_yaml

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_GROUPS = (ALL, *KINDS)


class GainRule(BaseModel):
    """What must have risen."""

    model_config = _STRICT

    metric: tuple[str, ...] = Field(min_length=1, description="Metrics in order of preference.")
    at_least: float = Field(0.0, ge=0, lt=1, description="The rise that must be exceeded beyond the noise.")


class FallRule(BaseModel):
    """What must not have fallen."""

    model_config = _STRICT

    metrics: tuple[str, ...] = Field(description="Metrics that may not fall in any group.")
    groups: tuple[str, ...] = Field(_GROUPS, description="Kinds of groups that are looked at.")
    allowed: float = Field(0.0, ge=0, lt=1, description="The fall that is tolerated.")
    ruled_out: bool = Field(False, description="Whether the noise must leave no room for a larger fall.")

    @field_validator("groups")
    @classmethod
    def _known(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [group for group in groups if group not in _GROUPS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such kind of group; allowed: {', '.join(_GROUPS)}")
        return groups


class PromotionRules(BaseModel):
    """The whole file."""

    model_config = _STRICT

    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every interval.")
    adjust: Literal["holm", "bh", "none"] = Field("holm", description="Correction for many tests.")
    gain: GainRule
    falls: FallRule
    floors: dict[str, float] = Field(default_factory=dict, description="Least means by group.")
    alarm: Literal["refuse", "warn"] = Field(
        "refuse", description="What happens when a metric is the same in all runs."
    )
    few_examples: int = Field(40, ge=1, description="Groups below are marked as small.")

    @field_validator("floors")
    @classmethod
    def _sound(cls, floors: dict[str, float]) -> dict[str, float]:
        wrong = [group for group in floors if group != ALL and (kind_of(group) not in KINDS or ":" not in group)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: name a group as all, task:NAME, split:NAME or target_layer:NAME")
        if any(not 0.0 <= floor <= 1.0 for floor in floors.values()):
            raise ValueError("a floor lies outside 0..1")
        return floors

    @property
    def alpha(self) -> float:
        """The level of significance, 1 - confidence, in 0..1."""
        return 1.0 - self.confidence


def shipped_rules() -> Path:
    """The rules file of the distribution."""
    from grpo.config.loading import configs_folder

    return configs_folder() / "rules" / "promotion.yaml"


def load_rules(path: Path | None = None) -> PromotionRules:
    """The shipped rules with a file's changes laid over them; UserError with every key that is wrong."""
    rules = _read_yaml(shipped_rules())
    where = str(path or shipped_rules())
    if path is not None:
        for key, value in _read_yaml(path).items():
            merge = isinstance(value, dict) and isinstance(rules.get(key), dict) and key != "floors"
            rules[key] = {**rules[key], **value} if merge else value
    try:
        return PromotionRules.model_validate(rules)
    except ValidationError as error:
        raise UserError(
            explain(error, PromotionRules, lambda key: f"--rules {where}: {show_path(key)}", key="rule")
        ) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path, f"--rules {path}")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"--rules {path}: not a mapping of rules; see docs/compare.md")
    return content
